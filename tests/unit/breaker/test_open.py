"""R7 to R9: how long an opening lasts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon import BreakerPolicy, CircuitOpenError, State
from cbmon.breaker.backoff import draw, fresh_seed, wait_of
from cbmon.testing import ManualClock
from tests.unit.breaker.support import Driver, Make


class TestR7:
    def test_the_wait_is_over_when_it_has_passed_exactly(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = drive.opened(make(recovery_timeout=30.0))
        clock.advance(29.999)
        assert breaker.try_acquire() is None
        assert breaker.retry_after == pytest.approx(0.001)
        clock.advance(0.001)
        assert breaker.retry_after == 0.0
        assert breaker.try_acquire() is not None

    @given(start=st.floats(0, 1e9), wait=st.floats(1e-3, 1e6))
    def test_at_the_deadline_a_call_is_admitted_whatever_the_rounding(
        self, start: float, wait: float
    ) -> None:
        clock = ManualClock(start=start)
        from cbmon import CircuitBreaker

        breaker = CircuitBreaker("x", clock=clock, recovery_timeout=wait, initial_state="open",
                                 max_recovery_timeout=1e9)  # fmt: skip
        deadline = breaker.next_deadline
        assert deadline is not None
        clock.advance(deadline - clock.monotonic())
        if clock.monotonic() >= deadline:
            assert breaker.retry_after == 0.0
            assert breaker.try_acquire() is not None

    def test_a_rejection_says_how_long(self, make: Make, clock: ManualClock) -> None:
        breaker = make(initial_state="open", recovery_timeout=30.0)
        clock.advance(10.0)
        with pytest.raises(CircuitOpenError) as caught:
            breaker.call(int)
        assert (caught.value.name, caught.value.state) == ("target", State.OPEN)
        assert caught.value.retry_after == 20.0
        assert str(caught.value) == "circuit breaker 'target' is open; retry after 20.000 s"


class TestR8:
    def test_the_wait_grows_with_each_opening_up_to_its_cap(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = drive.opened(make(recovery_timeout=10.0, recovery_backoff=2.0,
                                    max_recovery_timeout=35.0))  # fmt: skip
        waits = []
        for _ in range(4):
            waits.append(breaker.retry_after)
            clock.advance(breaker.retry_after or 0)
            drive.run(breaker, "x")
        assert waits == [10.0, 20.0, 35.0, 35.0]
        assert breaker.counts.openings == 5

    def test_closing_begins_anew(self, make: Make, drive: Driver, clock: ManualClock) -> None:
        breaker = drive.opened(make(recovery_timeout=10.0, recovery_backoff=2.0))
        clock.advance(10.0)
        drive.run(breaker, "x")
        assert breaker.retry_after == 20.0
        clock.advance(20.0)
        drive.run(breaker, ".")
        assert breaker.counts.openings == 0
        assert drive.opened(breaker).retry_after == 10.0

    def test_a_million_openings_do_not_overflow(self) -> None:
        policy = BreakerPolicy(recovery_timeout=1.0, recovery_backoff=10.0)
        assert wait_of(policy, 10**6, 0.0) == 3600.0
        assert wait_of(policy, 1, 0.0) == 1.0

    def test_without_a_cap_it_is_an_hour_or_the_timeout(self) -> None:
        assert BreakerPolicy(recovery_timeout=7200.0).longest_wait == 7200.0
        assert BreakerPolicy().longest_wait == 3600.0

    @given(st.integers(), st.integers(0, 10**6))
    def test_a_draw_is_in_its_range_and_repeatable(self, seed: int, index: int) -> None:
        assert -1.0 <= draw(seed, index) < 1.0
        assert draw(seed, index) == draw(seed, index)

    def test_draws_spread_evenly(self) -> None:
        draws = [draw(7, index) for index in range(10_000)]
        assert abs(sum(draws)) / len(draws) < 0.02
        assert math.isclose(sum(x * x for x in draws) / len(draws), 1 / 3, rel_tol=0.03)
        assert len(set(draws)) == len(draws)
        assert draw(7, 1) != draw(8, 1)

    def test_jitter_is_drawn_once_per_opening_and_reads_do_not_change_it(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        def waits(seed: int) -> list[float]:
            breaker = drive.opened(make(recovery_timeout=100.0, recovery_jitter=0.5, seed=seed))
            found = []
            for _ in range(20):
                wait = breaker.retry_after
                assert wait is not None
                assert wait == breaker.retry_after
                found.append(wait)
                clock.advance(wait)
                drive.run(breaker, "x")
            return found

        assert waits(1) == pytest.approx(waits(1))
        assert waits(1) != pytest.approx(waits(2))
        assert len(set(waits(1))) == 20
        assert all(50.0 - 1e-6 <= wait <= 150.0 + 1e-6 for wait in waits(1))

    @pytest.mark.parametrize("seed", range(5))
    def test_another_policy_with_the_same_wait_leaves_each_opening_as_long_as_it_was(
        self, make: Make, drive: Driver, clock: ManualClock, seed: int
    ) -> None:
        breaker = drive.opened(make(recovery_timeout=100.0, recovery_jitter=0.5, seed=seed))
        for number in range(10):
            before = breaker.retry_after
            assert before is not None
            breaker.reconfigure(replace(breaker.policy, call_timeout=1.0 + number))
            assert breaker.retry_after == pytest.approx(before)
            clock.advance(before)
            drive.run(breaker, "x")

    def test_one_that_begins_open_draws_as_one_that_has_opened(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        fields = {"recovery_timeout": 100.0, "recovery_jitter": 0.5, "recovery_backoff": 2.0,
                  "max_recovery_timeout": 1e6, "seed": 3}  # fmt: skip
        waits = []
        for begins_open in (True, False):
            breaker = make(**fields, initial_state="open" if begins_open else "closed")
            drive.opened(breaker)
            for _ in range(3):
                waits.append(breaker.retry_after or 0.0)
                clock.advance(waits[-1])
                drive.run(breaker, "x")
        assert waits[:3] == pytest.approx(waits[3:])
        assert len(set(waits[:3])) == 3

    def test_the_draws_are_those_of_splitmix64(self) -> None:
        """Reference output for the seed 1234567; snapshots of any version go on with it."""
        words = (6457827717110365317, 3203168211198807973, 9817491932198370423,
                 4593380528125082431, 16408922859458223821)  # fmt: skip
        for index, word in enumerate(words):
            assert draw(1234567, index) == (word >> 11) / 2**52 - 1.0

    @pytest.mark.parametrize(("drawn", "seconds"), [(-1.0, 50.0), (0.0, 100.0), (0.5, 125.0)])
    def test_a_draw_above_zero_makes_the_wait_longer(self, drawn: float, seconds: float) -> None:
        policy = BreakerPolicy(recovery_timeout=100.0, recovery_jitter=0.5)
        assert wait_of(policy, 1, drawn) == seconds

    def test_jitter_never_exceeds_the_cap(self, make: Make, drive: Driver) -> None:
        for seed in range(50):
            breaker = drive.opened(make(recovery_timeout=100.0, recovery_jitter=0.9, seed=seed,
                                        max_recovery_timeout=100.0))  # fmt: skip
            assert 9.0 < (breaker.retry_after or 0) <= 100.0

    def test_without_a_seed_breakers_do_not_wait_in_step(self, make: Make, drive: Driver) -> None:
        waits = {drive.opened(make(recovery_jitter=0.5)).retry_after for _ in range(5)}
        assert len(waits) == 5
        assert fresh_seed() != fresh_seed()


class TestR9:
    def test_open_for_waits_just_that_and_is_no_opening(
        self, make: Make, drive: Driver, clock: ManualClock
    ) -> None:
        breaker = make(recovery_timeout=10.0, recovery_backoff=2.0, recovery_jitter=0.5)
        breaker.open(for_seconds=7200.0)
        assert (breaker.retry_after, breaker.counts.openings) == (7200.0, 0)
        clock.advance(7200.0)
        assert breaker.state == "half_open"

    def test_a_plain_open_counts_for_the_backoff(self, make: Make) -> None:
        breaker = make(recovery_timeout=10.0, recovery_backoff=2.0)
        breaker.open()
        assert (breaker.retry_after, breaker.counts.openings) == (10.0, 1)
        breaker.half_open()
        breaker.open()
        assert (breaker.retry_after, breaker.counts.trips) == (20.0, 0)

    def test_on_an_open_breaker_it_sets_the_deadline_anew_without_a_move(
        self, make: Make, clock: ManualClock
    ) -> None:
        breaker = make(recovery_timeout=10.0)
        breaker.open()
        clock.advance(5.0)
        breaker.open()
        assert breaker.retry_after == 5.0
        breaker.open(for_seconds=50.0)
        assert breaker.retry_after == 50.0
        assert sum(breaker.counts.transitions.values()) == 1
        with pytest.raises(CircuitOpenError):
            breaker.call(int)

    @pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf"), True, "5"])
    def test_a_wrong_number_of_seconds_is_refused(self, make: Make, seconds: float) -> None:
        breaker = make()
        with pytest.raises(ValueError, match=r"for_seconds: .* expected a finite number > 0"):
            breaker.open(for_seconds=seconds)
        assert breaker.state == "closed"


def test_retry_after_is_zero_when_calls_may_try_and_none_when_only_a_person_can_end_it(
    make: Make,
) -> None:
    seen = {}
    for state in State:
        seen[state] = make(initial_state=state).retry_after
    assert seen == {
        State.CLOSED: 0.0, State.OPEN: 60.0, State.HALF_OPEN: 0.0, State.FORCED_OPEN: None,
        State.FORCED_CLOSED: 0.0, State.OBSERVE: 0.0, State.DISABLED: None,
    }  # fmt: skip


@pytest.mark.parametrize("state", ["forced_open", "disabled"])
def test_a_rejection_that_only_a_person_ends_has_no_time(make: Make, state: str) -> None:
    breaker = make(initial_state=state)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call(int)
    assert caught.value.retry_after is None
    assert str(caught.value) == f"circuit breaker 'target' is {state}"
    assert breaker.counts.rejections == 1


def test_the_longest_wait_by_hand_is_31_years(make: Make) -> None:
    breaker = make()
    breaker.open(for_seconds=1e9)
    assert breaker.retry_after == 1e9


def test_one_that_begins_open_has_opened_once(make: Make, clock: ManualClock) -> None:
    breaker = make(initial_state="open", recovery_timeout=10.0, recovery_backoff=2.0)
    assert breaker.counts.openings == 1
    clock.advance(10.0)
    breaker.open()
    assert breaker.counts.openings == 2
    assert breaker.retry_after == 20.0
