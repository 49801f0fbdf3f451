"""R24: a breaker survives a restart, and a corrupt snapshot harms nobody."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbmon import BreakerPolicy, CircuitBreaker, State
from cbmon.testing import ManualClock, StateRecorder
from tests.unit.breaker.support import Driver, Make

FULL: dict[str, Any] = {
    "kind": "adaptive", "recovery_timeout": 10.0, "recovery_backoff": 2.0, "recovery_jitter": 0.2,
    "minimum_calls": 2, "slow_call_seconds": 1.0,
}  # fmt: skip


def restarted(breaker: CircuitBreaker, clock: ManualClock, **fields: Any) -> CircuitBreaker:
    """Another process: the same wall time, another monotonic one."""
    other = ManualClock(start=clock.monotonic() * 7 + 1, wall=clock.time())
    twin = CircuitBreaker("target", breaker.policy, clock=other, **fields)
    twin.restore(json.loads(json.dumps(breaker.snapshot())))
    return twin


class TestR24:
    @pytest.mark.parametrize("state", State)
    def test_every_state_comes_back_without_an_event(
        self, make: Make, clock: ManualClock, state: State
    ) -> None:
        recorder = StateRecorder()
        twin = restarted(make(initial_state=state), clock, listeners=[recorder])
        assert twin.state == state
        assert recorder.events == []

    def test_totals_run_cycles_and_openings_come_back(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = make(**FULL)
        drive.run(breaker, "...s")
        breaker.force_open()
        assert breaker.try_acquire() is None
        breaker.open(reason="why", actor="ann")
        breaker.half_open()
        drive.run(breaker, "i")
        drive.run(breaker, "cS")
        twin = restarted(breaker, clock)
        assert twin.state == "open"
        before, after = breaker.get_state(), twin.get_state()
        assert after.pop("open_until") == pytest.approx(before.pop("open_until"))
        assert after.pop("retry_after") == pytest.approx(before.pop("retry_after"))
        assert after.pop("adaptive") == before.pop("adaptive")
        assert after == before
        assert twin.counts.transitions == breaker.counts.transitions
        assert twin.counts.openings == 2
        assert (twin.counts.ignored, twin.counts.cancelled) == (1, 1)

    def test_what_remains_of_the_wait_goes_by_the_wall_clock(
        self, make: Make, clock: ManualClock
    ) -> None:
        breaker = make(initial_state="open", recovery_timeout=60.0)
        snapshot = breaker.snapshot()
        for passed, remaining in ((0.0, 60.0), (45.0, 15.0), (60.0, 0.0), (1e6, 0.0), (-1e6, 60.0)):
            twin = CircuitBreaker("t", clock=ManualClock(wall=clock.time() + passed))
            twin.restore(snapshot)
            assert twin.retry_after == pytest.approx(remaining)
            assert twin.state == ("open" if remaining else "half_open")

    def test_a_snapshot_tells_times_of_the_wall(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = make(failure_threshold=1, recovery_timeout=10.0)
        clock.advance(0.75)
        drive.run(breaker, "x")
        failed_at = clock.time()
        clock.advance(0.5)
        snapshot = breaker.snapshot()
        assert snapshot["at"] == clock.time()
        assert snapshot["opening"] == {"at": failed_at, "until": failed_at + 10, "counted": True}
        assert (snapshot["last_failure"]["at"], snapshot["last_move"]["at"]) == (failed_at,) * 2

    def test_half_open_restarts_its_trials(self, make: Make, clock: ManualClock) -> None:
        breaker = make(initial_state="half_open")
        breaker.try_acquire()
        assert restarted(breaker, clock).try_acquire() is not None

    def test_calls_under_way_are_stale_afterwards(self, make: Make) -> None:
        breaker = make()
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.restore(make().snapshot())
        breaker.record(permit, failed=True)
        assert (breaker.counts.stale, breaker.counts.failures) == (1, 0)

    def test_a_call_window_comes_back(self, make: Make, drive: Driver, clock: ManualClock) -> None:
        breaker = make(kind="percentage", window_size=5, minimum_calls=3, slow_call_seconds=1.0)
        drive.run(breaker, "x.s...x")
        twin = restarted(breaker, clock)
        assert twin.counts.failure_ratio == breaker.counts.failure_ratio == 0.2
        for one in (breaker, twin):
            drive.run(one, ".")
            assert (one.counts.failure_ratio, one.counts.slow_ratio) == (0.2, 0.0)

    def test_a_time_window_ages_by_wall_time(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = make(kind="time", window_seconds=60.0, minimum_calls=2,
                       failure_rate_threshold=1.0)  # fmt: skip
        drive.run(breaker, "x")
        clock.advance(30.0)
        drive.run(breaker, "..")
        snapshot = breaker.snapshot()
        for passed, ratio in (
            (0.0, 1 / 3),
            (29.0, 1 / 3),
            (31.0, 0.0),
            (61.0, None),
            (-500.0, 1 / 3),
        ):
            twin = CircuitBreaker(
                "t", breaker.policy, clock=ManualClock(wall=clock.time() + passed)
            )
            twin.restore(snapshot)
            assert twin.counts.failure_ratio == ratio

    def test_of_a_time_window_no_more_is_taken_than_one_holds(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = make(kind="time", window_seconds=60.0, minimum_calls=1)
        drive.run(breaker, ".")
        snapshot = breaker.snapshot()
        row = snapshot["window"][0]
        snapshot["window"] = [row] * 1_000
        breaker.restore(snapshot)
        assert len(breaker.snapshot()["window"]) == 14

    def test_a_window_of_another_kind_begins_empty(self, make: Make, drive: Driver) -> None:
        breaker = make(kind="percentage", minimum_calls=1, failure_rate_threshold=1.0)
        drive.run(breaker, ".x")
        for kind in ("count", "time", "adaptive"):
            twin = make(policy=BreakerPolicy(kind=kind, minimum_calls=1))
            twin.restore(breaker.snapshot())
            assert (twin.counts.failure_ratio, twin.counts.failures) == (None, 1)

    def test_what_was_learnt_comes_back(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = make(kind="adaptive", adaptive_rules=("error_rate", "latency"))
        drive.run(breaker, "...x" * 30)
        assert restarted(breaker, clock).counts.adaptive == breaker.counts.adaptive

    def test_why_it_moved_comes_back(self, make: Make, clock: ManualClock) -> None:
        breaker = make()
        breaker.force_open(actor="ann", reason="repairs")
        explained = restarted(breaker, clock).explain()
        assert explained == breaker.explain()
        assert "by ann: force open by hand: repairs" in explained

    @pytest.mark.parametrize("seed", [None, 0, -5, 1 << 80])
    def test_the_jitter_goes_on_where_it_was(
        self, make: Make, drive: Driver, clock: ManualClock, seed: int | None
    ) -> None:
        breaker = drive.opened(make(recovery_jitter=0.5, recovery_timeout=100.0, seed=seed))
        twin = restarted(breaker, clock)
        assert twin.retry_after == pytest.approx(breaker.retry_after)
        for one in (breaker, twin):
            one.half_open()
            drive.run(one, "x")
        assert twin.retry_after == pytest.approx(breaker.retry_after)

    @pytest.mark.parametrize(("at", "until"), [(9.0, 9.0), (9.0, 8.5), (9.0, 4.0), (-60.0, -5.0)])
    def test_an_opening_without_a_wait_and_one_that_has_waited_are_over_now(
        self, make: Make, clock: ManualClock, at: float, until: float
    ) -> None:
        breaker = make()
        opening = {"at": clock.time() + at, "until": clock.time() + until, "counted": True}
        breaker.restore({**breaker.snapshot(), "state": "open", "opening": opening})
        assert breaker.next_deadline == clock.monotonic()
        assert breaker.state == "half_open"

    @pytest.mark.parametrize("began", [7.0, 999_990.0])
    def test_an_opening_that_began_long_ago_ends_when_it_says(
        self, make: Make, clock: ManualClock, began: float
    ) -> None:
        breaker = make()
        opening = {"at": began, "until": clock.time() + 37.0, "counted": True}
        breaker.restore({**breaker.snapshot(), "state": "open", "opening": opening})
        assert breaker.retry_after == 37.0

    def test_a_shorter_timeout_shortens_a_restored_wait_counted_from_the_opening(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = drive.opened(make(recovery_timeout=60.0))
        clock.advance(10.0)
        twin = restarted(breaker, clock)
        twin.reconfigure(breaker.policy.replace(recovery_timeout=30.0))
        assert twin.retry_after == pytest.approx(20.0)

    @pytest.mark.parametrize("snapshot", [None, [], "text", 7, {}, {"version": 2}])
    @pytest.mark.parametrize("state", State)
    def test_what_is_no_snapshot_gives_a_closed_breaker_and_an_event(
        self, make: Make, snapshot: Any, state: State
    ) -> None:
        recorder = StateRecorder()
        breaker = make(initial_state=state, listeners=[recorder])
        breaker.restore(snapshot)
        assert breaker.state == "closed"
        reset = recorder.events[-1]
        assert (reset.kind, reset.reason.split(":")[0]) == ("reset", "corrupt snapshot")
        assert breaker.call(int) == 0

    def test_on_a_closed_breaker_it_begins_anew(self, make: Make, drive: Driver) -> None:
        breaker = make(kind="percentage", minimum_calls=1, failure_rate_threshold=1.0)
        drive.run(breaker, ".x")
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.restore({})
        breaker.record(permit, failed=True)
        counts = breaker.counts
        assert (counts.failure_ratio, counts.consecutive_failures, counts.stale) == (None, 0, 1)

    @pytest.mark.parametrize(("number", "taken"), [
        (2**63 - 1, True), (2**63, False), (2**63 + 1, False), (-1, False),
    ])  # fmt: skip
    def test_numbers_that_no_database_holds_are_not_taken(
        self, make: Make, number: int, taken: bool
    ) -> None:
        breaker = make()
        snapshot = breaker.snapshot()
        snapshot["totals"]["failures"] = number
        breaker.restore(snapshot)
        assert breaker.counts.failures == (number if taken else 0)

    def test_the_event_says_what_is_wrong(self, make: Make) -> None:
        recorder = StateRecorder()
        breaker = make(listeners=[recorder])
        good = breaker.snapshot()
        for change, words in (
            ({"version": 9}, "version 9, expected 1"),
            ({"version": 0}, "version 0, expected 1"),
            ({"state": "ajar"}, "'ajar' is not a valid State"),
            ({"totals": {}}, "'successes' is missing"),
            ({"now": {**good["now"], "run": -1}}, "run: -1 is negative or too large"),
            ({"now": {**good["now"], "run": True}}, "run: True is not a whole number"),
            ({"now": {**good["now"], "run": 1 << 63}}, "is negative or too large"),
            ({"seed": "x"}, "seed: 'x' is not a whole number"),
            ({"state": "open", "opening": None}, "not subscriptable"),
            ({"last_failure": {"at": float("nan"), "reason": None, "error": None}}, "not a time"),
            ({"last_failure": {"at": True, "reason": None, "error": None}}, "True is not a time"),
            ({"last_failure": {"at": 1.0, "reason": 5, "error": None}}, "5 is not text"),
        ):
            breaker.restore({**good, **change})
            assert words in recorder.events[-1].reason

    @given(data=st.data())
    @settings(deadline=None, max_examples=300)
    def test_no_damage_to_a_snapshot_crashes(self, data: st.DataObject) -> None:
        clock = ManualClock()
        breaker = CircuitBreaker("x", clock=clock, **FULL)
        Driver(clock).run(breaker, "..sx", every=0.5)
        breaker.open()
        snapshot = json.loads(json.dumps(breaker.snapshot()))
        where: Any = snapshot
        while isinstance(where, dict | list) and where:
            keys = list(where) if isinstance(where, dict) else list(range(len(where)))
            key = data.draw(st.sampled_from(keys))
            if not isinstance(where[key], dict | list) or data.draw(st.booleans()):
                where[key] = data.draw(
                    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
                    | st.just([]) | st.just({}) | st.just([[1, 2, 3, 4]])
                )  # fmt: skip
                break
            where = where[key]
        twin = CircuitBreaker("x", clock=clock, **FULL)
        twin.restore(copy.deepcopy(snapshot))
        json.dumps(twin.get_state())
        twin.snapshot()
        assert twin.explain()
        twin.reset()
        assert twin.call(int) == 0
