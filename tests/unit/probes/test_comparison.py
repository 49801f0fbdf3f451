"""Rule: a comparison is read as it is written, and NaN never passes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from cbmon.config.fields import Options
from cbmon.probes.comparison import Comparison, Comparisons, parse_comparison, unmet


class Model(Options):
    value: Comparisons | None = Field(None, description="a comparison")


@pytest.mark.parametrize(
    ("expected", "written"),
    [
        (Comparison("==", 5.0), 5),
        (Comparison("==", 0.5), 0.5),
        (Comparison(">", 0.5), "> 0.5"),
        (Comparison("<=", -1.0), "<=-1"),
        (Comparison("!=", 1000.0), " != 1e3 "),
    ],
)
def test_a_comparison_is_read_as_it_is_written(expected: Comparison, written: object) -> None:
    assert expected == parse_comparison(written)


@pytest.mark.parametrize("bad", ["5", "", ">", "> x", "=> 1", "> nan", True, None, math.inf])
def test_what_is_not_a_comparison_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_comparison(bad)


@pytest.mark.parametrize(
    ("expected", "sign"),
    [
        ((True, False, False), "<"),
        ((True, True, False), "<="),
        ((False, True, False), "=="),
        ((True, False, True), "!="),
        ((False, True, True), ">="),
        ((False, False, True), ">"),
    ],
)
def test_every_sign_means_what_it_says(expected: tuple[bool, ...], sign: str) -> None:
    assert expected == tuple(Comparison(sign, 2).holds(value) for value in (1, 2, 3))


@pytest.mark.parametrize("sign", ["<", "<=", "==", "!=", ">=", ">"])
def test_nan_passes_nothing(sign: str) -> None:
    assert not Comparison(sign, 2).holds(math.nan)


def test_all_of_a_list_must_hold() -> None:
    both: Any = Model.model_validate({"value": [">= 1", "< 5"]}).value

    assert unmet(1, both) is None
    assert unmet(5, both) == ">= 1 and < 5"


def test_an_option_of_comparisons_shows_as_it_was_written() -> None:
    assert Model.model_validate({"value": ["> 1"]}).model_dump(mode="json") == {"value": ["> 1"]}
    assert Model().model_dump(mode="json") == {"value": None}
    with pytest.raises(ValidationError, match="at least one"):
        Model.model_validate({"value": []})


@given(st.text())
def test_no_text_is_taken_for_something_else(text: str) -> None:
    try:
        found: Any = parse_comparison(text)
    except ValueError:
        return
    assert parse_comparison(str(found)).sign == found.sign
