"""Times on the command line are written as in the configuration."""

from __future__ import annotations

import pytest

from cbmon.cli.durations import Duration
from cbmon.cli.problem import CommandError


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30.0), ("1h30m", 5400.0), ("500ms", 0.5), ("9", 9.0), ("7d", 6e5)]
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("soon", "expected a duration such as 500ms, 30s or 1h30m"),
        ("-3", "expected a duration such as"),
        ("nan", "expected a duration such as"),
        ("0s", "expected more than 0s and at most 366d, got '0s'"),
        ("400d", "expected more than 0s and at most 366d"),
    ],
)
def test_what_is_no_duration_says_what_would_be(text: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        Duration(above=True).convert(text, None, None)


def test_both_ends_of_a_range_are_in_it() -> None:
    watch = Duration(0.2, 3600.0)
    assert [watch.convert(text, None, None) for text in ("200ms", "1h")] == [0.2, 3600.0]
    with pytest.raises(CommandError, match="expected from 200ms to 1h"):
        watch.convert("61m", None, None)
