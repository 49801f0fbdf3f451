"""Breakers of an application in YAML. Rule: everything that is wrong is told at once, in place."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon import BreakerPolicy, BreakerRegistry, State
from cbmon.appconfig import (
    BreakerConfig,
    BulkheadConfig,
    ConfigError,
    breaker_config,
    load_breakers,
    parse_breakers,
    validate,
)
from cbmon.appconfig.keys import POLICY
from cbmon.breaker import BreakerWarning
from cbmon.config.templates import BUILT_IN

SHOP = """
templates:
  slow-start: {base: lenient, recovery_backoff: 2}
environments:
  production: {failure_threshold: 2}
  development: {failure_threshold: 10, recovery_timeout: 5s}
breakers:
  - name: claude
    template: ai_provider
    category: ai
    tags: [ai, critical]
    call_timeout: 30s
    url: https://api.example.net
    bulkhead: {max_concurrent_calls: 20, queue_timeout: 10s}
    retry: {attempts: 2, deadline: 20s}
    health_check: {url: https://api.example.net/health, interval: 30s, timeout: 5s}
    metadata: {version: 1.0.0}
    environments:
      development: {call_timeout: 2m, bulkhead: {queue_timeout: 1s}}
  - {name: ledger, template: slow-start, tags: [critical], only_in: [production]}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_breakers(text)
    return [str(problem).removeprefix("<text>:") for problem in caught.value.problems]


# --- reading ------------------------------------------------------------------------------


@pytest.mark.parametrize("template", BUILT_IN)
def test_every_template_of_the_daemon_is_there(template: str) -> None:
    config = breaker_config("x", template)
    for name, value in BUILT_IN[template][1].items():
        assert getattr(config.policy, name) == value


def test_an_entry_is_its_template_and_what_it_says_itself() -> None:
    claude = parse_breakers(SHOP)["claude"]
    assert claude.policy.kind == "adaptive"
    assert claude.policy.call_timeout == 30.0
    assert claude.policy.failure_threshold == 2
    assert claude.bulkhead == BulkheadConfig(max_concurrent_calls=20, queue_timeout=10.0)
    assert claude.metadata == {"version": "1.0.0"}


def test_an_environment_lies_over_the_entry_and_the_entrys_own_over_that() -> None:
    its = parse_breakers(SHOP, environment="development")
    assert its["claude"].policy.failure_threshold == 10
    assert its["claude"].policy.recovery_timeout == 5.0
    assert its["claude"].policy.call_timeout == 120.0
    assert its["claude"].bulkhead == BulkheadConfig(max_concurrent_calls=20, queue_timeout=1.0)


def test_an_entry_may_be_in_some_environments_only() -> None:
    assert "ledger" not in parse_breakers(SHOP, environment="development")
    ledger = parse_breakers(SHOP, environment="production")["ledger"]
    assert (ledger.policy.recovery_backoff, ledger.policy.recovery_timeout) == (2.0, 120.0)


def test_the_environment_may_be_named_outside() -> None:
    its = parse_breakers(SHOP, environ={"CBMON_ENVIRONMENT": "production"})
    assert its.environment == "production"
    assert its["claude"].policy.failure_threshold == 2


def test_defaults_are_for_those_that_name_no_template() -> None:
    its = parse_breakers(
        "defaults: {failure_threshold: 7, category: other}\n"
        "breakers: [{name: a}, {name: b, template: lenient}]"
    )
    assert [c.policy.failure_threshold for c in its] == [7, 10]
    assert [c.category for c in its] == ["other", "other"]


def test_a_directory_has_one_breaker_per_file_or_many(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("name: a\ntags: [x]\n")
    (tmp_path / "b.yaml").write_text("breakers: [{name: b, tags: [x]}]\n")
    (tmp_path / "notes.txt").write_text("not: read")
    its = load_breakers(tmp_path)
    assert [config.name for config in its] == ["a", "b"]
    assert [config.name for config in its.by_tag("x")] == ["a", "b"]


def test_variables_are_replaced_and_may_hold_numbers() -> None:
    text = "breakers: [{name: a, failure_threshold: '${LIMIT}', url: '${URL:-http://x}'}]"
    config = parse_breakers(text, environ={"LIMIT": "3"})["a"]
    assert (config.policy.failure_threshold, config.url) == (3, "http://x")


def test_exceptions_are_found_by_name() -> None:
    config = breaker_config(
        "x", expected_exceptions=["ConnectionError", "json.JSONDecodeError"], ignored_exceptions=[]
    )
    assert [each.__name__ for each in config.policy.expected_exceptions] == [
        "ConnectionError",
        "JSONDecodeError",
    ]


def test_queries_by_tag_category_and_environment() -> None:
    its = parse_breakers(SHOP)
    assert [c.name for c in its.by_tag("critical")] == ["claude", "ledger"]
    assert [c.name for c in its.by_category("ai")] == ["claude"]
    assert its.environments == ("development", "production")
    assert {c.name: c.policy.failure_threshold for c in its.by_environment("production")} == {
        "claude": 2,
        "ledger": 2,
    }
    with pytest.raises(KeyError):
        its.by_environment("staging")


# --- refusing -----------------------------------------------------------------------------


def test_every_error_is_told_at_once_and_in_its_place() -> None:
    golden = Path(__file__).with_name("golden")
    found = problems((golden / "every-error.yml").read_text())
    assert found == (golden / "every-error.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("- a", "expected a mapping"),
        ("breakers: {a: {}}", "expected a list"),
        ("breakers: [a]", "expected a mapping"),
        ("breakers: [{name: ''}]", "expected text"),
        ("breakers: [{name: a, tags: [x, x]}]", "twice"),
        ("breakers: [{name: a, recovery_timeout: 5s, timeout_seconds: 6s}]", "keep one of them"),
        ("breakers: [{name: a, retry: {attempts: 0}}]", "attempts"),
        ("breakers: [{name: a, health_check: {interval: 0s}}]", "interval"),
        ("breakers: [{name: a, only_in: production}]", "expected a list"),
        ("breakers: [{name: a, max_recovery_timeout: 1s}]", "recovery_timeout 60"),
        ("breaker: []", 'did you mean "breakers"?'),
        ("templates: []", "expected a mapping"),
        ("breakers: [{name: a, url: '${MISSING}'}]", "MISSING"),
    ],
)
def test_what_is_wrong_is_told_in_words(text: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_breakers(text, environ={})
    assert what in str(caught.value)


def test_an_unknown_environment_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match='did you mean "production"'):
        parse_breakers(SHOP, environment="prodution")


def test_validate_gives_the_lines_that_an_editor_jumps_to(tmp_path: Path) -> None:
    file = tmp_path / "breakers.yml"
    file.write_text("breakers:\n  - {name: a, kind: x}\n")
    assert validate(file)[0].startswith(f"{file}:2:21: breakers[0].kind: expected")
    file.write_text("breakers: [{name: a}]")
    assert validate(file) == []
    assert "cannot be read" in validate(tmp_path / "none.yml")[0]
    (tmp_path / "empty").mkdir()
    assert "no *.yml" in validate(tmp_path / "empty")[0]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "breakers", "template", "tags", "bulkhead", "kind"])
                | st.text(max_size=8),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_no_file_makes_it_raise_anything_else(data: Any) -> None:
    with suppress(ConfigError):
        parse_breakers(json.dumps(data), environ={})


