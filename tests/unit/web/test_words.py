"""How the page says durations, shares and states."""

from __future__ import annotations

import pytest

from cbmon.breaker import State
from cbmon.web import words
from cbmon.web.views import percentage, timestamp


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "—"),
        (0, "0 ms"),
        (0.0034, "3.4 ms"),
        (0.85, "850 ms"),
        (1, "1 s"),
        (2.34, "2.3 s"),
        (45.2, "45 s"),
        (59.7, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (187_200, "2 d 4 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float | None, expected: str) -> None:
    assert words.duration(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, ""),
        (-3, "now"),
        (0, "now"),
        (0.2, "0:01"),
        (42, "0:42"),
        (725, "12:05"),
        (3723, "1:02:03"),
    ],
)
def test_a_countdown_rounds_up_and_ends_in_now(seconds: float | None, expected: str) -> None:
    assert words.countdown(seconds) == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [(None, "—"), (1.0, "100 %"), (0.99999, "99.9 %"), (0.933, "93.3 %"), (0.0, "0 %")],
)
def test_a_share_is_never_rounded_up_to_all(share: float | None, expected: str) -> None:
    assert words.percent(share) == expected


@pytest.mark.parametrize(
    ("healthy", "total", "expected"),
    [(0, 0, 100.0), (14, 15, 93.3), (4999, 5000, 99.9), (5, 5, 100.0), (0, 3, 0.0)],
)
def test_health_is_100_only_if_all_are_well(healthy: int, total: int, expected: float) -> None:
    assert percentage(healthy, total) == expected


def test_ago_is_said_like_a_person_would() -> None:
    assert [words.ago(seconds) for seconds in (None, 0.4, 12, 4000)] == [
        "never",
        "just now",
        "12 s ago",
        "1 h 6 min ago",
    ]


def test_every_state_has_words_and_the_worst_comes_first() -> None:
    assert set(words.STATES) == set(State)
    assert min(words.STATES, key=lambda state: words.STATES[state].urgency) is State.OPEN
    assert max(words.STATES, key=lambda state: words.STATES[state].urgency) is State.CLOSED


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (None, None),
        (1_767_225_600.0, "2026-01-01T00:00:00.000Z"),
        (1_767_225_600.6789, "2026-01-01T00:00:00.678Z"),
        (1e30, None),
        (float("nan"), None),
    ],
)
def test_a_time_is_rfc_3339_or_nothing(at: float | None, expected: str | None) -> None:
    assert timestamp(at) == expected
