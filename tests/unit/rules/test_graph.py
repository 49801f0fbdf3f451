"""What holds back what: transitive, bounded, and never so that nobody is told."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from cbmon.rules.graph import Graph
from cbmon.rules.plan import Plan
from tests.unit.rules.configurations import TCP, configured


def graph(tmp_path: Path, *checks: dict[str, Any], **alerting: Any) -> Graph:
    entries = [{**TCP, **check} for check in checks]
    return Plan(configured(tmp_path, {"checks": entries, "alerting": alerting})).graph


CHAIN: tuple[dict[str, Any], ...] = (
    {"name": "net"},
    {"name": "db", "depends_on": ["net"]},
    {"name": "api", "depends_on": ["db"], "group": "shop"},
    {"name": "page", "depends_on": ["api"], "group": "shop"},
)


def test_a_cause_is_a_cause_of_what_depends_on_its_dependants(tmp_path: Path) -> None:
    assert graph(tmp_path, *CHAIN).dependants == {
        "api": ("page",),
        "db": ("api", "page"),
        "net": ("api", "db", "page"),
    }


def test_a_group_that_hangs_on_one_check_is_held_back_with_it(tmp_path: Path) -> None:
    found = graph(tmp_path, *CHAIN)
    assert found.groups_below("db") == ("shop",)
    assert found.groups_below("api") == ("shop",)
    assert graph(tmp_path, *CHAIN[1:3], {"name": "net", "group": "shop"}).groups_below("db") == ()


def test_a_check_that_does_not_run_is_no_cause(tmp_path: Path) -> None:
    assert graph(tmp_path, {**CHAIN[0], "enabled": False}, *CHAIN[1:]).upstream == ("api", "db")


def test_the_wait_is_as_long_as_a_cause_may_take_longer_to_show(tmp_path: Path) -> None:
    slow = {"name": "db", "interval": "60s", "timeout": "5s"}
    quick = {"name": "api", "interval": "10s", "timeout": "5s", "depends_on": ["db"]}
    look = 2 * (15 + 15)
    assert graph(tmp_path, slow, quick).wait == look + (5 * 60 + 5) - (5 * 10 + 5) - 60
    assert graph(tmp_path, {**slow, "interval": "1h"}, quick).wait == 300
    assert graph(tmp_path, {"name": "db"}, {"name": "api"}).wait == look


def test_the_lag_is_what_the_slowest_dependant_needs_to_recover(tmp_path: Path) -> None:
    cause = {"name": "db"}
    dependant = {"name": "api", "interval": "30s", "timeout": "5s", "depends_on": ["db"]}
    wait = {"breaker": {"recovery_timeout": "100s", "recovery_jitter": 0.1}}
    backoff = {"breaker": {"recovery_backoff": 2}}
    assert graph(tmp_path, cause, {**dependant, **wait}).lag == 60 + 110 + 35
    assert graph(tmp_path, cause, {**dependant, **backoff}).lag == 3600


ROUNDABOUT: tuple[dict[str, Any], ...] = (
    {"name": "a", "group": "one"},
    {"name": "b", "group": "one", "depends_on": ["a"]},
    {"name": "c", "group": "two", "depends_on": ["b"]},
    {"name": "d", "group": "two", "depends_on": ["c", "e"]},
    {"name": "e", "group": "three"},
    {"name": "f", "group": "three"},
    {"name": "g", "depends_on": ["f"]},
)


@pytest.mark.parametrize("checks", [CHAIN, ROUNDABOUT], ids=["chain", "roundabout"])
def test_whatever_is_down_somebody_is_told(tmp_path: Path, checks: Any) -> None:
    found = graph(tmp_path, *checks)
    names = [check["name"] for check in checks]
    for size in range(1, len(names) + 1):
        for down in itertools.combinations(names, size):
            assert told(found, set(down)), down


def told(found: Graph, down: set[str]) -> set[str]:
    """The alerts that Alertmanager lets through when so many are down."""
    full = {group for group, members in found.groups.items() if len(members) > 1}
    full = {group for group in full if down.issuperset(found.groups[group])}
    spoken = found.told_as_one(2)
    held = {name for group in full for name in spoken.get(group, ())}
    held |= {name for cause in down & set(found.upstream) for name in found.dependants[cause]}
    silent = {g for cause in down & set(found.upstream) for g in found.groups_below(cause)}
    return (down - held) | (full - silent)