# --- living -------------------------------------------------------------------------------


def test_a_breaker_is_made_once_and_as_configured() -> None:
    registry = BreakerRegistry()
    its = parse_breakers(SHOP, registry=registry)
    assert its.breaker("claude") is its.breaker("claude") is registry.get("claude")
    assert its.breaker("claude").policy == its["claude"].policy
    with pytest.raises(KeyError):
        its.breaker("nobody")


def test_an_update_is_in_force_at_once_and_told_with_before_and_after() -> None:
    its = parse_breakers(SHOP)
    breaker, told = its.breaker("claude"), list[tuple[Any, Any]]()
    breaker.open()
    its.on_change(lambda before, after: told.append((before, after)))
    after = its.update("claude", max_failure_cycles=1, call_timeout="15s", bulkhead={"pool": "ai"})
    assert (breaker.policy.max_failure_cycles, breaker.policy.call_timeout) == (1, 15.0)
    assert breaker.state is State.OPEN
    assert after.bulkhead == BulkheadConfig(max_concurrent_calls=20, queue_timeout=10.0, pool="ai")
    (pair,) = told
    assert (pair[0].policy.max_failure_cycles, pair[1]) == (3, after)


def test_an_update_that_is_refused_changes_nothing_and_tells_everything() -> None:
    its = parse_breakers(SHOP)
    breaker, before = its.breaker("claude"), its["claude"]
    with pytest.raises(ConfigError) as caught:
        its.update("claude", failure_threshold=0, calltimeout="15s", tags="x")
    assert len(caught.value.problems) == 3
    assert its["claude"] is before
    assert breaker.policy == before.policy
    with pytest.raises(KeyError):
        its.update("nobody", failure_threshold=1)


def test_a_callback_that_raises_harms_nobody() -> None:
    its, told = parse_breakers(SHOP), []

    def bad(before: BreakerConfig | None, after: BreakerConfig | None) -> None:
        raise RuntimeError("callback")

    its.on_change(bad)
    its.on_change(lambda before, after: told.append(after))
    its.update("claude", max_failure_cycles=1)
    assert len(told) == 1


def test_a_predicate_of_the_programs_own_survives_an_update() -> None:
    its = parse_breakers(SHOP)
    breaker = its.breaker("claude")
    breaker.reconfigure(breaker.policy.replace(is_failure=bool))
    its.update("claude", max_failure_cycles=9)
    assert breaker.policy.is_failure is bool
    assert breaker.policy.max_failure_cycles == 9


