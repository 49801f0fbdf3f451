"""A call whose end is somewhere else than its beginning is counted once, whatever happens to it."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from cbmon import CircuitBreaker, CircuitOpenError, State
from cbmon.breaker import NeutralError
from cbmon.integrations.calls import (
    admit,
    admit_unless_shut,
    breaker_of,
    finish,
    run,
    run_async,
)
from cbmon.integrations.verdicts import ANSWERED, CONNECT, NEUTRAL, STATUS, Verdict
from cbmon.testing import ManualClock, StateRecorder


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker("target", failure_threshold=3, clock=clock)


def begun(breaker: CircuitBreaker) -> Any:
    return admit(breaker, CircuitOpenError)


def judge(_error: BaseException) -> Verdict:
    return CONNECT


def seen(breaker: CircuitBreaker) -> tuple[int, int, int, int, int]:
    counts = breaker.counts
    return counts.successes, counts.failures, counts.ignored, counts.cancelled, counts.in_flight


def test_a_call_is_in_flight_until_its_verdict(breaker: CircuitBreaker) -> None:
    first, second = begun(breaker), begun(breaker)
    assert seen(breaker) == (0, 0, 0, 0, 2)
    first.answered()
    second.end(STATUS, "status 500")
    assert seen(breaker) == (1, 1, 0, 0, 0)


def test_only_the_first_verdict_counts(breaker: CircuitBreaker) -> None:
    held = begun(breaker)
    held.end(STATUS)
    held.answered()
    held.end(NEUTRAL)
    held.give_back()
    held.raised(OSError(), judge)
    assert seen(breaker) == (0, 1, 0, 0, 0)


def test_a_call_that_is_dropped_gives_its_permit_back(breaker: CircuitBreaker) -> None:
    breaker.open()
    breaker.half_open()
    held = begun(breaker)
    with pytest.raises(CircuitOpenError):
        begun(breaker)
    del held
    gc.collect()
    begun(breaker).answered()
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(), (0, 1, 0, 0, 0)),
        (asyncio.CancelledError(), (0, 0, 0, 1, 0)),
        (KeyboardInterrupt(), (0, 0, 0, 1, 0)),
        (NeutralError(), (0, 0, 1, 0, 0)),
        (LookupError(), (0, 0, 1, 0, 0)),
        (ArithmeticError(), (1, 0, 0, 0, 0)),
    ],
)
def test_the_policy_is_asked_before_the_judge(
    clock: ManualClock, error: BaseException, expected: tuple[int, ...]
) -> None:
    breaker = CircuitBreaker(
        "target", clock=clock, ignored_exceptions=(LookupError,),
        expected_exceptions=(OSError, LookupError),
    )  # fmt: skip
    begun(breaker).raised(error, judge)
    assert seen(breaker) == expected


def test_only_the_time_of_the_target_is_measured(clock: ManualClock) -> None:
    breaker = CircuitBreaker("target", kind="time", slow_call_seconds=3, clock=clock)
    breaker.enable_duration_histogram([1.0, 10.0])
    held = begun(breaker)
    clock.advance(1)
    held.pause()
    held.pause()
    clock.advance(100)
    held.resume()
    held.resume()
    clock.advance(0.5)
    held.pause()
    clock.advance(100)
    held.answered()
    counts = breaker.counts
    assert counts.histogram is not None
    assert counts.histogram.sum == pytest.approx(1.5)
    assert counts.slow_calls == 0


def test_a_call_that_is_not_timed_is_never_slow(clock: ManualClock) -> None:
    breaker = CircuitBreaker("target", kind="time", slow_call_seconds=3, clock=clock)
    held = begun(breaker)
    held.untimed()
    clock.advance(100)
    held.answered()
    assert breaker.counts.slow_calls == 0


def test_the_predicate_judges_results_and_its_own_error_reaches_the_caller() -> None:
    breaker = CircuitBreaker("target", is_failure=lambda value: 1 / value < 0)
    finish(begun(breaker), 1)
    finish(begun(breaker), -1)
    with pytest.raises(ZeroDivisionError):
        finish(begun(breaker), 0)
    assert seen(breaker) == (1, 2, 0, 0, 0)


def test_a_nested_call_passes_uncounted(breaker: CircuitBreaker) -> None:
    breaker.open()
    breaker.half_open()
    with breaker:
        inner = begun(breaker)
        inner.end(STATUS)
        assert not inner.open
    assert seen(breaker) == (1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("state", "counted"),
    [
        ("closed", 1),
        ("open", 0),
        ("forced_open", 0),
        ("disabled", 0),
        ("observe", 1),
        ("half_open", 1),
    ],
)
def test_what_must_not_be_refused_is_counted_when_it_may(state: str, counted: int) -> None:
    breaker = CircuitBreaker("target", initial_state=state)
    held = admit_unless_shut(breaker)
    held.answered()
    assert (breaker.counts.successes, breaker.counts.rejections) == (counted, 0)


def test_what_must_not_be_refused_takes_no_trial_that_is_not_left(breaker: CircuitBreaker) -> None:
    breaker.open()
    breaker.half_open()
    trial = begun(breaker)
    admit_unless_shut(breaker).end(STATUS)
    assert (breaker.counts.rejections, str(breaker.state)) == (0, "half_open")
    trial.answered()
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("state", ["observe", "forced_closed", "forced_open", "disabled"])
def test_a_target_opens_no_breaker_that_a_person_has_set(state: str) -> None:
    breaker = CircuitBreaker("target", initial_state=state)
    held = admit_unless_shut(breaker)
    held.refuse_for(5, "it said so")
    assert str(breaker.state) == state


def test_a_target_is_left_alone_as_long_as_it_says(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    recorder = StateRecorder()
    breaker.add_listener(recorder)
    begun(breaker).refuse_for(5, "status 429")
    assert breaker.retry_after == 5
    begun_late = admit_unless_shut(breaker)
    begun_late.refuse_for(3, "status 429")
    assert breaker.retry_after == 5
    begun_late.refuse_for(9, "status 429")
    assert breaker.retry_after == 9
    clock.advance(9)
    assert breaker.state is State.HALF_OPEN


def test_a_rejection_is_made_by_the_client(breaker: CircuitBreaker) -> None:
    class MineError(CircuitOpenError, ConnectionError):
        pass

    breaker.force_open()
    with pytest.raises(ConnectionError) as caught:
        run(breaker, MineError, judge, len, "abc")
    assert isinstance(caught.value, MineError)
    assert (caught.value.name, caught.value.state, caught.value.retry_after) == (
        "target", "forced_open", None,
    )  # fmt: skip


async def test_the_call_timeout_is_a_failure_and_a_cancellation_is_not() -> None:
    breaker = CircuitBreaker("target", call_timeout=0.01)

    async def never() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await run_async(breaker, CircuitOpenError, judge, never)
    assert seen(breaker) == (0, 1, 0, 0, 0)
    patient = CircuitBreaker("target", call_timeout=60)
    task = asyncio.create_task(run_async(patient, CircuitOpenError, judge, never))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen(patient) == (0, 0, 0, 1, 0)


def test_threads_may_begin_and_end_calls_at_the_same_time() -> None:
    breaker = CircuitBreaker("target", failure_threshold=10**6)
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        for number in range(2_000):
            held = begun(breaker)
            held.end(STATUS if number % 3 == 0 else ANSWERED)
            held.answered()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    successes, failures, *rest = seen(breaker)
    assert (successes + failures, rest) == (16_000, [0, 0, 0])
    assert failures == 8 * 667


def test_one_breaker_serves_every_key_and_a_registry_each_its_own() -> None:
    from cbmon import BreakerRegistry

    one, many = CircuitBreaker("one"), BreakerRegistry()
    assert breaker_of(one, "a") is one
    assert breaker_of(many, "a") is many.get("a")
