"""Retries are bounded by attempts, deadline and budget, and never hammer an open breaker."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon import Bulkhead, BulkheadFullError, CircuitBreaker, CircuitOpenError, retry
from cbmon.resilience import Backoff, Retry, RetryBudget, RetryEvent
from cbmon.testing import ManualClock


class Flaky:
    """Raises or returns its answers one after the other and counts the calls."""

    def __init__(self, answers: Iterable[Any]) -> None:
        self._answers = iter(answers)
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        answer = next(self._answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def call_async(self) -> Any:
        return self()


def down(times: int) -> list[Exception]:
    return [ConnectionError(f"refused {number}") for number in range(1, times + 1)]


def quick(clock: ManualClock, **settings: Any) -> Retry:
    settings = {"seed": 1, **settings}
    return retry(clock=clock, sleep=clock.sleep, sleep_async=clock.sleep_async, **settings)


def test_what_fails_for_the_moment_is_tried_again() -> None:
    clock, target = ManualClock(), Flaky([*down(2), "pong"])
    assert quick(clock, attempts=3).call(target) == "pong"
    assert (target.calls, len(clock.slept)) == (3, 2)


async def test_a_coroutine_function_is_tried_again() -> None:
    clock, target = ManualClock(), Flaky([*down(2), "pong"])
    assert await quick(clock, attempts=3).call(target.call_async) == "pong"
    assert (target.calls, len(clock.slept)) == (3, 2)


async def test_a_plain_function_that_returns_an_awaitable_is_tried_again() -> None:
    clock, target = ManualClock(), Flaky([*down(2), "pong"])

    def plain() -> Awaitable[Any]:
        return target.call_async()

    assert await quick(clock).call(plain) == "pong"
    assert target.calls == 3


def test_the_last_attempts_own_error_reaches_the_caller() -> None:
    target = Flaky(down(5))
    with pytest.raises(ConnectionError, match="refused 3"):
        quick(ManualClock(), attempts=3).call(target)
    assert target.calls == 3


def test_an_error_that_is_not_named_is_not_tried_again() -> None:
    target = Flaky([KeyError("id"), "pong"])
    with pytest.raises(KeyError):
        quick(ManualClock(), on=(ConnectionError, TimeoutError)).call(target)
    assert target.calls == 1


def test_a_predicate_may_decide() -> None:
    target = Flaky([ValueError("try later"), ValueError("no such thing"), "pong"])
    with pytest.raises(ValueError, match="no such thing"):
        quick(ManualClock(), on=lambda error: "later" in str(error)).call(target)
    assert target.calls == 2


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(1)])
def test_cancellation_and_the_end_of_the_program_are_never_retried(error: BaseException) -> None:
    target = Flaky([error, "pong"])
    with pytest.raises(type(error)):
        quick(ManualClock(), on=Exception).call(target)
    assert target.calls == 1


async def test_cancelling_the_task_ends_the_wait_between_attempts() -> None:
    target = Flaky(down(5))
    task = asyncio.create_task(
        retry(on=OSError, backoff=Backoff(base=25, maximum=25), seed=1).call(target.call_async)
    )
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert target.calls == 1


def test_no_wait_is_begun_that_would_end_after_the_deadline() -> None:
    clock, target = ManualClock(), Flaky(down(100))
    with pytest.raises(ConnectionError):
        quick(clock, attempts=100, deadline=5.0, backoff=Backoff(base=1, maximum=1)).call(target)
    assert clock.monotonic() < 5.0
    assert 5 < target.calls < 100


async def test_a_coroutine_that_runs_at_the_deadline_is_cut_off() -> None:
    stopped = False

    @retry(deadline=0.005)
    async def hang() -> None:
        nonlocal stopped
        try:
            await asyncio.Event().wait()
        finally:
            stopped = True

    with pytest.raises(TimeoutError):
        await hang()
    assert stopped


def test_each_wait_is_within_its_exponential_bound_and_told_before_it() -> None:
    clock, told = ManualClock(), list[RetryEvent]()
    backoff = Backoff(base=1, factor=2, maximum=5)
    with pytest.raises(ConnectionError):
        quick(clock, attempts=6, deadline=None, backoff=backoff, on_retry=told.append).call(
            Flaky(down(6))
        )
    assert [event.attempt for event in told] == [1, 2, 3, 4, 5]
    assert clock.slept == [event.wait for event in told]
    assert [str(event.error) for event in told[:2]] == ["refused 1", "refused 2"]
    for wait, bound in zip(clock.slept, [1, 2, 4, 5, 5], strict=True):
        assert 0 <= wait <= bound


def test_a_seed_gives_the_same_waits_again_and_another_seed_others() -> None:
    def waits(seed: int) -> list[float]:
        clock = ManualClock()
        with pytest.raises(ConnectionError):
            quick(clock, attempts=4, seed=seed).call(Flaky(down(4)))
        return clock.slept

    assert waits(1) == waits(1) != waits(2)


def test_an_error_may_say_when_to_come_back() -> None:
    clock, target = ManualClock(), Flaky([*down(1), "pong"])
    quick(clock, wait_hint=lambda error: 7.0).call(target)
    assert 7.0 <= clock.slept[0] <= 7.1


def test_a_budget_bounds_the_retries_of_all_callers_together() -> None:
    budget = RetryBudget(ratio=0.1, reserve=5)
    target = Flaky(down(1000))
    for _ in range(100):
        with pytest.raises(ConnectionError):
            quick(ManualClock(), attempts=5, budget=budget).call(target)
    assert 100 + 5 <= target.calls <= 100 + 5 + 10


def test_first_attempts_refill_the_budget() -> None:
    budget = RetryBudget(ratio=0.5, reserve=1)
    assert budget.withdraw()
    quick(ManualClock(), budget=budget).call(len, "abc")
    assert budget.balance == 0.5


def test_a_wait_that_would_end_right_at_the_deadline_is_not_begun() -> None:
    clock = ManualClock()
    layer = quick(clock, deadline=7.0, wait_hint=lambda error: 7.0)
    layer._random.random = lambda: 0.0  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        layer.call(Flaky(down(3)))
    assert clock.slept == []


def test_a_hint_in_the_past_is_no_negative_wait() -> None:
    clock = ManualClock()
    quick(clock, wait_hint=lambda error: -5.0, seed=3).call(Flaky([*down(1), "pong"]))
    assert 0.0 <= clock.slept[0] <= 0.1


def test_the_default_deadline_is_thirty_seconds() -> None:
    assert retry(attempts=1).deadline == 30.0
    assert retry(attempts=1).attempts == 1
    assert (retry(seed=1).attempts, RetryBudget().ratio, RetryBudget().reserve) == (3, 0.1, 10)


def test_an_open_breaker_is_waited_for_when_it_fits_the_deadline() -> None:
    clock = ManualClock()
    breaker = CircuitBreaker("api", recovery_timeout=10, clock=clock)
    breaker.open()
    target = Flaky(["pong"])
    assert quick(clock, deadline=30).call(breaker(target)) == "pong"
    assert (target.calls, len(clock.slept)) == (1, 1)
    assert 10 <= clock.slept[0] <= 10.1


@pytest.mark.parametrize("deadline", [9.0, None])
def test_an_open_breaker_that_does_not_fit_the_deadline_is_given_up_at_once(
    deadline: float | None,
) -> None:
    clock = ManualClock()
    breaker = CircuitBreaker("api", recovery_timeout=10, clock=clock)
    breaker.open()
    with pytest.raises(CircuitOpenError):
        quick(clock, deadline=deadline).call(breaker(len), "abc")
    assert clock.slept == []
    assert breaker.counts.rejections == 1


def test_a_breaker_that_a_person_holds_open_is_given_up_at_once() -> None:
    clock = ManualClock()
    breaker = CircuitBreaker("api", clock=clock)
    breaker.force_open()
    with pytest.raises(CircuitOpenError):
        quick(clock).call(breaker(len), "abc")
    assert clock.slept == []


def test_a_rejection_is_not_paid_from_the_budget() -> None:
    clock, budget = ManualClock(), RetryBudget(ratio=0.1, reserve=1)
    breaker = CircuitBreaker("api", recovery_timeout=10, clock=clock)
    breaker.open()
    quick(clock, budget=budget).call(breaker(len), "abc")
    assert budget.balance == 1.0


def test_a_full_bulkhead_is_not_tried_again_unless_it_is_named() -> None:
    pool = Bulkhead(max_concurrent_calls=1)
    for on, expected in ((Exception, 1), (BulkheadFullError, 3), ((OSError, BulkheadFullError), 3)):
        before = pool.rejections
        with pool, pytest.raises(BulkheadFullError):
            quick(ManualClock(), on=on).call(pool(len), "abc")
        assert expected == pool.rejections - before


def test_it_decorates_with_and_without_settings() -> None:
    @retry
    def bare(text: str) -> int:
        """Counts."""
        return len(text)

    @retry(attempts=5)
    def settled(text: str) -> int:
        return len(text)

    assert (bare("abc"), settled("abc")) == (3, 3)
    assert (bare.__name__, bare.__doc__) == ("bare", "Counts.")


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"attempts": 0}, ValueError, r"attempts: got 0, expected an integer >= 1"),
        ({"deadline": 0}, ValueError, r"deadline: got 0, expected a number > 0"),
        ({"deadline": float("nan")}, ValueError, r"deadline: got nan"),
        ({"on": asyncio.CancelledError}, TypeError, r"on: got .*CancelledError.*Exception"),
        ({"on": (OSError, "x")}, TypeError, r"on: got 'x'"),
    ],
)
def test_a_setting_out_of_range_is_named(
    settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        retry(**settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Backoff(base=0), r"base: got 0, expected a number > 0"),
        (lambda: Backoff(maximum=float("inf")), r"maximum: got inf"),
        (lambda: Backoff(factor=0.5), r"factor: got 0\.5, expected a number >= 1"),
        (lambda: Backoff(factor=float("nan")), r"factor: got nan"),
        (lambda: RetryBudget(ratio=0), r"ratio: got 0, expected a number in \(0, 1\]"),
        (lambda: RetryBudget(ratio=1.1), r"ratio: got 1\.1"),
        (lambda: RetryBudget(reserve=0), r"reserve: got 0, expected an integer >= 1"),
    ],
)
def test_a_backoff_or_budget_out_of_range_is_named(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@given(
    retry_number=st.integers(1, 10**9),
    base=st.floats(1e-3, 1e3),
    factor=st.floats(1, 1e6),
    maximum=st.floats(1e-3, 1e6),
)
def test_the_bound_grows_to_the_maximum_and_never_overflows(
    retry_number: int, base: float, factor: float, maximum: float
) -> None:
    backoff = Backoff(base=base, factor=factor, maximum=maximum)
    bound = backoff.bound(retry_number)
    assert 0 < bound <= maximum
    assert backoff.bound(retry_number + 1) >= bound or pytest.approx(bound) == maximum
    assert pytest.approx(min(base, maximum)) == backoff.bound(1)
