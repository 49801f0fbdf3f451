"""Every component falls into one class, and those nobody configured into the last."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.rules.classes import DAY, HOUR, MINUTE, class_of, classes, rounded

VALUES = st.dictionaries(st.text(min_size=1, max_size=3), st.sampled_from([1.0, 2.0, 3.0]))


@given(VALUES)
def test_a_component_falls_into_the_class_of_its_value(values: dict[str, float]) -> None:
    found = classes(values, 2.0)
    assert {name: class_of(found, name).value for name in values} == values
    assert class_of(found, "nobody configured this").value == 2.0


@given(VALUES.filter(bool))
def test_without_a_default_what_most_have_is_for_all_others(values: dict[str, float]) -> None:
    last = classes(values)[-1]
    counts = {value: list(values.values()).count(value) for value in values.values()}
    assert last.others
    assert counts[last.value] == max(counts.values())


def test_one_class_for_all_needs_no_matcher() -> None:
    (only,) = classes({"a": 5.0, "b": 5.0})
    assert only.match("check") == ""


def test_two_classes_exclude_each_other() -> None:
    first, last = classes({"a": 5.0, "b": 7.0}, 5.0)
    assert (first.match("check"), last.match("check")) == ('check=~"b"', 'check!~"b"')


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, MINUTE), (61, 2 * MINUTE), (601, 15 * MINUTE), (HOUR, HOUR), (DAY + 1, 2 * DAY)],
)
def test_windows_are_rounded_up_to_what_a_person_would_write(
    seconds: float, expected: float
) -> None:
    assert rounded(seconds) == expected
