"""What the tests of the breaker share."""

from __future__ import annotations

from collections.abc import Callable

from cbmon import CircuitBreaker
from cbmon.testing import ManualClock

Make = Callable[..., CircuitBreaker]


class Driver:
    """Drives breakers through their public driver API, an outcome per letter."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    def run(self, breaker: CircuitBreaker, outcomes: str, *, every: float = 0.0) -> None:
        """``.`` success, ``x`` failure, ``s`` slow success, ``S`` slow failure, ``i`` ignored,
        ``c`` cancelled; ``every`` seconds pass before each. Slow is 10 s, others take none."""
        for letter in outcomes:
            self.clock.advance(every)
            permit = breaker.try_acquire()
            assert permit is not None, f"rejected at {letter!r} in {breaker.state}"
            if letter in "ic":
                breaker.release(permit, ignored=letter == "i")
            else:
                slow = 10.0 if letter in "sS" else 0.0
                breaker.record(permit, failed=letter in "xS", duration=slow)

    def opened(self, breaker: CircuitBreaker) -> CircuitBreaker:
        """The breaker, tripped by failures alone."""
        while breaker.state == "closed":
            self.run(breaker, "x")
        return breaker
