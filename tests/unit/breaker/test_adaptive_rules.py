"""R27: what adaptive rules learn, when they act, and what holds them back."""

from __future__ import annotations

from math import exp, log
from statistics import fmean, pvariance
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon import BreakerPolicy, CircuitBreaker, CircuitOpenError
from cbmon.breaker.adaptive import Learner
from cbmon.breaker.shedding import Shedding
from cbmon.testing import ManualClock, StateRecorder
from tests.unit.breaker.support import Driver, Make


def learner(**fields: Any) -> Learner:
    return Learner(BreakerPolicy(kind="adaptive", **fields))


def timed(breaker: CircuitBreaker, seconds: float, times: int = 1) -> None:
    for _ in range(times):
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.record(permit, failed=False, duration=seconds)


class TestErrorRate:
    def test_a_target_that_always_fails_a_little_is_left_alone(
        self, make: Make, drive: Driver
    ) -> None:
        breaker = make(kind="adaptive")
        drive.run(breaker, ("." * 9 + "x") * 300, every=0.1)
        assert breaker.state == "closed"
        learnt = breaker.counts.adaptive
        assert learnt is not None
        assert learnt["baseline_error_rate"] == pytest.approx(0.1, abs=0.02)
        assert 0.25 <= (learnt["error_rate_limit"] or 0) < 0.3

    def test_a_sudden_outage_opens_within_a_few_calls(self, make: Make, drive: Driver) -> None:
        recorder = StateRecorder()
        breaker = make(kind="adaptive", listeners=[recorder])
        drive.run(breaker, "." * 1000, every=0.01)
        drive.opened(breaker)
        assert breaker.counts.failures == 6
        assert recorder.told[-2:] == ["failure_rate_exceeded", "transition"]
        assert recorder.transitions[0].cause == "failure_rate"

    def test_nothing_acts_on_fewer_than_the_minimum(self, make: Make, drive: Driver) -> None:
        breaker = make(kind="adaptive", minimum_calls=30)
        drive.run(breaker, "x" * 29)
        assert breaker.state == "closed"
        drive.run(breaker, "x")
        assert breaker.state == "open"

    @pytest.mark.parametrize(
        ("base", "weight", "limit"), [(0.2, 0.1, 0.475295), (0.05, 0.3, 0.324669), (0.5, 1.0, 2.0)]
    )
    def test_the_limit_is_three_of_ewmas_standard_deviations_above_what_is_usual(
        self, base: float, weight: float, limit: float
    ) -> None:
        """Roberts, 1959: the spread of an EWMA is that of a sample times sqrt(w / (2 - w))."""
        one = learner(adaptive_smoothing=weight, adaptive_sensitivity=3.0, adaptive_floor=0.001,
                      adaptive_ceiling=1.0)  # fmt: skip
        one.base = base
        assert one.limit() == pytest.approx(min(limit, 1.0), abs=1e-5)

    def test_without_throttling_enough_a_failure_rate_at_the_ceiling_opens(
        self, make: Make, drive: Driver
    ) -> None:
        recorder = StateRecorder()
        breaker = make(kind="adaptive", adaptive_rules=("throttling",), minimum_calls=3,
                       adaptive_ceiling=0.9, listeners=[recorder])  # fmt: skip
        while breaker.state == "closed":
            permit = breaker.try_acquire()
            if permit is not None:
                breaker.record(permit, failed=True)
        assert recorder.transitions[0].cause == "failure_rate"

    def test_the_limit_stays_between_floor_and_ceiling(self) -> None:
        low, high = learner(adaptive_floor=0.3), learner(adaptive_ceiling=0.4)
        for _ in range(2000):
            low.learn(failed=False, duration=None, baseline=True)
            high.learn(failed=True, duration=None, baseline=True)
        assert (low.limit(), high.limit()) == (0.3, 0.4)

    def test_at_the_ceiling_it_always_opens(self, make: Make, drive: Driver) -> None:
        breaker = make(kind="adaptive", minimum_calls=5, adaptive_ceiling=0.7)
        drive.run(breaker, ".xxx")
        assert breaker.state == "closed"
        drive.run(breaker, "x")
        assert breaker.state == "open"

    @given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=30),
           st.integers(10, 60))  # fmt: skip
    def test_successes_told_at_once_are_learnt_like_one_by_one(
        self, story: list[tuple[int, bool]], memory: int
    ) -> None:
        single, batch = learner(adaptive_memory=memory), learner(adaptive_memory=memory)
        for successes, baseline in story:
            for one in (single, batch):
                one.learn(failed=True, duration=None, baseline=baseline)
            for _ in range(successes):
                single.learn(failed=False, duration=None, baseline=baseline)
            batch.catch_up(successes, baseline=baseline)
            assert batch.base == pytest.approx(single.base)
            assert batch.trend == pytest.approx(single.trend)
            assert batch.seen == single.seen

    def test_calls_through_the_lanes_are_learnt_too(self, make: Make, drive: Driver) -> None:
        driven, called = make(kind="adaptive"), make(kind="adaptive")
        for breaker in (driven, called):
            drive.run(breaker, "xx.")
        drive.run(driven, "." * 50)
        for _ in range(50):
            called.call(int)
        one, other = driven.counts.adaptive, called.counts.adaptive
        assert one is not None
        assert other is not None
        assert {key: pytest.approx(value) for key, value in one.items()} == other

    def test_it_learns_from_closed_calls_only(self, make: Make, drive: Driver) -> None:
        breaker = make(kind="adaptive", half_open_max_calls=20)
        drive.run(breaker, "." * 100)
        learnt = breaker._core.machine.learner
        assert learnt is not None
        before = learnt.base, learnt.seen
        for state in ("observe", "force_close"):
            getattr(breaker, state)()
            drive.run(breaker, "x" * 50)
            breaker.call(int)
            breaker.poll()
            assert (learnt.base, learnt.seen) == before
        breaker.open()
        breaker.half_open()
        drive.run(breaker, "x" * 19)
        assert (learnt.base, learnt.seen) == before

    def test_closing_keeps_what_was_learnt_and_reset_does_not(
        self, make: Make, drive: Driver
    ) -> None:
        breaker = make(kind="adaptive")
        drive.run(breaker, ("." * 9 + "x") * 20)
        breaker.open()
        breaker.close()
        learnt = breaker.counts.adaptive
        assert learnt is not None
        assert learnt["error_rate"] == learnt["baseline_error_rate"] != 0.0
        breaker.reset()
        learnt = breaker.counts.adaptive
        assert learnt is not None
        assert learnt["baseline_error_rate"] == 0.0

    def test_trials_are_judged_by_what_was_learnt(self, make: Make, drive: Driver) -> None:
        for trials, verdict in (("x...", "open"), (".....", "closed")):
            breaker = make(kind="adaptive", half_open_max_calls=len(trials),
                           initial_state="half_open")  # fmt: skip
            drive.run(breaker, trials)
            assert breaker.state == verdict


