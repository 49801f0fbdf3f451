"""Durations, ratios and sizes.

Rule: what is read is in one unit; what is written is read back to the same.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.config.units import (
    MAX_DURATION,
    format_duration,
    format_size,
    parse_duration,
    parse_ratio,
    parse_size,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "500ms"),
        (30, "30s"),
        (300, "5m"),
        (5400, "1h30m"),
        (604_800, "7d"),
        (1.5, "1.5s"),
        (90_061.001, "1d1h1m1s1ms"),
        (30, 30),
        (0.25, 0.25),
        (30, "30"),
        (0, 0),
        (60, " 1m "),
    ],
)
def test_durations_are_seconds(seconds: float, text: object) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", "s", "5m1h", "1h1h", "1y", "1 h", "-5s", "1e3s", "٣s", "inf", "nan", "1H", "1.s"),
        *(True, None, [], {}, -1, math.inf, -math.inf, math.nan, "36501d", 10**400),
    ],
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.4, "40%"), (0.4, 0.4), (0.4, "0.4"), (1, 1), (0, "0%"), (1, "100 %")]
)
def test_ratios_are_between_0_and_1(ratio: float, text: object) -> None:
    assert parse_ratio(text) == pytest.approx(ratio)


@pytest.mark.parametrize("text", [1.01, "101%", -0.1, "half", True, None, math.nan, math.inf, "%"])
def test_what_is_no_ratio_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a ratio"):
        parse_ratio(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (1 << 20, "1MiB"),
        (10**6, "1MB"),
        (1000, "1KB"),
        (1024, "1KiB"),
        (1536, "1.5 kib"),
        (7, "7B"),
        (7, 7),
        (7, "7"),
        (0, 0),
        (2 << 30, "2GiB"),
    ],
)
def test_sizes_are_bytes_with_binary_and_decimal_units(size: int, text: object) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["1TB", "1 M", "0.5B", -1, 1.5, True, None, "", "9999999GiB"])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a"):
        parse_size(text)


@given(st.floats(0, MAX_DURATION))
def test_a_duration_that_is_written_is_read_back(seconds: float) -> None:
    text = format_duration(seconds)
    number = float(text) if text[-1].isdigit() else text

    assert parse_duration(number) == seconds


@given(st.integers(0, 10**9))
def test_whole_milliseconds_are_written_with_units(milliseconds: int) -> None:
    assert format_duration(milliseconds / 1000)[-1] in "smhd"


@given(st.integers(0, 1 << 50))
def test_a_size_that_is_written_is_read_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(
    st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.none()))
)
def test_any_value_is_a_unit_or_a_value_error(value: object) -> None:
    for parse in (parse_duration, parse_ratio, parse_size):
        try:
            result = parse(value)
        except ValueError as error:
            result, message = 0, str(error)
        else:
            message = "expected"
        assert message.startswith("expected")
        assert math.isfinite(result)
        assert result >= 0
