"""Uptime: of the time that is known; what is not known counts neither as up nor as down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.results.summary import TICK, Summary
from cbmon.web.uptime import DAY, days, uptime

NOW = 1_000 * DAY + DAY / 2


def lasted(up: float, down: float = 0.0) -> Summary:
    return Summary(up=round(up / TICK), down=round(down / TICK))


def test_nothing_known_is_no_uptime() -> None:
    assert uptime({}, since=0) is None
    assert uptime({NOW: Summary()}, since=0) is None


def test_only_the_time_that_is_known_counts() -> None:
    assert uptime({999 * DAY: lasted(3600, 3600)}, since=0) == 0.5


def test_a_long_and_a_short_stretch_weigh_as_long_as_they_are() -> None:
    series = {998 * DAY: lasted(90_000), 999 * DAY: lasted(0, 10_000)}
    assert uptime(series, since=0) == 0.9
    assert uptime(series, since=999 * DAY) == 0


def test_days_are_those_of_utc_and_today_is_the_last() -> None:
    found = days({999 * DAY: lasted(100), 1_000 * DAY: lasted(50, 50)}, now=NOW, count=4)
    assert [day.start for day in found] == [997 * DAY, 998 * DAY, 999 * DAY, 1_000 * DAY]
    assert [day.mark for day in found] == ["unknown", "unknown", "up", "down"]


def test_a_day_in_which_the_daemon_was_off_is_not_up() -> None:
    assert days({}, now=NOW, count=1)[0].share is None


@pytest.mark.parametrize(
    ("hours", "mark"), [(0, "up"), (1, "some"), (2.4, "some"), (3, "down"), (24, "down")]
)
def test_a_day_says_how_bad_it_was(hours: float, mark: str) -> None:
    down = hours * 3600
    found = days({999 * DAY: lasted(DAY - down, down)}, now=NOW, count=2)
    assert found[0].mark == mark
    assert found[0].down == down
    assert found[0].known == DAY


ticks = st.integers(0, 10**7)


@given(st.dictionaries(st.integers(960, 1000), st.tuples(ticks, ticks)))
def test_a_share_is_always_a_share(known: dict[int, tuple[int, int]]) -> None:
    by_day = {at * DAY: Summary(up=up, down=down) for at, (up, down) in known.items()}
    for day in days(by_day, now=NOW):
        assert day.share is None or 0 <= day.share <= 1
