"""Templates and the policies made of them.

Rule: the engine's fields, the engine's defaults and the engine's rules; nothing is said twice.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from cbmon.breaker import BreakerPolicy
from cbmon.config.breakers import BreakerSettings, PolicyFields
from cbmon.config.policies import BUILT_IN

ONLY_IN_CODE = {"expected_exceptions", "ignored_exceptions", "is_failure"}


def test_every_field_of_a_policy_can_be_configured_with_the_same_default() -> None:
    expected = {
        one.name: one.default for one in fields(BreakerPolicy) if one.name not in ONLY_IN_CODE
    }
    options = {name: one.default for name, one in PolicyFields.model_fields.items()}

    assert options.pop("timeout_seconds") is None
    assert expected == options


@pytest.mark.parametrize(
    ("name", "threshold", "recovery", "trials"),
    [("conservative", 5, 60, 1), ("aggressive", 3, 30, 2), ("lenient", 10, 120, 3)],
)
def test_the_presets_are_what_they_promise(
    load: Any, name: str, threshold: int, recovery: float, trials: int
) -> None:
    policy = (
        load(f"checks: [{{name: a, tcp: {{address: 'a:1'}}, breaker: {name}}}]").checks[0].policy
    )

    assert policy.kind == "count"
    assert (policy.failure_threshold, policy.recovery_timeout, policy.trial_calls) == (
        threshold,
        recovery,
        trials,
    )


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_template_is_a_valid_policy_and_says_what_it_is_for(name: str) -> None:
    purpose, settings = BUILT_IN[name]

    assert purpose.endswith(".")
    assert BreakerPolicy(**settings).longest_wait > 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ai_provider", "adaptive"),
        ("database", "percentage"),
        ("mcp_server", "count"),
        ("external_api", "time"),
    ],
)
def test_each_service_template_has_the_kind_that_suits_it(name: str, kind: str) -> None:
    assert BUILT_IN[name][1]["kind"] == kind


def test_a_template_starts_from_its_base_and_the_base_from_its_own(load: Any) -> None:
    config = load(
        "templates:\n"
        "  third: {base: second, failure_threshold: 7}\n"
        "  second: {base: first, recovery_backoff: 3, failure_threshold: 6}\n"
        "  first: {base: lenient, recovery_jitter: 10%, max_recovery_timeout: 1h}\n"
        "checks: [{name: a, tcp: {address: 'a:1'}, breaker: third}]"
    )
    policy = config.checks[0].policy

    assert (policy.failure_threshold, policy.recovery_backoff) == (7, 3)
    assert (policy.recovery_jitter, policy.max_recovery_timeout) == (0.1, 3600)
    assert (policy.recovery_timeout, policy.half_open_max_calls) == (120, 3)


def test_what_a_check_says_wins_over_its_template(load: Any) -> None:
    config = load(
        "checks: [{name: a, tcp: {address: 'a:1'}, "
        "breaker: {template: lenient, failure_threshold: 4, recovery_timeout: 1s}}]"
    )
    policy = config.checks[0].policy

    assert (policy.failure_threshold, policy.recovery_timeout) == (4, 1)
    assert policy.half_open_max_calls == 3


def test_overrides_without_a_template_start_from_the_default_breaker(load: Any) -> None:
    config = load(
        "defaults: {breaker: {template: lenient, recovery_backoff: 2}}\n"
        "checks:\n"
        "  - {name: a, tcp: {address: 'a:1'}}\n"
        "  - {name: b, tcp: {address: 'b:1'}, breaker: {failure_threshold: 4}}\n"
        "  - name: c\n"
        "    tcp: {address: 'c:1'}\n"
        "    breaker: {template: conservative, minimum_calls: null}\n"
    )
    plain, changed, own = (check.policy for check in config.checks)

    assert (plain.failure_threshold, plain.recovery_backoff) == (10, 2)
    assert (changed.failure_threshold, changed.recovery_backoff) == (4, 2)
    assert (own.failure_threshold, own.recovery_backoff, own.minimum_calls) == (5, 1, None)


def test_timeout_seconds_is_recovery_timeout_by_another_name(load: Any) -> None:
    config = load(
        "checks:\n"
        "  - {name: a, tcp: {address: 'a:1'}, breaker: {timeout_seconds: 90}}\n"
        "  - {name: b, tcp: {address: 'b:1'}, breaker: {recovery_timeout: 1m30s}}\n"
    )

    assert config.checks[0].policy == config.checks[1].policy
    assert config.checks[0].policy is config.checks[1].policy


def test_settings_know_what_was_written() -> None:
    settings = BreakerSettings.model_validate({"template": "x", "timeout_seconds": "5s"})

    assert settings.given() == {"recovery_timeout": 5}


def test_a_window_that_just_holds_enough_runs_is_accepted(load: Any, refuse: Any) -> None:
    text = (
        "checks: [{name: a, tcp: {address: 'a:1'}, interval: 10s, "
        "breaker: {kind: time, window_seconds: %s, minimum_calls: 6}}]"
    )

    assert load(text % "51s").checks
    assert "would never open" in refuse(text % "50s")
