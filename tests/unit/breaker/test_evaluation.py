"""R1 to R6: what enters a verdict, when it is given, and what it is."""

from __future__ import annotations

import pytest

from cbmon import BreakerPolicy, State
from cbmon.testing import StateRecorder
from tests.unit.breaker.support import Driver, Make


class TestR1:
    def test_a_rate_trips_when_it_reaches_its_threshold(self, make: Make, drive: Driver) -> None:
        breaker = make(kind="percentage", failure_rate_threshold=0.3, minimum_calls=10)
        drive.run(breaker, ".......xx")
        assert breaker.state == "closed"
        drive.run(breaker, "x")
        assert breaker.state == "open"

    @pytest.mark.parametrize(("failures", "threshold"), [(7, 0.07), (29, 0.29), (57, 0.57)])
    def test_a_ratio_that_floats_cannot_hold_is_still_reached(
        self, make: Make, drive: Driver, failures: int, threshold: float
    ) -> None:
        breaker = make(kind="percentage", failure_rate_threshold=threshold, minimum_calls=100)
        drive.run(breaker, "x" * failures + "." * (99 - failures))
        assert breaker.state == "closed"
        drive.run(breaker, ".")
        assert breaker.state == "open"

    def test_the_count_kind_trips_at_its_run_of_failures(self, make: Make, drive: Driver) -> None:
        breaker = make(failure_threshold=3)
        drive.run(breaker, "xx.xx")
        assert breaker.state == "closed"
        drive.run(breaker, "x")
        assert breaker.state == "open"

    def test_a_rate_just_below_the_threshold_does_not_trip(self, make: Make, drive: Driver) -> None:
        breaker = make(kind="time", failure_rate_threshold=0.5, minimum_calls=2)
        drive.run(breaker, "..x.x")
        assert breaker.state == "closed"


class TestR2:
    @pytest.mark.parametrize("kind", ["time", "percentage"])
    def test_a_success_that_completes_the_minimum_may_trip(
        self, make: Make, drive: Driver, kind: str
    ) -> None:
        breaker = make(kind=kind, minimum_calls=4)
        drive.run(breaker, "xx.")
        assert breaker.state == "closed"
        drive.run(breaker, ".")
        assert breaker.state == "open"

    def test_a_success_through_the_guard_does_so_too(self, make: Make, drive: Driver) -> None:
        breaker = make(kind="percentage", minimum_calls=4)
        drive.run(breaker, "xx.")
        assert breaker.call(int) == 0
        assert breaker.state == "open"

    def test_fewer_than_the_minimum_give_no_verdict(self, make: Make, drive: Driver) -> None:
        breaker = make(kind="percentage", minimum_calls=4)
        drive.run(breaker, "xxx")
        assert breaker.state == "closed"

    @pytest.mark.parametrize(
        ("kind", "size", "expected"),
        [("percentage", 7, 7), ("percentage", 100, 10), ("time", 7, 10)],
    )
    def test_the_default_minimum_is_ten_or_the_window(
        self, kind: str, size: int, expected: int
    ) -> None:
        assert BreakerPolicy(kind=kind, window_size=size).required_calls == expected  # type: ignore[arg-type]


class TestR4:
    def test_a_call_as_long_as_the_limit_is_not_slow(self, make: Make) -> None:
        breaker = make(kind="percentage", slow_call_seconds=2.0)
        for duration in (2.0, 2.000001):
            permit = breaker.try_acquire()
            assert permit is not None
            breaker.record(permit, failed=False, duration=duration)
        assert breaker.counts.slow_calls == 1

    def test_a_slow_failure_counts_in_both_rates(self, make: Make, drive: Driver) -> None:
        breaker = make(kind="percentage", slow_call_seconds=2.0, minimum_calls=4,
                       failure_rate_threshold=1.0)  # fmt: skip
        drive.run(breaker, "S...")
        assert (breaker.counts.failure_ratio, breaker.counts.slow_ratio) == (0.25, 0.25)

    @pytest.mark.parametrize("kind", ["time", "percentage"])
    def test_the_slow_rate_opens_at_its_threshold(
        self, make: Make, drive: Driver, kind: str
    ) -> None:
        breaker = make(kind=kind, slow_call_seconds=2.0, minimum_calls=4,
                       slow_call_rate_threshold=0.5)  # fmt: skip
        drive.run(breaker, "..s")
        assert breaker.state == "closed"
        drive.run(breaker, "s")
        assert breaker.state == "open"
        assert "slow-call rate 0.5" in breaker.explain()

    def test_without_a_limit_nothing_is_slow(self, make: Make, drive: Driver) -> None:
        breaker = make(kind="percentage", minimum_calls=1)
        drive.run(breaker, "s" * 20)
        assert breaker.counts.slow_calls == 0
        assert breaker.counts.slow_ratio is None

    def test_the_count_kind_counts_slow_calls_without_a_rate(
        self, make: Make, drive: Driver
    ) -> None:
        policy = BreakerPolicy(slow_call_seconds=2.0, slow_call_rate_threshold=0.1)
        breaker = make(policy=policy)
        drive.run(breaker, "s" * 20)
        assert (breaker.state, breaker.counts.slow_calls) == ("closed", 20)


