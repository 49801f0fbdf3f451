"""R26: another policy, the same history."""

from __future__ import annotations

import pytest

from cbmon import BreakerPolicy
from cbmon.testing import ManualClock, StateRecorder
from tests.unit.breaker.support import Driver, Make


class TestR26:
    def test_state_counters_and_listeners_stay(self, make: Make, drive: Driver) -> None:
        recorder = StateRecorder()
        breaker = make(failure_threshold=5, listeners=[recorder])
        drive.run(breaker, "xxx")
        recorder.clear()
        policy = BreakerPolicy(failure_threshold=4)
        breaker.reconfigure(policy, actor="ann", reason="tighter")
        assert breaker.policy is policy
        assert breaker.counts.failure_count == 3
        event = recorder.events[0]
        assert (event.kind, event.policy, event.actor, event.reason) == (
            "reconfigured", policy, "ann", "tighter",
        )  # fmt: skip
        drive.run(breaker, "x")
        assert breaker.state == "open"
        assert recorder.told == ["reconfigured", "failure", "transition"]

    def test_calls_under_way_still_count(self, make: Make) -> None:
        breaker = make()
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.reconfigure(BreakerPolicy(kind="percentage"))
        breaker.record(permit, failed=True)
        assert (breaker.counts.failures, breaker.counts.stale) == (1, 0)

    def test_the_newest_calls_that_fit_stay_in_the_window(self, make: Make, drive: Driver) -> None:
        breaker = make(kind="percentage", window_size=10, minimum_calls=1,
                       failure_rate_threshold=1.0)  # fmt: skip
        drive.run(breaker, ".xx..x..x.")
        breaker.reconfigure(breaker.policy.replace(window_size=5))
        assert breaker.counts.failure_ratio == 0.4
        breaker.reconfigure(breaker.policy.replace(window_size=10))
        assert breaker.counts.failure_ratio == 0.4
        drive.run(breaker, ".....")
        assert breaker.counts.failure_ratio == 0.2

    def test_a_time_window_keeps_what_is_young_enough(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = make(kind="time", window_seconds=60.0, minimum_calls=1,
                       failure_rate_threshold=1.0)  # fmt: skip
        drive.run(breaker, ".xx")
        clock.advance(30.0)
        drive.run(breaker, "..")
        breaker.reconfigure(breaker.policy.replace(window_seconds=120.0))
        assert breaker.counts.failure_ratio == 0.4
        breaker.reconfigure(breaker.policy.replace(window_seconds=20.0))
        assert breaker.counts.failure_ratio == 0.0

    def test_a_shorter_timeout_shortens_a_running_wait_counted_from_the_opening(
        self, make: Make, clock: ManualClock
    ) -> None:
        breaker = make(initial_state="open", recovery_timeout=60.0)
        clock.advance(20.0)
        breaker.reconfigure(BreakerPolicy(recovery_timeout=30.0))
        assert breaker.retry_after == 10.0
        breaker.reconfigure(BreakerPolicy(recovery_timeout=90.0))
        assert breaker.retry_after == 10.0
        breaker.reconfigure(BreakerPolicy(recovery_timeout=5.0))
        assert breaker.state == "half_open"

    def test_a_wait_set_by_hand_stays(self, make: Make) -> None:
        breaker = make()
        breaker.open(for_seconds=500.0)
        breaker.reconfigure(BreakerPolicy(recovery_timeout=5.0))
        assert breaker.retry_after == 500.0

    def test_so_does_one_that_was_set_while_it_was_open(self, make: Make) -> None:
        breaker = make(initial_state="open", recovery_timeout=60.0)
        breaker.open(for_seconds=500.0)
        breaker.reconfigure(breaker.policy.replace(recovery_timeout=10.0))
        assert breaker.retry_after == 500.0
        breaker.hold(300.0, margin=100.0, soonest=1.0)
        breaker.reconfigure(breaker.policy.replace(recovery_timeout=20.0))
        assert breaker.retry_after == 200.0

    def test_running_trials_count_against_the_new_limits(self, make: Make, drive: Driver) -> None:
        breaker = make(initial_state="half_open", half_open_max_calls=5, success_threshold=4)
        drive.run(breaker, "..")
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.reconfigure(BreakerPolicy(half_open_max_calls=3, success_threshold=3))
        assert breaker.try_acquire() is None
        breaker.record(permit, failed=False)
        assert breaker.state == "closed"

    def test_what_a_time_window_holds_is_as_old_as_before(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = make(kind="time", window_seconds=60.0)
        drive.run(breaker, "x")
        clock.advance(30.0)
        breaker.reconfigure(breaker.policy.replace(minimum_calls=5))
        clock.advance(29.5)
        assert breaker.counts.failure_count == 1
        clock.advance(0.5)
        assert breaker.counts.failure_count == 0

    def test_new_limits_that_are_met_already_give_the_verdict_at_once(
        self, make: Make, drive: Driver
    ) -> None:
        breaker = make(kind="percentage", initial_state="half_open", half_open_max_calls=5)
        drive.run(breaker, "...")
        breaker.reconfigure(breaker.policy.replace(half_open_max_calls=2))
        assert breaker.state == "closed"
        breaker = make(initial_state="half_open", half_open_max_calls=5)
        drive.run(breaker, "..")
        breaker.reconfigure(BreakerPolicy(half_open_max_calls=2))
        assert breaker.state == "closed"
        breaker = make(initial_state="half_open", half_open_max_calls=5, success_threshold=3)
        drive.run(breaker, "x")
        breaker.reconfigure(BreakerPolicy(half_open_max_calls=2, success_threshold=2))
        assert breaker.state == "open"
        breaker = make(initial_state="half_open", half_open_max_calls=5, success_threshold=4)
        drive.run(breaker, "...")
        breaker.reconfigure(BreakerPolicy(half_open_max_calls=2, success_threshold=2))
        assert breaker.state == "closed"

    def test_a_run_that_is_too_long_by_the_new_policy_trips_at_the_next_failure(
        self, make: Make, drive: Driver
    ) -> None:
        breaker = make(failure_threshold=10)
        drive.run(breaker, "xxxxx")
        breaker.reconfigure(breaker.policy.replace(failure_threshold=3))
        assert breaker.state == "closed"
        drive.run(breaker, "x")
        assert breaker.state == "open"

    def test_a_rate_that_is_too_high_by_the_new_policy_trips_at_the_next_outcome(
        self, make: Make, drive: Driver
    ) -> None:
        breaker = make(kind="percentage", minimum_calls=4, failure_rate_threshold=0.9)
        drive.run(breaker, "xx..")
        breaker.reconfigure(breaker.policy.replace(failure_rate_threshold=0.3))
        assert breaker.state == "closed"
        assert breaker.call(int) == 0
        assert breaker.state == "open"

    @pytest.mark.parametrize("old", ["count", "time", "percentage", "adaptive"])
    @pytest.mark.parametrize("new", ["count", "time", "percentage", "adaptive"])
    def test_any_kind_may_follow_any_kind(
        self, make: Make, drive: Driver, old: str, new: str
    ) -> None:
        breaker = make(policy=BreakerPolicy(kind=old, minimum_calls=5))  # type: ignore[arg-type]
        drive.run(breaker, "x..")
        breaker.reconfigure(BreakerPolicy(kind=new, minimum_calls=5))  # type: ignore[arg-type]
        drive.opened(breaker)
        assert breaker.counts.calls >= 5
        assert (breaker.counts.adaptive is None) == (new != "adaptive")

    def test_a_decorated_function_follows(self, make: Make) -> None:
        breaker = make()

        @breaker
        def call(text: str) -> int:
            return int(text)

        assert call("1") == 1
        breaker.reconfigure(BreakerPolicy(is_failure=lambda number: number == 2))
        assert call("2") == 2
        assert breaker.counts.failures == 1
        breaker.reconfigure(BreakerPolicy(kind="time", slow_call_seconds=1.0))
        assert call("3") == 3
        assert breaker.counts.successes == 2
