"""R21: failure cycles, and the disabling that ends them."""

from __future__ import annotations

import pytest

from cbmon.testing import ManualClock, StateRecorder
from tests.unit.breaker.support import Driver, Make


class TestR21:
    def test_half_open_to_open_is_one_cycle_and_closing_sets_it_to_zero(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = drive.opened(make(recovery_timeout=1.0))
        assert breaker.counts.cycles == 0
        for expected in (1, 2, 3, 4):
            clock.advance(1.0)
            drive.run(breaker, "x")
            assert breaker.counts.cycles == expected
        clock.advance(1.0)
        drive.run(breaker, ".")
        assert (breaker.state, breaker.counts.cycles, breaker.counts.trips) == ("closed", 0, 5)

    def test_reset_sets_it_to_zero_and_a_manual_open_does_not_count(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = drive.opened(make(recovery_timeout=1.0))
        clock.advance(1.0)
        breaker.poll()
        breaker.open()
        assert breaker.counts.cycles == 0
        clock.advance(1.0)
        drive.run(breaker, "x")
        assert breaker.counts.cycles == 1
        breaker.reset()
        assert breaker.counts.cycles == 0

    def test_too_many_cycles_disable_straight_from_half_open(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        recorder = StateRecorder()
        breaker = make(recovery_timeout=1.0, auto_disable_enabled=True, max_failure_cycles=2,
                       failure_threshold=1, listeners=[recorder])  # fmt: skip
        drive.opened(breaker)
        clock.advance(1.0)
        drive.run(breaker, "x")
        assert breaker.state == "open"
        clock.advance(1.0)
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.record(permit, failed=True, reason="connect", error="refused")
        assert (breaker.state, breaker.counts.trips, breaker.counts.cycles) == ("disabled", 2, 2)
        last = recorder.transitions[-1]
        assert (last.from_state, last.to_state) == ("half_open", "disabled")
        assert last.cause == "cycles_exhausted"
        assert last.text == "2 failure cycles, the most allowed; last error: refused"
        state = breaker.get_state()
        assert (state["auto_disabled"], state["disabled_at"]) == (True, clock.time())
        assert state["disabled_reason"] == last.text
        assert "2 failure cycles" in breaker.explain()

    def test_a_timeout_of_the_trials_counts_as_well(self, make: Make, clock: ManualClock) -> None:
        breaker = make(initial_state="half_open", half_open_max_wait=5.0, max_failure_cycles=1,
                       auto_disable_enabled=True)  # fmt: skip
        breaker.try_acquire()
        clock.advance(6.0)
        assert breaker.state == "disabled"
        assert breaker.get_state()["disabled_at"] == clock.time() - 1.0
        assert breaker.get_state()["disabled_reason"] == "1 failure cycles, the most allowed"

    def test_it_is_never_disabled_unless_that_is_enabled(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = drive.opened(make(recovery_timeout=1.0, max_failure_cycles=1))
        for _ in range(5):
            clock.advance(1.0)
            drive.run(breaker, "x")
        assert (breaker.state, breaker.counts.cycles) == ("open", 5)

    @pytest.mark.parametrize("reason", [None, "maintenance"])
    def test_a_person_may_disable_it_and_say_why(self, make: Make, reason: str | None) -> None:
        breaker = make()
        breaker.disable(actor="ann", reason=reason)
        state = breaker.get_state()
        assert state["auto_disabled"] is False
        assert state["disabled_reason"] == (reason or "disable by hand")
        assert "moved from closed by ann: disable by hand" in breaker.explain()
        breaker.enable()
        assert breaker.get_state()["disabled_at"] is None