class TestThrottling:
    FIELDS: dict[str, Any] = {"kind": "adaptive", "adaptive_rules": ("throttling",), "seed": 4}  # noqa: RUF012

    def test_the_share_is_the_formula_of_its_source(self, make: Make, drive: Driver) -> None:
        breaker = make(**self.FIELDS, adaptive_floor=0.05, minimum_calls=30)
        drive.run(breaker, "." * 20 + "x" * 10)
        learnt = breaker.counts.adaptive
        assert learnt is not None
        assert learnt["rejection_share"] == 0.0
        strict = make(**self.FIELDS, adaptive_floor=0.05, adaptive_multiplier=1.0,
                      minimum_calls=30)  # fmt: skip
        drive.run(strict, "." * 20 + "x" * 10)
        learnt = strict.counts.adaptive
        assert learnt is not None
        assert learnt["rejection_share"] == pytest.approx((30 - 20) / 31)

    def test_it_rejects_that_share_and_stays_closed(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = make(**self.FIELDS, adaptive_multiplier=1.0, window_seconds=1000.0,
                       minimum_calls=100)  # fmt: skip
        drive.run(breaker, "." * 60 + "x" * 40)
        ran, errors = 0, []
        for _ in range(100):
            clock.advance(0.1)
            try:
                breaker.call(int)
            except CircuitOpenError as error:
                errors.append(error)
            else:
                ran += 1
        assert {(error.state, error.retry_after) for error in errors} == {("closed", 0.0)}
        assert breaker.state == "closed"
        assert breaker.counts.rejections == 100 - ran
        assert 45 <= ran <= 70

    def test_it_counts_what_it_rejected_among_the_requests(self, make: Make, drive: Driver) -> None:
        breaker = make(**self.FIELDS, adaptive_multiplier=1.0)
        drive.run(breaker, "." * 6 + "x" * 4)
        for rejected in range(1, 4):
            while breaker.try_acquire() is not None:
                pass
            learnt = breaker.counts.adaptive
            assert learnt is not None
            assert learnt["rejection_share"] == pytest.approx((4 + rejected) / (11 + rejected))

    def test_at_the_ceiling_it_opens(self, make: Make) -> None:
        recorder = StateRecorder()
        breaker = make(**self.FIELDS, listeners=[recorder], adaptive_ceiling=0.9)
        for _ in range(100):
            permit = breaker.try_acquire()
            if permit is not None:
                breaker.record(permit, failed=True)
        assert breaker.state == "open"
        assert recorder.transitions[0].cause == "throttling"
        assert recorder.transitions[0].text == (
            "throttling wants to reject 0.9 of the calls, ceiling 0.9"
        )

    def test_below_the_floor_nothing_is_rejected(self, make: Make, drive: Driver) -> None:
        breaker = make(**self.FIELDS, adaptive_multiplier=1.0, adaptive_floor=0.5)
        drive.run(breaker, "." * 60 + "x" * 40)
        assert all(breaker.try_acquire() is not None for _ in range(50))

    def test_another_window_is_one_for_what_was_turned_away_too(self, make: Make) -> None:
        breaker = make(**self.FIELDS)
        shedding = breaker._core.machine.shedding
        assert shedding is not None
        before = shedding.turned_away
        breaker.reconfigure(breaker.policy.replace(adaptive_floor=0.3))
        assert shedding.turned_away is before
        breaker.reconfigure(breaker.policy.replace(window_seconds=7.0))
        assert shedding.turned_away is not None
        assert shedding.turned_away.seconds == 7.0
        breaker.reconfigure(breaker.policy.replace(adaptive_rules=("error_rate",)))
        assert breaker._core.machine.shedding is None

    def test_at_the_floor_it_begins(self, make: Make, drive: Driver) -> None:
        breaker = make(**self.FIELDS, adaptive_multiplier=1.0, adaptive_floor=0.5)
        drive.run(breaker, "." * 5 + "x" * 5)
        learnt = breaker.counts.adaptive
        assert learnt is not None
        assert learnt["rejection_share"] == pytest.approx(5 / 11)

    def test_without_failures_calls_take_the_lane(self, make: Make, drive: Driver) -> None:
        breaker = make(**self.FIELDS)
        drive.run(breaker, "." * 20)
        assert breaker._core.machine.free
        drive.run(breaker, "x")
        assert not breaker._core.machine.free

    def test_closing_forgets_what_was_turned_away(self, make: Make, drive: Driver) -> None:
        breaker = make(**self.FIELDS, adaptive_multiplier=1.0)
        drive.run(breaker, "." * 6 + "x" * 4)
        while breaker.try_acquire() is not None:
            pass
        breaker.open()
        breaker.close()
        shedding = breaker._core.machine.shedding
        assert shedding is not None
        assert shedding.turned_away is not None
        assert shedding.turned_away.calls == 0

    def test_clients_do_not_reject_in_step(self) -> None:
        policy = BreakerPolicy(kind="adaptive", adaptive_rules=("throttling",))
        sums = {Shedding(policy, seed).sum for seed in range(20)}
        assert len(sums) == 20
        assert all(0.0 <= begun < 1.0 for begun in sums)


class TestLatency:
    FIELDS: dict[str, Any] = {"kind": "adaptive", "adaptive_rules": ("latency",)}  # noqa: RUF012

    def test_calls_that_become_much_slower_open_it(self, make: Make) -> None:
        recorder = StateRecorder()
        breaker = make(**self.FIELDS, listeners=[recorder])
        timed(breaker, 0.1, 200)
        while breaker.state == "closed":
            timed(breaker, 0.3)
        assert breaker.counts.calls < 225
        assert recorder.told[-2:] == ["slow_call_rate_exceeded", "transition"]
        assert recorder.transitions[0].cause == "latency_drift"

    def test_one_slow_call_does_not(self, make: Make) -> None:
        breaker = make(**self.FIELDS, adaptive_latency_ceiling=1e6)
        timed(breaker, 0.1, 200)
        for _ in range(20):
            timed(breaker, 5.0)
            timed(breaker, 0.1, 50)
        assert breaker.state == "closed"

    def test_the_sum_opens_when_it_is_at_its_limit(self, make: Make) -> None:
        breaker = make(**self.FIELDS, minimum_calls=5, adaptive_latency_limit=5.0,
                       adaptive_latency_floor=1.01, adaptive_latency_ceiling=1e9)  # fmt: skip
        timed(breaker, 1.0, 200)
        timed(breaker, 1000.0)
        assert breaker.state == "closed"
        timed(breaker, 1000.0)
        assert breaker.state == "open"

    def test_center_and_spread_are_mean_and_variance_of_the_logarithms(self) -> None:
        one, values = learner(adaptive_rules=("latency",), minimum_calls=5), [0.1, 0.4, 0.2, 3.0]
        for seconds in values:
            one.learn(failed=False, duration=seconds, baseline=True)
        logs = [log(seconds) for seconds in values]
        assert one.center == pytest.approx(fmean(logs))
        assert one.spread == pytest.approx(pvariance(logs))

    def test_the_recent_duration_is_smoothed(self) -> None:
        one = learner(adaptive_rules=("latency",), minimum_calls=5, adaptive_smoothing=0.25)
        for _ in range(5):
            one.learn(failed=False, duration=1.0, baseline=True)
        expected = 0.0
        for seconds in (8.0, 2.0, 4.0):
            one.learn(failed=False, duration=seconds, baseline=False)
            expected += 0.25 * (log(seconds) - expected)
            assert one.recent == pytest.approx(expected)
            assert one.latency_ratio() == pytest.approx(exp(expected))

    def test_one_call_adds_at_most_two_and_a_half_and_takes_no_less_than_all(self) -> None:
        one = learner(adaptive_rules=("latency",), minimum_calls=5)
        for _ in range(5):
            one.learn(failed=False, duration=1.0, baseline=True)
        one.learn(failed=False, duration=1000.0, baseline=False)
        assert one.drift == 2.5
        one.learn(failed=False, duration=1.0, baseline=False)
        assert one.drift == 2.0
        one.learn(failed=False, duration=0.001, baseline=False)
        assert one.drift == 0.0

    def test_below_the_floor_it_never_does(self, make: Make) -> None:
        breaker = make(**self.FIELDS, adaptive_latency_floor=4.0)
        timed(breaker, 0.1, 100)
        timed(breaker, 0.3, 300)
        assert breaker.state == "closed"

    def test_at_the_ceiling_it_always_does(self, make: Make) -> None:
        breaker = make(**self.FIELDS, adaptive_latency_limit=1e9, adaptive_latency_ceiling=3.0)
        timed(breaker, 0.1, 100)
        while breaker.state == "closed":
            timed(breaker, 60.0)
        assert (recent(breaker) or 0) >= 3.0 or breaker.state == "open"

    def test_failures_and_calls_in_other_states_teach_nothing(
        self, make: Make, drive: Driver
    ) -> None:
        breaker = make(**self.FIELDS)
        timed(breaker, 0.1, 50)
        learnt = breaker._core.machine.learner
        assert learnt is not None
        before = learnt.center, learnt.spread, learnt.timed
        drive.run(breaker, "S" * 3)
        breaker.observe()
        timed(breaker, 9.0, 20)
        assert (learnt.center, learnt.spread, learnt.timed) == before
        assert exp(learnt.center) == pytest.approx(0.1)

    def test_slow_trials_reopen(self, make: Make) -> None:
        for seconds, verdict in ((0.1, "closed"), (0.2, "open")):
            breaker = make(**self.FIELDS)
            timed(breaker, 0.1, 50)
            breaker.open()
            breaker.half_open()
            timed(breaker, seconds)
            assert breaker.state == verdict

    def test_several_trials_are_judged_by_their_mean(self, make: Make) -> None:
        for seconds, verdict in (((0.1, 0.18), "closed"), ((0.1, 0.9), "open")):
            breaker = make(**self.FIELDS, half_open_max_calls=2)
            timed(breaker, 0.1, 50)
            breaker.open()
            breaker.half_open()
            for one in seconds:
                timed(breaker, one)
            assert breaker.state == verdict

    def test_guarded_calls_are_timed(self, make: Make, clock: ManualClock) -> None:
        breaker = make(**self.FIELDS)
        for _ in range(50):
            breaker.call(clock.advance, 0.1)
        learnt = breaker.counts.adaptive
        assert learnt is not None
        assert learnt["baseline_latency_seconds"] == pytest.approx(0.1)
        while breaker.state == "closed":
            breaker.call(clock.advance, 0.5)
        assert breaker.counts.calls < 70

    def test_a_duration_of_nothing_is_no_trouble(self, make: Make) -> None:
        breaker = make(**self.FIELDS)
        timed(breaker, 0.0, 50)
        assert breaker.counts.adaptive is not None

    def test_before_enough_calls_there_is_no_ratio(self) -> None:
        one = learner(adaptive_rules=("latency",), minimum_calls=5)
        for _ in range(4):
            one.learn(failed=False, duration=1.0, baseline=True)
            assert (one.latency_ratio(), one.has_drifted()) == (None, False)
        one.learn(failed=False, duration=1.0, baseline=True)
        assert one.latency_ratio() == pytest.approx(1.0)
        assert one.latency_ratio(log(3.0)) == pytest.approx(3.0)


class TestKeeping:
    @pytest.mark.parametrize("damage", [
        {"base": 1.5}, {"base": -0.1}, {"trend": 2.0}, {"trend": -1.0}, {"drift": float("inf")},
        {"seen": -1}, {"timed": -1}, {"center": "x"}, {"spread": None},
    ])  # fmt: skip
    def test_odd_values_are_refused(self, damage: dict[str, Any]) -> None:
        good = learner().dump()
        with pytest.raises((ValueError, TypeError)):
            learner().load({**good, **damage})

    @pytest.mark.parametrize("rate", [0.0, 1.0])
    def test_an_error_rate_may_be_none_or_all(self, rate: float) -> None:
        one = learner()
        one.load({**one.dump(), "base": rate, "trend": rate})
        assert (one.base, one.trend) == (rate, rate)

    def test_values_out_of_proportion_are_bounded(self) -> None:
        one = learner(adaptive_memory=50)
        one.load({**one.dump(), "seen": 1e9, "timed": 1e9, "spread": -1.0, "drift": -5.0})
        assert (one.seen, one.timed, one.spread, one.drift) == (50, 50, 0.0, 0.0)
        one.load({**one.dump(), "seen": 0})
        assert one.seen == 1


def recent(breaker: CircuitBreaker) -> float | None:
    learnt = breaker.counts.adaptive
    assert learnt is not None
    return learnt["latency_ratio"]


def test_slow_calls_open_an_adaptive_breaker_too(make: Make, drive: Driver) -> None:
    breaker = make(kind="adaptive", slow_call_seconds=1.0, slow_call_rate_threshold=0.5)
    drive.run(breaker, "s." * 5)
    assert breaker.state == "open"


class TestGradualReturn:
    def test_after_a_recovery_a_growing_share_is_admitted(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = make(gradual_return_seconds=100.0, initial_state="half_open", seed=1)
        drive.run(breaker, ".")
        admitted = []
        for _ in range(10):
            count = 0
            for _ in range(100):
                clock.advance(0.1)
                permit = breaker.try_acquire()
                if permit is not None:
                    count += 1
                    breaker.record(permit, failed=False)
            admitted.append(count)
        assert admitted == sorted(admitted)
        assert admitted[0] == pytest.approx(14, abs=2)
        assert admitted[-1] == pytest.approx(95, abs=2)
        clock.advance(0.1)
        assert all(breaker.try_acquire() is not None for _ in range(50))
        assert breaker._core.machine.free

    def test_a_breaker_closed_by_hand_admits_all(self, make: Make) -> None:
        breaker = make(gradual_return_seconds=100.0, initial_state="open")
        breaker.close()
        assert all(breaker.try_acquire() is not None for _ in range(50))

    def test_reset_ends_it(self, make: Make, drive: Driver) -> None:
        breaker = make(gradual_return_seconds=100.0, initial_state="half_open")
        drive.run(breaker, ".")
        breaker.reset()
        assert all(breaker.try_acquire() is not None for _ in range(50))

    def test_opening_again_ends_it(self, make: Make, drive: Driver) -> None:
        breaker = make(gradual_return_seconds=100.0, initial_state="half_open")
        drive.run(breaker, ".")
        breaker.open()
        breaker.close()
        assert all(breaker.try_acquire() is not None for _ in range(50))

    def test_reconfiguring_begins_and_ends_it(self, make: Make, drive: Driver) -> None:
        breaker = make(initial_state="half_open")
        policy = breaker.policy
        breaker.reconfigure(policy.replace(gradual_return_seconds=100.0))
        drive.run(breaker, ".")
        assert any(breaker.try_acquire() is None for _ in range(5))
        breaker.reconfigure(policy.replace(gradual_return_seconds=200.0))
        assert any(breaker.try_acquire() is None for _ in range(5))
        breaker.reconfigure(policy)
        assert all(breaker.try_acquire() is not None for _ in range(50))


@pytest.mark.parametrize("seed", range(20))
def test_of_ten_calls_after_a_recovery_nine_are_turned_away(
    make: Make, drive: Driver, seed: int
) -> None:
    """The share is exact; where it begins lies within the first call's."""
    breaker = make(gradual_return_seconds=100.0, initial_state="half_open", seed=seed)
    drive.run(breaker, ".")
    taken = [breaker.try_acquire() is not None for _ in range(10)]
    assert taken.count(True) == 1
    assert not all(taken[:2])


def test_a_gradual_return_that_is_given_up_is_over_where_calls_are_throttled(
    make: Make, drive: Driver
) -> None:
    breaker = make(
        kind="adaptive", adaptive_rules=("throttling",), gradual_return_seconds=100.0,
        initial_state="half_open",
    )  # fmt: skip
    drive.run(breaker, ".")
    breaker.reconfigure(breaker.policy.replace(gradual_return_seconds=None))
    assert all(breaker.try_acquire() is not None for _ in range(50))


def test_the_first_calls_are_the_baseline_that_recent_ones_are_compared_with(make: Make) -> None:
    breaker = make(kind="adaptive", adaptive_rules=("latency",), minimum_calls=3)
    for seconds in (1.0, 2.0, 16.0):
        timed(breaker, seconds)
    assert recent(breaker) == 1.0


def test_the_drift_is_the_sum_of_the_deviations_beyond_the_allowance(make: Make) -> None:
    breaker = make(
        kind="adaptive", adaptive_rules=("latency",), minimum_calls=2, adaptive_latency_limit=100.0
    )
    durations = [1.0, 4.0, 3.0, 6.0, 5.0, 7.0, 0.5, 9.0, 1e6, 8.0]
    drift, learnt = 0.0, [log(second) for second in durations[:2]]
    for second in durations[2:]:
        deviations = (log(second) - fmean(learnt)) / pvariance(learnt) ** 0.5
        drift = max(0.0, drift + max(-3.0, min(3.0, deviations)) - 0.5)
        learnt.append(log(second))
    for second in durations:
        timed(breaker, second)
    exported = breaker.counts.adaptive
    assert exported is not None
    assert exported["latency_drift"] == pytest.approx(drift)


def test_a_gradual_return_is_over_at_its_end(make: Make, drive: Driver, clock: ManualClock) -> None:
    for kind in ("count", "percentage", "time"):
        breaker = make(kind=kind, gradual_return_seconds=64.0, initial_state="half_open")
        drive.run(breaker, ".")
        assert any(breaker.try_acquire() is None for _ in range(5))
        clock.advance(64.0)
        assert breaker.call(int) == 0
        assert breaker._core.machine.free


def test_a_failed_trial_has_no_duration_to_compare(make: Make, drive: Driver) -> None:
    breaker = make(kind="adaptive", adaptive_rules=("latency",), initial_state="half_open")
    drive.run(breaker, "x")
    assert breaker.state == "open"


def test_without_throttling_no_share_is_rejected(make: Make, drive: Driver) -> None:
    breaker = make(kind="adaptive")
    drive.run(breaker, "." * 20 + "x" * 4)
    learnt = breaker.counts.adaptive
    assert learnt is not None
    assert learnt["rejection_share"] == 0.0


def test_at_the_floor_a_drift_counts() -> None:
    one = learner(adaptive_rules=("latency",), adaptive_latency_floor=1.0)
    one.load({**one.dump(), "timed": 10, "drift": 8.0})
    assert one.latency_ratio() == 1.0
    assert one.has_drifted()


@pytest.mark.parametrize("seconds", [30.0, 120.0])
def test_rejections_are_remembered_for_as_long_as_outcomes(seconds: float) -> None:
    policy = BreakerPolicy(kind="adaptive", adaptive_rules=("throttling",))
    shedding = Shedding(policy, 1)
    shedding.follow(policy.replace(window_seconds=seconds))
    assert shedding.turned_away is not None
    assert shedding.turned_away.seconds == seconds


def test_at_the_ceiling_a_drift_needs_no_sum() -> None:
    one = learner(adaptive_rules=("latency",), adaptive_latency_ceiling=exp(1.0))
    one.load({**one.dump(), "timed": 10, "recent": 1.0})
    assert one.drift == 0.0
    assert one.has_drifted()


def test_a_success_that_lowers_the_limit_more_than_the_rate_opens(
    make: Make, drive: Driver
) -> None:
    """What is learnt is forgotten faster here than what was seen last."""
    fields = {
        "kind": "adaptive", "minimum_calls": 4, "adaptive_smoothing": 0.05, "adaptive_memory": 10,
        "adaptive_floor": 0.05, "adaptive_sensitivity": 0.5,
    }  # fmt: skip
    driven, called = make(**fields), make(**fields)
    for breaker in (driven, called):
        drive.run(breaker, "..x.xxx")
    for number in range(1, 20):
        drive.run(driven, ".")
        called.call(int)
        expected = "closed" if number < 19 else "open"
        assert driven.state == called.state == expected


def test_trials_at_the_floor_are_too_slow(make: Make) -> None:
    breaker = make(
        kind="adaptive", adaptive_rules=("latency",), adaptive_latency_floor=1.0, minimum_calls=2
    )
    timed(breaker, 1.0, times=3)
    breaker.open()
    breaker.half_open()
    timed(breaker, 1.0)
    assert breaker.state == "open"
