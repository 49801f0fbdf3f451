"""R27: an adaptive breaker learns within its guard rails, from closed calls, the same each time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbmon import BreakerPolicy, CircuitBreaker, State
from cbmon.testing import ManualClock, Outcome, outcome_sequences, play

RULES = ["error_rate", "throttling", "latency"]
SEQUENCES = outcome_sequences(max_size=120)


def adaptive(clock: ManualClock, **fields: Any) -> CircuitBreaker:
    settings_ = {"minimum_calls": 5, "recovery_timeout": 30.0, **fields}
    return CircuitBreaker("a", BreakerPolicy(kind="adaptive", **settings_), clock=clock, seed=3)


@given(SEQUENCES)
@settings(deadline=None)
def test_errors_act_only_between_the_floor_and_the_ceiling(outcomes: list[Outcome]) -> None:
    clock = ManualClock()
    breaker = adaptive(clock, adaptive_floor=0.2, adaptive_ceiling=0.7)
    for outcome in outcomes:
        before = breaker.state
        play(breaker, clock, [outcome])
        ratio = breaker.counts.failure_ratio
        if breaker.state is State.CLOSED and ratio is not None:
            assert ratio < 0.7
        if before is State.CLOSED and breaker.state is State.OPEN:
            assert ratio is None or ratio >= 0.2


@given(st.lists(st.booleans(), max_size=9), st.sampled_from(RULES))
@settings(deadline=None)
def test_fewer_than_the_minimum_of_calls_give_no_verdict(fails: list[bool], rule: str) -> None:
    clock = ManualClock()
    breaker = adaptive(clock, minimum_calls=10, adaptive_rules=(rule,))
    play(breaker, clock, [Outcome(failed=failed, duration=60.0 * failed) for failed in fails])
    assert breaker.state is State.CLOSED
    assert breaker.counts.rejections == 0


@pytest.mark.parametrize("rule", RULES)
@given(outcomes=SEQUENCES)
@settings(deadline=None, max_examples=30)
def test_the_same_clock_seed_and_calls_give_the_same_history(
    rule: str, outcomes: list[Outcome]
) -> None:
    histories = []
    for _ in range(2):
        clock = ManualClock()
        breaker = adaptive(clock, adaptive_rules=(rule,))
        histories.append((play(breaker, clock, outcomes), breaker.get_state()))
    assert histories[0] == histories[1]


def test_a_target_that_always_fails_a_little_is_not_held_to_a_perfect_ones_standard() -> None:
    clock = ManualClock()
    breaker = adaptive(clock, adaptive_floor=0.05, window_seconds=60.0)
    steady = [Outcome(failed=number % 10 == 0, pause=0.5) for number in range(2000)]
    assert set(play(breaker, clock, steady)) == {State.CLOSED}


def test_a_sudden_outage_opens_it_whatever_was_learnt() -> None:
    clock = ManualClock()
    breaker = adaptive(clock, window_seconds=10.0)
    play(breaker, clock, [Outcome(pause=0.5)] * 500)
    states = play(breaker, clock, [Outcome(failed=True, pause=0.5)] * 30)
    assert State.OPEN in states