class TestR5:
    def test_windows_are_emptied_on_closing_and_readable_while_open(
        self, make: Make, drive: Driver
    ) -> None:
        breaker = make(kind="percentage", minimum_calls=2)
        drive.run(breaker, "x.")
        assert (breaker.state, breaker.counts.failure_ratio) == ("open", 0.5)
        assert breaker.counts.failure_count == 1
        breaker.half_open()
        assert breaker.counts.failure_ratio is None
        assert breaker.counts.failure_count == 1
        breaker.close()
        assert breaker.counts.failure_count == 0

    @pytest.mark.parametrize("move", ["observe", "reset"])
    def test_observe_and_reset_empty_the_window(self, make: Make, drive: Driver, move: str) -> None:
        breaker = make(kind="percentage", minimum_calls=3)
        drive.run(breaker, "xx")
        getattr(breaker, move)()
        drive.run(breaker, ".")
        assert breaker.counts.failure_ratio is None
        assert breaker.counts.failure_count == 0

    def test_forced_states_leave_the_failure_count_as_it_was(
        self, make: Make, drive: Driver
    ) -> None:
        breaker = make()
        drive.run(breaker, "xxx")
        breaker.force_open()
        assert (breaker.counts.failure_count, breaker.counts.consecutive_failures) == (3, 3)
        breaker.force_close()
        assert breaker.counts.failure_count == 3


class TestR6:
    @pytest.mark.parametrize("nothing", ["i", "c"])
    def test_ignored_and_cancelled_calls_neither_end_a_run_nor_enter_a_window(
        self, make: Make, drive: Driver, nothing: str
    ) -> None:
        count = make(failure_threshold=3)
        drive.run(count, f"x{nothing}x{nothing}x")
        assert count.state == "open"
        rate = make(kind="percentage", minimum_calls=3)
        drive.run(rate, f"x{nothing * 5}.")
        assert rate.counts.failure_ratio is None

    def test_rejections_do_not_enter(self, make: Make) -> None:
        breaker = make(kind="percentage", minimum_calls=1)
        breaker.force_open()
        assert breaker.try_acquire() is None
        breaker.close()
        assert (breaker.counts.failure_ratio, breaker.counts.rejections) == (None, 1)


def test_failure_count_is_the_run_or_what_the_window_holds(make: Make, drive: Driver) -> None:
    count, rate = make(), make(kind="percentage")
    for breaker in (count, rate):
        drive.run(breaker, "xx.x")
    assert (count.counts.failure_count, rate.counts.failure_count) == (1, 3)
    assert (count.counts.consecutive_failures, rate.counts.consecutive_failures) == (1, 1)


def test_observe_counts_each_excursion_as_one_trip_that_would_have_been(
    make: Make, drive: Driver
) -> None:
    breaker = make(failure_threshold=2, initial_state="observe")
    drive.run(breaker, "xxxx.xx.x")
    assert (breaker.state, breaker.counts.would_trip, breaker.counts.trips) == (State.OBSERVE, 2, 0)


def test_observe_tells_a_second_excursion_once_the_first_has_ended(
    make: Make, drive: Driver
) -> None:
    breaker = make(kind="percentage", minimum_calls=2, window_size=4, initial_state="observe")
    drive.run(breaker, "xx" + "." * 6 + "xx")
    assert breaker.counts.would_trip == 2


def test_two_rates_above_at_once_would_have_been_one_trip(make: Make, drive: Driver) -> None:
    breaker = make(kind="percentage", minimum_calls=2, slow_call_seconds=1.0,
                   slow_call_rate_threshold=0.2, initial_state="observe")  # fmt: skip
    drive.run(breaker, "xxS.")
    assert breaker.counts.would_trip == 1


def test_of_two_rates_that_are_reached_at_once_the_failures_are_the_cause(
    make: Make, drive: Driver
) -> None:
    recorder = StateRecorder()
    breaker = make(
        kind="percentage", minimum_calls=2, slow_call_seconds=1.0, slow_call_rate_threshold=0.5,
        listeners=[recorder],
    )  # fmt: skip
    drive.run(breaker, ".S")
    assert recorder.told[-3:] == ["failure_rate_exceeded", "slow_call_rate_exceeded", "transition"]
    assert recorder.transitions[0].cause == "failure_rate"
    assert recorder.transitions[0].text == "failure rate 0.5 over 2 calls, threshold 0.5"
