"""Three layers: the override of a breaker, above the defaults in the database, above the YAML."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.breaker import BreakerPolicy
from cbmon.settings import FIELDS, Base, Book, Source
from cbmon.settings.layers import problems_of
from cbmon.testing import policies


def book(**yaml: dict[str, Any]) -> Book:
    made = Book()
    made.rebase(
        {name: Base(policy=BreakerPolicy(**fields), interval=30.0) for name, fields in yaml.items()}
    )
    return made


def test_the_upper_layer_wins_field_by_field() -> None:
    its = book(api={"failure_threshold": 7, "recovery_timeout": 10.0, "window_size": 50})
    its.set_defaults({"failure_threshold": 8, "recovery_timeout": 20.0})
    its.set_override("api", {"failure_threshold": 9})
    found = its.of("api")
    assert (found.policy.failure_threshold, found.source("failure_threshold")) == (
        9,
        Source.OVERRIDE,
    )
    assert (found.policy.recovery_timeout, found.source("recovery_timeout")) == (
        20.0,
        Source.DATABASE,
    )
    assert (found.policy.window_size, found.source("window_size")) == (50, Source.YAML)
    assert found.yaml.failure_threshold == 7


def test_taking_the_layers_away_gives_the_yaml_back() -> None:
    its = book(api={"failure_threshold": 7})
    its.set_defaults({"failure_threshold": 8})
    its.set_override("api", {"failure_threshold": 9})
    its.set_override("api", None)
    assert its.of("api").policy.failure_threshold == 8
    its.set_defaults({})
    assert its.of("api").policy is its.of("api").yaml


def test_a_null_is_a_value_and_not_nothing() -> None:
    its = book(api={"slow_call_seconds": 2.0})
    its.set_override("api", {"slow_call_seconds": None})
    assert its.of("api").policy.slow_call_seconds is None
    assert its.of("api").source("slow_call_seconds") is Source.OVERRIDE


def test_breakers_with_equal_layers_share_one_policy() -> None:
    its = book(a={}, b={})
    its.set_defaults({"failure_threshold": 8})
    assert its.of("a").policy is its.of("b").policy


def test_every_problem_is_told_at_once_with_field_value_and_bound() -> None:
    wrong = {
        "failure_threshold": 0,
        "recovery_jitter": 1.5,
        "recovery_timeout": float("nan"),
        "kind": "luck",
        "half_open_max_calls": 2,
        "success_threshold": 3,
    }
    found = {
        problem.field: problem for problem in book(api={}).problems_with_override("api", wrong)
    }
    assert set(found) == {
        "failure_threshold",
        "recovery_jitter",
        "recovery_timeout",
        "kind",
        "success_threshold",
    }
    assert found["failure_threshold"].expected == "a whole number >= 1 and <= 1000000"
    assert found["recovery_jitter"].value == 1.5
    assert found["success_threshold"].expected.startswith("<= half_open_max_calls 2")


def test_what_does_not_go_with_a_layer_below_is_told() -> None:
    its = book(api={"recovery_timeout": 120.0})
    (problem,) = its.problems_with_override("api", {"max_recovery_timeout": 90.0})
    assert str(problem) == (
        "max_recovery_timeout: 90.0 is not allowed; expected >= recovery_timeout 120.0"
    )


def test_a_default_that_is_wrong_for_one_breaker_names_it() -> None:
    its = book(fine={}, slow={"recovery_timeout": 120.0})
    (problem,) = its.problems_with_defaults({"max_recovery_timeout": 90.0})
    assert (problem.breaker, problem.field) == ("slow", "max_recovery_timeout")
    assert its.problems_with_defaults({"max_recovery_timeout": 150.0}) == []


def test_a_default_that_no_breaker_could_have_is_told_once() -> None:
    its = book(**{f"b{number}": {} for number in range(200)})
    assert len(its.problems_with_defaults({"failure_threshold": 0})) == 1
    assert len(book().problems_with_defaults({"failure_threshold": 0})) == 1


def test_a_default_is_right_where_an_override_makes_it_so() -> None:
    its = book(slow={"recovery_timeout": 120.0})
    its.set_override("slow", {"recovery_timeout": 30.0})
    assert its.problems_with_defaults({"max_recovery_timeout": 90.0}) == []


def test_a_window_in_which_too_few_runs_fit_is_refused() -> None:
    its = book(api={})
    (problem,) = its.problems_with_override("api", {"kind": "time", "window_seconds": 60.0})
    assert problem.field == "window_seconds"
    assert problem.expected.startswith("at least 5m, or it never opens")
    assert its.problems_with_override("api", {"kind": "time", "window_seconds": 300.0}) == []


def test_settings_that_do_not_go_with_another_configuration_are_told() -> None:
    its = book(api={})
    its.set_override("api", {"max_recovery_timeout": 90.0})
    other = {"api": Base(policy=BreakerPolicy(recovery_timeout=120.0), interval=30.0)}
    (problem,) = its.problems_with_bases(other)
    assert problem.breaker == "api"
    its.rebase(other)
    assert its.of("api").policy == other["api"].policy, "the YAML alone holds"


def test_settings_of_a_breaker_that_is_not_configured_wait() -> None:
    its = book(api={})
    its.set_override("later", {"failure_threshold": 3})
    assert its.differences() == []
    its.rebase({"later": Base(policy=BreakerPolicy(), interval=30.0)})
    assert its.of("later").policy.failure_threshold == 3


def test_only_values_that_differ_from_the_yaml_are_differences() -> None:
    its = book(api={"failure_threshold": 3}, db={})
    its.set_defaults({"failure_threshold": 3})
    (found,) = its.differences()
    assert (found.name, found.field, found.yaml, found.value) == ("db", "failure_threshold", 5, 3)
    assert found.source is Source.DATABASE


def test_a_copy_can_be_tried_without_touching_the_book() -> None:
    its = book(api={})
    other = its.copy()
    other.set_override("api", {"failure_threshold": 3})
    assert its.of("api").policy.failure_threshold == 5
    assert other.of("api").policy.failure_threshold == 3


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2000),
    st.floats(allow_nan=True),
    st.text(max_size=5),
    st.lists(st.text(max_size=5), max_size=3),
)


@given(policies(), st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=6))
def test_no_problem_means_a_policy_and_a_policy_means_no_problem(
    base: BreakerPolicy, fields: dict[str, Any]
) -> None:
    problems = problems_of(base, fields)
    if problems:
        with pytest.raises(ValueError, match="is not allowed"):
            base.replace(**fields)
    else:
        base.replace(**fields)
