"""When the next scrape is to be expected."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cbmon.metrics.pace import Pace


def after(*moments: float) -> Pace:
    pace = Pace()
    for moment in moments:
        pace.scraped(moment)
    return pace


def test_nothing_is_expected_before_there_is_a_pause_to_go_by() -> None:
    assert after().next(5.0) is None
    assert after(3.0).next(5.0) is None


def test_the_next_one_comes_as_long_after_the_last_as_that_after_the_one_before() -> None:
    assert after(10.0, 25.0).next(26.0) == 40.0
    assert after(10.0, 25.0, 40.0).next(41.0) == 55.0


def test_of_two_readers_by_turns_the_longer_pause_counts() -> None:
    assert after(0.0, 1.0, 15.0).next(15.5) == 29.0
    assert after(0.0, 1.0, 15.0, 16.0).next(16.5) == 30.0


def test_one_that_is_late_is_waited_for_as_long_as_a_pause_and_no_longer() -> None:
    pace = after(0.0, 10.0)
    assert pace.next(29.0) == 20.0
    assert pace.next(30.1) is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=6), st.floats(0, 1e6))
def test_what_is_expected_is_never_before_the_last_one(pauses: list[float], later: float) -> None:
    moments = [sum(pauses[:number]) for number in range(len(pauses) + 1)]
    expected = after(*moments).next(moments[-1] + later)
    assert expected is None or expected > moments[-1] or max(pauses) < 1e-6