def test_a_reload_applies_the_difference_and_keeps_updates_on_top(tmp_path: Path) -> None:
    file = tmp_path / "b.yml"
    file.write_text("breakers: [{name: a}, {name: b}, {name: c}]")
    its = load_breakers(file)
    a, b = its.breaker("a"), its.breaker("b")
    its.update("a", recovery_timeout="1s")
    file.write_text("breakers: [{name: a, failure_threshold: 9}, {name: c}, {name: d}]")
    assert its.reload() == ["a", "b", "d"]
    assert (a.policy.failure_threshold, a.policy.recovery_timeout) == (9, 1.0)
    assert its.registry.get("b") is not b
    file.write_text("breakers: [{name: a, failure_threshold: 0}]")
    with pytest.raises(ConfigError):
        its.reload()
    assert a.policy.failure_threshold == 9
    with pytest.raises(RuntimeError):
        parse_breakers("breakers: []").reload()


def test_breakers_of_one_pool_share_its_places() -> None:
    its = parse_breakers(
        "defaults: {bulkhead: {pool: ai, max_concurrent_calls: 3, queue_timeout: 2s}}\n"
        "breakers: [{name: a}, {name: b}, {name: c, bulkhead: {pool: other}}]"
    )
    assert its.bulkhead("a") is its.bulkhead("b") is not its.bulkhead("c")
    pool = its.bulkhead("a")
    assert pool is not None
    assert (pool.max_concurrent_calls, pool.queue_timeout) == (3, 2.0)


def test_reading_a_file_imports_nothing_of_the_daemon() -> None:
    """Decision 4: PyYAML, and none of the daemon's libraries."""
    code = (
        "import sys, cbmon.appconfig as a; a.parse_breakers('breakers: [{name: x}]');"
        "print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    heavy = {"pydantic", "aiohttp", "sqlalchemy", "apscheduler", "jinja2", "prometheus_client"}
    assert not heavy & set(done.stdout.split())


def test_every_field_of_a_policy_can_be_written_but_the_predicate() -> None:
    fields = {each.name for each in dataclasses.fields(BreakerPolicy)}
    assert fields - {"is_failure"} == set(POLICY)


# --- what does nothing --------------------------------------------------------------------

IDLE = """
defaults: {kind: percentage, window_size: 50, window_seconds: 30s}
templates:
  own: {base: conservative, kind: time, failure_threshold: 4}
  unused: {kind: count, window_size: 20}
environments:
  production: {failure_threshold: 2}
breakers:
  - {name: a, failure_threshold: 3}
  - {name: b, template: own}
  - name: c
    kind: count
    window_seconds: 10s
    environments: {production: {minimum_calls: 4}}
"""


def test_a_field_that_does_nothing_anywhere_is_a_warning_at_its_place() -> None:
    with pytest.warns(BreakerWarning) as told:
        its = parse_breakers(IDLE)
    found = [str(problem).removeprefix("<text>:") for problem in its.warnings]
    assert [str(one.message).removeprefix("<text>:") for one in told] == found
    assert {one.filename for one in told} == {__file__}
    assert [line.partition(", because")[0] for line in found] == [
        "2:63: defaults.window_seconds: has no effect",
        "4:60: templates.own.failure_threshold: has no effect",
        "5:38: templates.unused.window_size: has no effect",
        "9:34: breakers[0].failure_threshold: has no effect",
        "13:21: breakers[2].window_seconds: has no effect",
        "14:48: breakers[2].environments.production.minimum_calls: has no effect",
    ]
    assert found[3].endswith("kind 'percentage' judges rates over window_size calls")


def test_what_some_breaker_has_a_use_for_is_no_warning() -> None:
    parse_breakers(SHOP)
    its = parse_breakers(
        "defaults: {failure_threshold: 3}\nbreakers: [{name: a}, {name: b, kind: time}]"
    )
    assert its.warnings == ()


def test_settings_from_python_warn_too() -> None:
    with pytest.warns(BreakerWarning, match=r"window_size: has no effect, because kind 'count'"):
        breaker_config("x", window_size=20)
    its = parse_breakers("breakers: [{name: a}]")
    with pytest.warns(BreakerWarning, match=r"window_size: has no effect") as told:
        its.update("a", window_size=20)
    assert len(told) == 1
    its.update("a", kind="percentage", window_size=30)


def test_validate_warns_and_finds_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_text("name: a\nwindow_size: 20\n")
    with pytest.warns(BreakerWarning, match=r"a.yml:2:14: window_size: has no effect"):
        assert validate(file) == []
    with pytest.warns(BreakerWarning):
        its = load_breakers(file)
    file.write_text("name: a\nwindow_size: 20\nminimum_calls: 3\n")
    with pytest.warns(BreakerWarning, match="minimum_calls") as told:
        its.reload()
    assert (len(told), len(its.warnings)) == (1, 2)
