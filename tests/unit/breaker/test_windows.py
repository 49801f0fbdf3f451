"""R5: the windows against a list of everything that ever happened."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.breaker.windows import FAILED, SLOW, CallWindow, TimeWindow

CODES = st.integers(0, 3)


def totals(codes: list[int]) -> tuple[int, int, int]:
    return len(codes), sum(code & FAILED for code in codes), sum(code >> 1 for code in codes)


def shown(window: CallWindow | TimeWindow) -> tuple[int, int, int]:
    return window.calls, window.failures, window.slow


class TestR5CallWindow:
    @given(
        size=st.integers(1, 300), runs=st.lists(st.tuples(CODES, st.integers(0, 200)), max_size=60)
    )
    def test_it_holds_the_last_calls_and_no_other(
        self, size: int, runs: list[tuple[int, int]]
    ) -> None:
        window = CallWindow(size)
        history: list[int] = []
        for code, successes in runs:
            window.add(code, 0.0)
            history.append(code)
            assert shown(window) == totals(history[-size:])
            harmless = min(successes, window.edge)
            if harmless:
                window.catch_up(int(harmless))
                history.extend([0] * int(harmless))
                assert shown(window) == totals(history[-size:])
        twin = CallWindow(size)
        twin.load(window.dump(0.0, 0.0), 0.0, 0.0)
        for code in (0, 1, 2) * 40:
            for one in (window, twin):
                one.add(code, 0.0)
            assert shown(window) == shown(twin)

    @given(size=st.integers(1, 20), codes=st.lists(CODES, max_size=60))
    def test_the_edge_is_the_number_of_successes_that_push_out_nothing(
        self, size: int, codes: list[int]
    ) -> None:
        window = CallWindow(size)
        for code in codes:
            window.add(code, 0.0)
        edge = window.edge
        before = window.failures, window.slow
        if edge == float("inf"):
            assert before == (0, 0)
            return
        for _ in range(int(edge)):
            window.add(0, 0.0)
            assert (window.failures, window.slow) == before
        window.add(0, 0.0)
        assert (window.failures, window.slow) != before

    def test_memory_does_not_grow_with_the_calls(self) -> None:
        window = CallWindow(50)
        for number in range(100_000):
            window.add(number % 2, 0.0)
        assert len(window._bad) < 200

    @pytest.mark.parametrize(("size", "most", "times"), [(1000, 2000, 20), (50, 113, 312)])
    def test_what_has_left_is_cleared_away_by_halves_or_by_sixty_fours(
        self, size: int, most: int, times: int
    ) -> None:
        window = CallWindow(size)
        for _ in range(size):
            window.add(FAILED, 0.0)
        cleared = 0
        for _ in range(20_000):
            window.add(FAILED, 0.0)
            assert len(window._bad) <= most
            cleared += window._gone == 0
        assert cleared <= times

    @given(st.integers(1, 30), st.integers(1, 30), st.lists(CODES, max_size=60))
    def test_the_newest_that_fit_survive_another_size(
        self, old: int, new: int, codes: list[int]
    ) -> None:
        window, smaller = CallWindow(old), CallWindow(new)
        for code in codes:
            window.add(code, 0.0)
        smaller.load(window.dump(0.0, 0.0), 0.0, 0.0)
        assert shown(smaller) == totals(codes[-old:][-new:])

    @pytest.mark.parametrize("data", [
        None, 5, "001", [], [True], [-1], [1 << 53], [3, [0]], [3, [0, 4]], [3, [0, 0]],
        [3, [3, 1]], [3, [-1, 1]], [3, [True, 1]], [3, [0, True]], [3, [0, 1], [1, 1]],
        [3, [1, 1], [1, 1]], [2.0], [3, "01"], [3, [4, 1]], [(1 << 53) + 1],
    ])  # fmt: skip
    def test_odd_data_is_refused(self, data: Any) -> None:
        window = CallWindow(5)
        with pytest.raises(ValueError, match=r"^window: "):
            window.load(data, 0.0, 0.0)
        assert shown(window) == (0, 0, 0)

    def test_good_data_is_not(self) -> None:
        window = CallWindow(5)
        window.load([3, [2, 1], [0, 3]], 0.0, 0.0)
        assert shown(window) == (3, 2, 1)
        window.load([0], 0.0, 0.0)
        assert shown(window) == (0, 0, 0)
        window.load([(1 << 53) - 1], 0.0, 0.0)
        assert shown(window) == (5, 0, 0)


class TestR5TimeWindow:
    @given(
        seconds=st.floats(0.01, 1e5),
        start=st.floats(0, 1e7),
        steps=st.lists(st.tuples(CODES, st.floats(0, 1.5)), max_size=80),
    )
    def test_what_is_young_counts_what_is_old_does_not(
        self, seconds: float, start: float, steps: list[tuple[int, float]]
    ) -> None:
        window, now, history = TimeWindow(seconds), start, []
        for code, step in steps:
            now += step * seconds * (0.01 if code else 1)
            window.add(code, now)
            history.append((now, code))
            at_least = [code for at, code in history if now - at < 0.9 * seconds]
            at_most = [code for at, code in history if now - at < seconds]
            for low, value, high in zip(
                totals(at_least), shown(window), totals(at_most), strict=True
            ):
                assert low <= value <= high
            assert len(window._done) <= 14 * 4

    @given(st.floats(0, 1e9), st.floats(1e-2, 1e6))
    def test_at_its_full_age_an_outcome_is_gone_though_nobody_calls(
        self, at: float, seconds: float
    ) -> None:
        window = TimeWindow(seconds)
        window.add(FAILED, at)
        window.expire(at + seconds)
        assert shown(window) == (0, 0, 0)
        assert window.edge == float("-inf")

    def test_one_aged_nine_tenths_is_not(self) -> None:
        window = TimeWindow(60.0)
        window.add(FAILED | SLOW, 100.0)
        window.expire(100.0 + 54.0)
        assert shown(window) == (1, 1, 1)

    def test_buckets_do_not_drag_the_young_along_with_the_old(self) -> None:
        window = TimeWindow(60.0)
        window.add(FAILED, 0.0)
        window.add(0, 4.9)
        window.add(FAILED, 5.0)
        window.expire(60.0)
        assert shown(window) == (1, 1, 0)

    def test_at_the_edge_there_is_another_edge(self) -> None:
        for second in (0.0, 55.0):  # the newest bucket ends, or the oldest is too old
            window = TimeWindow(60.0)
            window.add(FAILED, 0.0)
            window.add(0, second)
            edge = window.edge
            window.add(0, edge)
            assert window.edge > edge
            assert window.failures == (second == 0.0)

    def test_a_bucket_that_is_not_full_takes_what_comes_though_the_oldest_has_gone(self) -> None:
        for seconds in (6.0, 60.0):
            window = TimeWindow(seconds)
            for share in (0.0, 0.5, 0.95, 0.9995):
                window.add(0, share * seconds)
            rows = [[0.5 * seconds, 1, 0, 0], [0.95 * seconds, 2, 0, 0]]
            assert window.dump(seconds, 0.0) == rows

    def test_a_clock_may_begin_below_zero(self) -> None:
        window = TimeWindow(60.0)
        for second in (-100.0, -90.0, -35.0, 5.0):
            window.add(FAILED, second)
        assert shown(window) == (2, 2, 0)

    def test_many_calls_are_in_thirteen_buckets(self) -> None:
        window = TimeWindow(60.0)
        for tenth in range(3000):
            window.add(0, tenth / 10)
            assert len(window.dump(tenth / 10, 0.0)) <= 13
        assert len(window.dump(300.0, 0.0)) == 11

    def test_up_to_the_edge_successes_may_be_told_later(self) -> None:
        window = TimeWindow(60.0)
        window.add(FAILED, 0.0)
        assert window.edge == 5.0
        window.catch_up(9)
        assert shown(window) == (10, 1, 0)
        window.add(0, 5.0)
        assert window.edge == 10.0
        window.expire(60.0)
        assert shown(window) == (1, 0, 0)

    def test_the_edge_comes_when_the_oldest_leaves(self) -> None:
        window = TimeWindow(60.0)
        window.add(0, 0.0)
        window.add(0, 58.0)
        assert window.edge == pytest.approx(59.95)

    @given(st.lists(st.tuples(CODES, st.floats(0, 20)), max_size=30), st.floats(-1e6, 1e9))
    def test_it_comes_back_from_a_snapshot(
        self, steps: list[tuple[int, float]], offset: float
    ) -> None:
        window, now = TimeWindow(60.0), 0.0
        for code, step in steps:
            now += step
            window.add(code, now)
        twin = TimeWindow(60.0)
        twin.load(window.dump(now, offset), now, offset)
        assert shown(twin) == shown(window)

    def test_a_full_one_comes_back_bucket_by_bucket(self) -> None:
        window, twin = TimeWindow(60.0), TimeWindow(60.0)
        for second in range(0, 60, 5):
            window.add(FAILED, float(second))
        twin.load(window.dump(55.0, 7.0), 55.0, 7.0)
        assert shown(twin) == shown(window) == (12, 12, 0)

    @pytest.mark.parametrize("data", [
        None, "x", 5, [1], [[1, 2, 3]], [[1, 1, 2, 0]], [[1, 1, 0, 2]], [[1, 1, -1, 0]],
        [[1, 1, 0, -1]], [[True, 1, 0, 0]], [[1e12, 1, 0, 0]], [[float("nan"), 1, 0, 0]],
        [[1, 1 << 53, 0, 0]], [[1, (1 << 53) + 1, 0, 0]],
        [[2, 1, 0, 0], [1, 1, 0, 0]], [[1, 1.0, 0, 0]], [["1", 1, 0, 0]],
    ])  # fmt: skip
    def test_odd_data_is_refused(self, data: Any) -> None:
        window = TimeWindow(60.0)
        with pytest.raises(ValueError, match=r"^window: "):
            window.load(data, 0.0, 0.0)
        assert shown(window) == (0, 0, 0)

    def test_many_calls_long_ago_are_not_odd(self) -> None:
        window, start = TimeWindow(60.0), 999_999_999_999.0
        window.load([[start, (1 << 53) - 1, 0, 0]], start, 0.0)
        assert window.calls == (1 << 53) - 1

    def test_a_start_in_the_future_is_now(self) -> None:
        window = TimeWindow(60.0)
        window.load([[500, 3, 1, 0]], 10.0, 0.0)
        assert shown(window) == (3, 1, 0)
        window.expire(70.0)
        assert shown(window) == (0, 0, 0)
