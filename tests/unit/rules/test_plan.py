"""The figures of the rules by example: they are what the rendered tests take for granted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbmon.rules.classes import DAY, HOUR, MINUTE, Class, class_of
from cbmon.rules.plan import Plan
from tests.unit.rules.configurations import SHOP, TCP, configured


def plan(tmp_path: Path, **check: Any) -> Plan:
    return Plan(configured(tmp_path, {"checks": [{"name": "a", **TCP, **check}]}))


def value(classes: tuple[Class, ...]) -> float:
    return class_of(classes, "a").value


@pytest.mark.parametrize(
    ("interval", "expected"),
    [("10s", 15 * MINUTE), ("45s", 15 * MINUTE), ("1m", 30 * MINUTE), ("5m", 2 * HOUR)],
)
def test_a_window_for_ratios_holds_twenty_runs(
    tmp_path: Path, interval: str, expected: float
) -> None:
    found = plan(tmp_path, interval=interval).recent
    assert value(found) == expected
    assert class_of(found, "an application's").value == 15 * MINUTE


def test_a_window_for_openings_holds_twice_as_many_as_are_counted(tmp_path: Path) -> None:
    breaker = {"failure_threshold": 4, "recovery_timeout": "10m"}
    assert value(plan(tmp_path, interval="1m", breaker=breaker).flapping) == 2 * HOUR
    assert value(plan(tmp_path).flapping) == HOUR
    rate = {"kind": "percentage", "minimum_calls": 20, "recovery_timeout": "1m"}
    assert value(plan(tmp_path, interval="1m", breaker=rate).flapping) == 3 * HOUR


def test_a_check_is_overdue_after_three_intervals_a_timeout_and_two_scrapes(
    tmp_path: Path,
) -> None:
    found = plan(tmp_path, interval="20s", timeout="7s").stale
    assert value(found["check"]) == 3 * 20 + 7 + 2 * 15
    assert found["export"][-1].value == 3 * MINUTE + 30


def test_cycles_and_slow_calls_are_those_of_the_breaker(tmp_path: Path) -> None:
    breaker = {
        "kind": "percentage",
        "slow_call_seconds": 1,
        "slow_call_rate_threshold": 0.6,
        "auto_disable_enabled": True,
        "max_failure_cycles": 8,
    }
    found = plan(tmp_path, breaker=breaker)
    assert (value(found.cycles), value(found.slow)) == (8, 0.3)
    assert (value(plan(tmp_path).cycles), value(plan(tmp_path).slow)) == (3, 0.5)


def test_checks_that_are_discovered_are_not_overdue_before_their_own_interval(
    tmp_path: Path,
) -> None:
    template = {"name": "{{ id }}", "tcp": {"address": "{{ address }}"}}

    def others(**template_too: str) -> float:
        entry = {
            "name": "fleet",
            "file_sd": {"files": ["t.json"]},
            "template": {**template, **template_too},
        }
        found = Plan(configured(tmp_path, {**SHOP, "discovery": [entry]}))
        assert found.stale["check"][:-1], "written ones keep their own"
        return value(found.stale["check"])

    assert others(interval="5m") >= 3 * 5 * MINUTE
    assert others(interval="{{ labels.interval }}") >= 3 * HOUR


def test_a_half_open_period_counts_as_open_while_trials_may_go_on(tmp_path: Path) -> None:
    long = {"half_open_max_calls": 5}
    assert plan(tmp_path).trial == 15 * MINUTE
    assert plan(tmp_path, interval="10m", timeout="1s", breaker=long).trial == HOUR
    assert plan(tmp_path, interval="1d", timeout="1s", breaker=long).trial == DAY


def test_an_alert_looks_back_over_four_scrapes_or_a_sixth_of_its_delay(tmp_path: Path) -> None:
    found = plan(tmp_path)
    assert found.bridge("CircuitBreakerOpen") == MINUTE
    assert found.bridge("CircuitBreakerOverridden") == 4 * HOUR


def test_breakers_are_those_of_checks_exports_and_lines_to_receivers(tmp_path: Path) -> None:
    found = Plan(configured(tmp_path, SHOP))
    assert found.breakers == (
        ("check", "api"),
        ("check", "db"),
        ("check", "nightly"),
        ("export", "node"),
        ("receiver", "oncall/webhook"),
    )


def test_an_objective_covers_its_checks_and_those_with_its_tags(tmp_path: Path) -> None:
    slo = {"name": "all", "objective": "99.95%", "checks": ["db"], "tags": ["critical"]}
    (found,) = Plan(configured(tmp_path, {**SHOP, "alerting": {"slos": [slo]}})).slos
    assert (found.checks, found.objective, found.budget) == (("api", "db"), "99.95%", 0.0005)
