"""A value of a setting means the same in JSON, in a column and in the policy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.breaker import BreakerPolicy
from cbmon.config.breakers import PolicyFields
from cbmon.settings import FIELDS, as_json, from_json, from_text, to_text
from cbmon.settings.fields import DURATIONS, RATIOS, read
from cbmon.store.schema import SETTINGS
from cbmon.testing import policies


def test_the_columns_the_yaml_and_the_policy_have_the_same_fields() -> None:
    assert FIELDS == SETTINGS
    assert set(PolicyFields.model_fields) - {"timeout_seconds"} == set(FIELDS)


def test_durations_and_ratios_are_those_of_the_yaml() -> None:
    schema = PolicyFields.model_json_schema()["properties"]

    def unit(name: str) -> str | None:
        forms = [schema[name], *schema[name].get("anyOf", ())]
        return next((form["x-unit"] for form in forms if "x-unit" in form), None)

    assert {name for name in FIELDS if unit(name) == "duration"} == DURATIONS
    assert {name for name in FIELDS if unit(name) == "ratio"} == RATIOS


@given(policies())
def test_every_value_survives_json_and_a_column(policy: BreakerPolicy) -> None:
    for name in FIELDS:
        value = getattr(policy, name)
        assert from_json(name, as_json(value)) == value
        assert from_text(name, to_text(value)) == value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("recovery_timeout", "90", 90.0),
        ("recovery_timeout", " 1m30s ", 90.0),
        ("slow_call_seconds", "NULL", None),
        ("failure_rate_threshold", "40%", 0.4),
        ("failure_rate_threshold", "0.4", 0.4),
        ("failure_threshold", "7", 7),
        ("failure_threshold", "7.0", 7.0),
        ("recovery_backoff", "1e1", 10.0),
        ("auto_disable_enabled", "1", True),
        ("auto_disable_enabled", "f", False),
        ("kind", "time", "time"),
        ("adaptive_rules", "error_rate, latency", ("error_rate", "latency")),
        ("adaptive_rules", '["latency"]', ("latency",)),
    ],
)
def test_a_column_is_read_as_a_person_writes_it(name: str, text: str, value: Any) -> None:
    found = from_text(name, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("recovery_timeout", "soon", "seconds, or a duration such as 500ms, 30s or 1h30m"),
        ("recovery_timeout", "-1", "seconds, or a duration"),
        ("recovery_jitter", "120%", "a ratio such as 0.4 or 40%"),
        ("failure_threshold", "five", "a whole number"),
        ("recovery_backoff", "", "a number"),
        ("adaptive_rules", "[1", "rules such as"),
    ],
)
def test_a_column_that_means_nothing_says_what_was_expected(
    name: str, text: str, expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        from_text(name, text)


def test_the_alias_of_the_yaml_works_but_not_beside_the_name() -> None:
    assert read({"timeout_seconds": 9}, from_json) == ({"recovery_timeout": 9}, [])
    _, problems = read({"recovery_timeout": 8, "timeout_seconds": 9}, from_json)
    assert str(problems[0]) == (
        "timeout_seconds: 9 is not allowed; expected only one of timeout_seconds and "
        "recovery_timeout"
    )


def test_an_unknown_field_gets_a_suggestion() -> None:
    _, problems = read({"failure_treshold": 3}, from_json)
    assert problems[0].expected == 'the name of a setting; did you mean "failure_threshold"?'


@given(st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=12)))
def test_whatever_stands_in_a_row_is_read_or_refused(texts: dict[str, str]) -> None:
    found, problems = read(texts, from_text)
    assert set(found) | {problem.field for problem in problems} == set(texts)
