"""R10 to R14: the trial calls and their verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from cbmon import CircuitBreaker, CircuitOpenError
from cbmon.testing import ManualClock, StateRecorder
from tests.unit.breaker.support import Driver, Make


def half_open(make: Make, **fields: Any) -> CircuitBreaker:
    return make(initial_state="half_open", **fields)


class TestR10:
    def test_so_many_trials_are_admitted_in_the_period_and_no_more(self, make: Make) -> None:
        breaker = half_open(make, half_open_max_calls=3)
        permits = [breaker.try_acquire() for _ in range(5)]
        assert [permit is not None for permit in permits] == [True, True, True, False, False]
        assert breaker.counts.rejections == 2

    def test_a_finished_trial_does_not_make_room_for_another(self, make: Make) -> None:
        breaker = half_open(make, half_open_max_calls=2, success_threshold=2)
        first, second = breaker.try_acquire(), breaker.try_acquire()
        assert first is not None
        assert second is not None
        breaker.record(first, failed=False)
        assert breaker.try_acquire() is None
        breaker.record(second, failed=False)
        assert breaker.state == "closed"

    @pytest.mark.parametrize("ignored", [True, False])
    def test_a_trial_that_ends_neutral_gives_its_permit_back(
        self, make: Make, ignored: bool
    ) -> None:
        breaker = half_open(make)
        permit = breaker.try_acquire()
        assert permit is not None
        assert breaker.try_acquire() is None
        breaker.release(permit, ignored=ignored)
        assert breaker.try_acquire() is not None

    def test_giving_back_twice_is_refused_and_makes_no_extra_room(self, make: Make) -> None:
        breaker = half_open(make, half_open_max_calls=2, success_threshold=2)
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.record(permit, failed=False)
        for _ in range(2):
            with pytest.raises(ValueError, match="none that circuit breaker 'target' waits for"):
                breaker.release(permit)
        assert [breaker.try_acquire() is not None for _ in range(3)] == [True, False, False]

    def test_a_rejected_trial_gets_the_ordinary_error(self, make: Make) -> None:
        breaker = half_open(make)
        breaker.try_acquire()
        with pytest.raises(CircuitOpenError) as caught:
            breaker.call(int)
        assert (caught.value.state, caught.value.retry_after) == ("half_open", 0.0)

    def test_the_number_of_trials_defaults_to_the_successes_needed(self, make: Make) -> None:
        assert half_open(make).policy.trial_calls == 1
        assert half_open(make, success_threshold=3).policy.trial_calls == 3
        assert half_open(make, half_open_max_calls=5, success_threshold=3).policy.trial_calls == 5


class TestR11:
    def test_the_count_kind_reopens_at_any_failure(self, make: Make, drive: Driver) -> None:
        breaker = half_open(make, half_open_max_calls=3)
        drive.run(breaker, ".x")
        assert breaker.state == "open"

    def test_the_count_kind_closes_when_all_trials_succeeded(
        self, make: Make, drive: Driver
    ) -> None:
        breaker = half_open(make, half_open_max_calls=3)
        drive.run(breaker, "..")
        assert breaker.state == "half_open"
        drive.run(breaker, ".")
        assert breaker.state == "closed"

    @pytest.mark.parametrize("kind", ["time", "percentage"])
    @pytest.mark.parametrize(("trials", "verdict"), [("x...", "closed"), ("x.x.", "open")])
    def test_rates_judge_all_trials_whatever_the_minimum(
        self, make: Make, drive: Driver, kind: str, trials: str, verdict: str
    ) -> None:
        breaker = half_open(make, kind=kind, half_open_max_calls=4, minimum_calls=50)
        drive.run(breaker, trials[:-1])
        assert breaker.state == "half_open"
        drive.run(breaker, trials[-1])
        assert breaker.state == verdict

    def test_the_slow_rate_judges_too(self, make: Make, drive: Driver) -> None:
        breaker = half_open(make, kind="percentage", half_open_max_calls=2, slow_call_seconds=1.0,
                            slow_call_rate_threshold=0.5)  # fmt: skip
        drive.run(breaker, "s.")
        assert breaker.state == "open"

    def test_trials_are_judged_by_themselves_when_the_window_is_smaller(
        self, make: Make, drive: Driver
    ) -> None:
        breaker = half_open(make, kind="percentage", half_open_max_calls=4, window_size=2)
        drive.run(breaker, "xx..")
        assert breaker.state == "open"

    def test_k_successes_of_n_close(self, make: Make, drive: Driver) -> None:
        breaker = half_open(make, half_open_max_calls=5, success_threshold=3)
        drive.run(breaker, "x.x.")
        assert (breaker.state, breaker.counts.success_count) == ("half_open", 2)
        drive.run(breaker, ".")
        assert (breaker.state, breaker.counts.success_count) == ("closed", 0)

    def test_it_opens_as_soon_as_k_cannot_be_reached(self, make: Make, drive: Driver) -> None:
        breaker = half_open(make, half_open_max_calls=5, success_threshold=3)
        drive.run(breaker, "xx")
        assert breaker.state == "half_open"
        drive.run(breaker, "x")
        assert breaker.state == "open"

    def test_so_it_does_when_successes_came_between(self, make: Make, drive: Driver) -> None:
        breaker = half_open(make, half_open_max_calls=5, success_threshold=4)
        drive.run(breaker, "x.")
        assert breaker.state == "half_open"
        drive.run(breaker, "x")
        assert breaker.state == "open"

    @pytest.mark.parametrize("kind", ["count", "percentage"])
    def test_a_slow_trial_is_a_failed_one_under_a_success_threshold(
        self, make: Make, drive: Driver, kind: str
    ) -> None:
        breaker = half_open(make, kind=kind, success_threshold=1, slow_call_seconds=1.0)
        drive.run(breaker, "s")
        assert breaker.state == "open"


class TestR12:
    def test_without_a_verdict_in_time_it_reopens(self, make: Make, clock: ManualClock) -> None:
        breaker = half_open(make, half_open_max_wait=5.0)
        clock.advance(1000.0)
        assert breaker.state == "half_open"
        assert breaker.try_acquire() is not None
        assert breaker.next_deadline == clock.monotonic() + 5.0
        clock.advance(4.999)
        assert breaker.state == "half_open"
        clock.advance(0.001)
        assert (breaker.state, breaker.counts.cycles) == ("open", 1)
        assert "no verdict within 5 s" in breaker.explain()

    def test_nobody_calling_it_stays_half_open(self, make: Make, clock: ManualClock) -> None:
        breaker = half_open(make, half_open_max_wait=5.0)
        clock.advance(1e9)
        assert (breaker.state, breaker.next_deadline) == ("half_open", None)

    def test_the_wait_runs_from_the_first_trial(self, make: Make, clock: ManualClock) -> None:
        breaker = half_open(make, half_open_max_wait=5.0, half_open_max_calls=2)
        breaker.try_acquire()
        clock.advance(3.0)
        breaker.try_acquire()
        clock.advance(2.0)
        assert breaker.state == "open"


class TestR13:
    def test_a_lazy_and_a_driven_breaker_have_the_same_history(
        self, make: Make, clock: ManualClock
    ) -> None:
        fields: dict[str, Any] = {"recovery_timeout": 10.0, "half_open_max_wait": 5.0}
        lazy, driven = StateRecorder(), StateRecorder()
        both = [
            make(initial_state="half_open", listeners=[recorder], **fields)
            for recorder in (lazy, driven)
        ]
        for breaker in both:
            breaker.try_acquire()
        for _ in range(100):
            clock.advance(0.5)
            both[1].poll()
        assert both[0].state == both[1].state == "half_open"
        first, second = (
            [(event.cause, event.to_state, event.at) for event in recorder.transitions]
            for recorder in (lazy, driven)
        )
        assert (
            first
            == second
            == [
                ("trials_timed_out", "open", 1_000_005.0),
                ("recovery_timeout", "half_open", 1_000_015.0),
            ]
        )

    def test_a_result_after_the_deadline_is_stale(self, make: Make, clock: ManualClock) -> None:
        breaker = half_open(make, half_open_max_wait=5.0)
        permit = breaker.try_acquire()
        assert permit is not None
        clock.advance(5.0)
        breaker.record(permit, failed=False)
        assert (breaker.state, breaker.counts.stale) == ("open", 1)


class TestR14:
    def test_half_open_shows_without_traffic(self, make: Make, clock: ManualClock) -> None:
        breaker = make(recovery_timeout=10.0, initial_state="open")
        clock.advance(10.0)
        assert breaker.state == "half_open"
        assert breaker.get_state()["state"] == "half_open"

    def test_get_state_alone_shows_it_too(self, make: Make, clock: ManualClock) -> None:
        breaker = make(recovery_timeout=10.0, initial_state="open")
        clock.advance(10.0)
        assert breaker.get_state()["is_available"] is True


class TestR15:
    def test_a_late_success_does_not_close_an_open_circuit(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = make(failure_threshold=2, recovery_timeout=10.0)
        late = breaker.try_acquire()
        assert late is not None
        drive.run(breaker, "xx")
        clock.advance(10.0)
        assert breaker.state == "half_open"
        breaker.record(late, failed=False)
        assert (breaker.state, breaker.counts.stale, breaker.counts.success_count) == (
            "half_open", 1, 0,
        )  # fmt: skip
        assert breaker.try_acquire() is not None

    def test_a_late_failure_touches_nothing_but_its_count(self, make: Make, drive: Driver) -> None:
        recorder = StateRecorder()
        breaker = make(failure_threshold=2, listeners=[recorder])
        late, later = breaker.try_acquire(), breaker.try_acquire()
        assert late is not None
        assert later is not None
        breaker.reset()
        before = breaker.get_state()
        breaker.record(late, failed=True, error="late")
        breaker.release(later)
        after = breaker.get_state()
        assert recorder.told == ["reset", "stale", "stale"]
        assert {key for key in before if before[key] != after[key]} <= {"in_flight"}
        assert breaker.counts.stale == 2

    def test_reset_while_closed_begins_a_new_generation(self, make: Make) -> None:
        breaker = make(failure_threshold=1)
        late = breaker.try_acquire()
        assert late is not None
        breaker.reset()
        breaker.record(late, failed=True)
        assert breaker.state == "closed"

    def test_a_late_result_through_the_guard_is_stale(self, make: Make) -> None:
        breaker = make()
        breaker.call(breaker.reset)
        counts = breaker.counts
        assert (counts.calls, counts.successes, counts.stale) == (1, 0, 1)


def test_hundreds_of_trials_may_be_needed(make: Make, drive: Driver) -> None:
    breaker = half_open(make, half_open_max_calls=400, success_threshold=300)
    drive.run(breaker, "x" * 100 + "." * 299)
    assert breaker.state == "half_open"
    drive.run(breaker, ".")
    assert breaker.state == "closed"
    breaker = half_open(make, kind="percentage", half_open_max_calls=300)
    drive.run(breaker, "x" * 100 + "." * 199)
    assert breaker.state == "half_open"
    drive.run(breaker, ".")
    assert breaker.state == "closed"


class TestUnusedTrials:
    """A trial that ends without a verdict makes room for another one."""

    @pytest.mark.parametrize("ignored", [False, True])
    @pytest.mark.parametrize("others", [0, 1, 2])
    def test_one_that_is_released(self, make: Make, others: int, ignored: bool) -> None:
        breaker = half_open(make, half_open_max_calls=others + 1, success_threshold=1)
        taken = [breaker.try_acquire() for _ in range(others + 1)]
        assert breaker.try_acquire() is None
        breaker.release(taken[0] or 0, ignored=ignored)
        again = breaker.try_acquire()
        assert again is not None
        assert breaker.try_acquire() is None
        breaker.record(again, failed=False)
        assert breaker.state == "closed"

    async def test_a_plain_function_that_gives_an_awaitable_is_a_trial_when_it_is_awaited(
        self, make: Make
    ) -> None:
        breaker = half_open(make, half_open_max_calls=1)
        waiting = breaker.call(asyncio.sleep, 0, "slept")
        assert await waiting == "slept"
        assert (breaker.state, breaker.counts.rejections) == ("closed", 0)


def test_under_a_smaller_limit_no_further_trial_is_admitted(make: Make) -> None:
    breaker = make(initial_state="half_open", half_open_max_calls=3)
    assert [bool(breaker.try_acquire()) for _ in range(2)] == [True, True]
    assert breaker.get_state()["is_available"]
    breaker.reconfigure(breaker.policy.replace(half_open_max_calls=1))
    assert not breaker.get_state()["is_available"]
    assert breaker.try_acquire() is None


def test_a_call_of_an_earlier_period_that_was_none_makes_no_room_in_this_one(make: Make) -> None:
    class Later:
        def __await__(self) -> Iterator[None]:
            yield

    breaker = make(initial_state="half_open")

    def starts() -> Later:
        breaker.open()
        breaker.half_open()
        assert breaker.try_acquire() is not None
        return Later()

    anything: Any = breaker.call(starts)
    anything.close()
    assert breaker.try_acquire() is None
