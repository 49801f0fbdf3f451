"""Uptime: what was down counts once and inside its stretch, what is not known not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.web.uptime import DAY, days, uptime

NOW = 1_000 * DAY + DAY / 2


def test_no_outage_is_all_up() -> None:
    assert uptime([], now=NOW, span=DAY, known_since=0) == 1


def test_an_outage_that_goes_on_counts_until_now() -> None:
    assert uptime([(NOW - DAY / 4, None)], now=NOW, span=DAY, known_since=0) == 0.75


def test_of_an_outage_only_the_part_inside_the_span_counts() -> None:
    outage = (NOW - 2 * DAY, NOW - DAY / 2)
    assert uptime([outage], now=NOW, span=DAY, known_since=0) == 0.5


def test_what_is_not_known_is_left_out() -> None:
    known = NOW - DAY / 2
    assert uptime([(NOW - DAY / 4, None)], now=NOW, span=DAY, known_since=known) == 0.5
    assert uptime([], now=NOW, span=DAY, known_since=NOW) is None


def test_days_are_those_of_utc_and_today_is_the_last() -> None:
    found = days([], now=NOW, known_since=NOW - 2 * DAY, count=4)
    assert [day.start for day in found] == [997 * DAY, 998 * DAY, 999 * DAY, 1_000 * DAY]
    assert [day.mark for day in found] == ["unknown", "up", "up", "up"]


@pytest.mark.parametrize(
    ("hours", "mark"), [(0, "up"), (1, "some"), (2.4, "some"), (3, "down"), (24, "down")]
)
def test_a_day_says_how_bad_it_was(hours: float, mark: str) -> None:
    begun = 999 * DAY
    found = days([(begun, begun + hours * 3600)], now=NOW, known_since=0, count=2)
    assert found[0].mark == mark
    assert found[0].down == hours * 3600


moments = st.floats(990 * DAY, NOW)


@given(st.lists(st.tuples(moments, st.one_of(st.none(), moments)), max_size=5), moments)
def test_a_share_is_always_a_share(outages: list[tuple[float, float | None]], since: float) -> None:
    for day in days(outages, now=NOW, known_since=since):
        assert day.share is None or 0 <= day.share <= 1
