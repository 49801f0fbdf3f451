"""Rule: a driver that goes without the lock counts what one with it counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.breaker import CircuitBreaker, permits
from cbmon.breaker import breaker as module
from cbmon.breaker.policy import BreakerPolicy
from cbmon.testing import ManualClock

POLICIES: list[dict[str, Any]] = [
    {"failure_threshold": 3},
    {"kind": "percentage", "window_size": 10, "minimum_calls": 5, "slow_call_seconds": 1.0},
    {"kind": "time", "window_seconds": 20.0, "minimum_calls": 4},
    {"kind": "adaptive", "window_seconds": 20.0},
    {"failure_threshold": 2, "call_timeout": 5.0},
]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["good", "bad", "slow", "hold", "back", "reset", "release"]),
        st.sampled_from([0.0, 0.5, 7.0, 70.0]),
    ),
    max_size=40,
)


def played(steps: list[tuple[str, float]], fields: dict[str, Any]) -> list[dict[str, Any]]:
    clock = ManualClock()
    one = CircuitBreaker("shop", BreakerPolicy(**fields), clock=clock, seed=1)
    held: list[Any] = []
    seen = []
    for kind, pause in steps:
        clock.advance(pause)
        if kind == "reset":
            one.reset()
        elif kind == "back":
            if held:
                one.record(held.pop(0), failed=False, duration=0.1)
        elif (permit := one.try_acquire()) is not None:
            if kind == "hold":
                held.append(permit)
            elif kind == "release":
                one.release(permit)
            else:
                duration = 2.0 if kind == "slow" else 0.1
                one.record(permit, failed=kind == "bad", duration=duration)
        counts = one.counts
        seen.append(
            {
                "state": one.state,
                "snapshot": one.snapshot(),
                **{
                    name: getattr(counts, name)
                    for name in ("calls", "in_flight", "successes", "failures", "stale", "trips")
                },
            }
        )
    return seen


@pytest.mark.parametrize("fields", POLICIES, ids=str)
def test_with_and_without_the_lock_the_same_is_counted(fields: dict[str, Any]) -> None:
    @given(STEPS)
    def compare(steps: list[tuple[str, float]]) -> None:
        plain = played(steps, fields)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "hand_out", lambda _: None)
            patch.setattr(module, "count_success", lambda *_: False)
            assert plain == played(steps, fields)

    compare()


def test_a_permit_that_was_given_without_the_lock_is_taken_back_once() -> None:
    one, other = CircuitBreaker("one"), CircuitBreaker("other")
    permit = one.try_acquire()
    assert permit is not None
    assert one.counts.in_flight == 1
    with pytest.raises(ValueError, match="none that circuit breaker 'other' waits for"):
        other.record(permit, failed=False)
    one.record(permit, failed=False)
    with pytest.raises(ValueError, match="none that circuit breaker 'one' waits for"):
        one.record(permit, failed=False)
    assert (one.counts.in_flight, one.counts.successes, other.counts.calls) == (0, 1, 0)


def test_a_permit_from_before_a_reset_is_stale() -> None:
    one = CircuitBreaker("one")
    permit = one.try_acquire()
    assert permit is not None
    one.reset()
    one.record(permit, failed=False)
    assert (one.counts.stale, one.counts.successes, one.counts.in_flight) == (1, 0, 0)


def test_every_call_shows_in_the_version() -> None:
    one = CircuitBreaker("one")
    versions = [one.version]
    for _ in range(20):
        one.call(int)
        versions.append(one.version)
    assert versions == sorted(set(versions))
    before = one.version
    permit = one.try_acquire()
    assert permit is not None
    between = one.version
    one.record(permit, failed=False)
    assert before < between < one.version < 100


def test_a_reset_while_a_permit_is_made_gives_one_of_the_new_generation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a finaliser may, that the collector runs there."""
    one, made = CircuitBreaker("one"), permits.Permit
    resets = iter([one.reset])

    def reset_once(generation: int) -> permits.Permit:
        for reset in resets:
            reset()
        return made(generation)

    with monkeypatch.context() as patch:
        patch.setattr(permits, "Permit", reset_once)
        permit = one.try_acquire()
    assert permit is not None
    one.record(permit, failed=False)
    assert (one.counts.successes, one.counts.stale, one.counts.in_flight) == (1, 0, 0)
