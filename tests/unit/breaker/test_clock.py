"""R23: durations and deadlines never go back; wall time is for people."""

from __future__ import annotations

import math
import time

import pytest

from cbmon import CircuitBreaker, CircuitOpenError, SystemClock
from cbmon.testing import ManualClock
from tests.unit.breaker.support import Driver, Make


class Jumpy:
    """A clock that can be set to anything."""

    def __init__(self) -> None:
        self.mono = 100.0
        self.wall = 1e9

    def monotonic(self) -> float:
        return self.mono

    def time(self) -> float:
        return self.wall


class TestR23:
    def test_a_clock_that_goes_back_lengthens_no_wait(self) -> None:
        clock = Jumpy()
        breaker = CircuitBreaker("x", clock=clock, initial_state="open", recovery_timeout=10.0)
        clock.mono = 50.0
        assert breaker.retry_after == 10.0
        with pytest.raises(CircuitOpenError) as caught:
            breaker.call(int)
        assert caught.value.retry_after == 10.0
        clock.mono = 105.0
        assert breaker.retry_after == 5.0
        clock.mono = 90.0
        assert breaker.retry_after == 5.0

    def test_a_call_never_takes_negative_time(self) -> None:
        clock = Jumpy()
        breaker = CircuitBreaker("x", clock=clock, slow_call_seconds=1.0)
        breaker.enable_duration_histogram([1.0])

        def goes_back() -> None:
            clock.mono -= 50.0

        breaker.call(goes_back)
        histogram = breaker.counts.histogram
        assert histogram is not None
        assert (histogram.sum, histogram.counts) == (0.0, [1, 0])

    def test_the_wall_clock_moves_no_deadline(self) -> None:
        clock = Jumpy()
        breaker = CircuitBreaker("x", clock=clock, initial_state="open", recovery_timeout=10.0)
        clock.wall -= 3600.0
        assert breaker.retry_after == 10.0
        assert breaker.counts.open_until == clock.wall + 10.0
        clock.wall += 7200.0
        assert breaker.state == "open"

    def test_a_jump_of_a_billion_seconds_costs_next_to_nothing(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = make(kind="time", window_seconds=1.0, recovery_timeout=1e-3,
                       half_open_max_wait=1e-3, failure_rate_threshold=1.0)  # fmt: skip
        drive.run(breaker, "." * 20, every=0.05)
        begun = time.perf_counter()
        clock.advance(1e9)
        drive.run(breaker, "x")
        assert breaker.counts.failure_ratio is None
        assert time.perf_counter() - begun < 0.1

    def test_the_system_clock_is_the_systems(self) -> None:
        clock = SystemClock()
        assert math.isclose(clock.monotonic(), time.monotonic(), abs_tol=5)
        assert math.isclose(clock.time(), time.time(), abs_tol=5)

    def test_times_shown_are_wall_times(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = drive.opened(make(recovery_timeout=30.0))
        state = breaker.get_state()
        assert state["last_failure_time"] == state["last_transition_at"] == clock.time()
        assert state["open_until"] == clock.time() + 30.0
        clock.advance(5.0)
        assert breaker.get_state()["last_failure_time"] == clock.time() - 5.0
