"""What an HTTP answer says of its server, and how long it wants to be left alone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.integrations.http_rules import (
    DEFAULT_RULES,
    SERVER_ERRORS,
    HttpRules,
    retry_after,
)
from cbmon.integrations.verdicts import ANSWERED, STATUS

WALL = 1_767_225_600.0
"""2026-01-01 00:00:00 UTC."""


@pytest.mark.parametrize("status", [100, 200, 204, 301, 400, 404, 408, 429, 499])
def test_what_is_below_500_is_an_answer(status: int) -> None:
    assert DEFAULT_RULES.verdict(status) is ANSWERED


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529, 599])
def test_what_is_5xx_is_a_failure(status: int) -> None:
    assert DEFAULT_RULES.verdict(status) is STATUS


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:00 GMT"}, 60.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:00 -0000"}, 60.0),
        ({"retry-after": "Wed, 31 Dec 2025 23:00:00 GMT"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_the_rfc_has_it(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, WALL) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_can_break_it(text: str) -> None:
    seconds = retry_after({"retry-after": text}, WALL)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


def test_only_the_named_statuses_may_say_when_to_come_back() -> None:
    rules = HttpRules(
        failure_statuses=SERVER_ERRORS | {429},
        retry_after_statuses=frozenset({429}),
        longest_retry_after=30,
    )
    assert rules.wait(429, {"retry-after": "7"}, WALL) == 7
    assert rules.wait(429, {"retry-after": "7000"}, WALL) == 30
    assert rules.wait(429, {"retry-after": "0"}, WALL) is None
    assert rules.wait(503, {"retry-after": "7"}, WALL) is None


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, 1e9])
def test_a_longest_wait_that_makes_no_sense_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="longest_retry_after"):
        HttpRules(longest_retry_after=seconds)
