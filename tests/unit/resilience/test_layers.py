"""Layers keep what they wrap: its kind, its signature, its errors; and stack in a known order."""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

import pytest

from cbmon import (
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitOpenError,
    State,
    resilience,
    retry,
)
from cbmon.resilience import Fallback, Layer, Timeout, compose
from cbmon.testing import ManualClock

LAYERS: list[Layer] = [
    Bulkhead(),
    Fallback(lambda error: None),
    Timeout(1),
    retry(attempts=1),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
async def test_a_coroutine_function_stays_one_with_its_signature(layer: Layer) -> None:
    async def fetch(url: str, *, size: int = 1) -> str:
        """Fetches."""
        return url * size

    guarded = layer(fetch)
    assert inspect.iscoroutinefunction(guarded)
    assert inspect.signature(fetch) == inspect.signature(guarded)
    assert (guarded.__name__, guarded.__doc__) == ("fetch", "Fetches.")
    assert await guarded("a", size=2) == "aa"
    assert await layer.call(fetch, "b") == "b"


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
async def test_partials_and_callable_objects_are_seen_as_what_they_are(layer: Layer) -> None:
    class Fetcher:
        async def __call__(self, url: str) -> str:
            return url

    async def fetch(url: str, size: int) -> str:
        return url * size

    assert await layer.call(Fetcher(), "a") == "a"
    assert await layer.call(functools.partial(fetch, size=2), "a") == "aa"


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_a_generator_function_is_refused(layer: Layer) -> None:
    def rows() -> Iterator[int]:
        yield 1

    async def rows_async() -> AsyncIterator[int]:
        yield 1

    for generator in (rows, rows_async):
        with pytest.raises(TypeError, match=r"cannot guard the generator function .*rows"):
            layer(generator)


def test_a_fallback_answers_for_the_errors_it_names_and_no_others() -> None:
    stale = Fallback(lambda error: f"stale: {error}", on=ConnectionError)

    @stale
    def price(error: BaseException | None) -> str:
        if error is not None:
            raise error
        return "fresh"

    assert price(None) == "fresh"
    assert price(ConnectionError("refused")) == "stale: refused"
    for error in (KeyError("id"), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            price(error)


async def test_a_fallback_may_be_async() -> None:
    async def answer(error: Exception) -> str:
        return f"stale: {error}"

    async def price() -> str:
        raise ConnectionError("refused")

    def plain() -> Awaitable[str]:
        return price()

    assert await Fallback(answer).call(price) == "stale: refused"
    assert await Fallback(answer).call(plain) == "stale: refused"


async def test_a_timeout_cancels_a_coroutine() -> None:
    stopped = False

    @Timeout(0.005)
    async def hang() -> None:
        nonlocal stopped
        try:
            await asyncio.Event().wait()
        finally:
            stopped = True

    with pytest.raises(TimeoutError):
        await hang()
    assert stopped


async def test_a_timeout_limits_an_awaitable_from_a_plain_function() -> None:
    with pytest.raises(TimeoutError):
        await Timeout(0.005).call(lambda: asyncio.sleep(60))


def test_a_timeout_refuses_what_it_cannot_stop() -> None:
    with pytest.raises(TypeError, match="use the timeout of the client"):
        Timeout(1).call(len, "abc")
    with pytest.raises(ValueError, match=r"seconds: got 0, expected a number > 0"):
        Timeout(0)


def test_layers_are_put_around_a_function_from_the_outside_in() -> None:
    order: list[str] = []

    class Named(Layer):
        def __init__(self, name: str) -> None:
            self.name = name

        def _run(self, func):  # type: ignore[no-untyped-def]
            order.append(self.name)
            return func()

        async def _run_async(self, func):  # type: ignore[no-untyped-def]
            return await func()

    assert compose(Named("outer"), Named("inner"))(len)("abc") == 3
    assert order == ["outer", "inner"]
    with pytest.raises(ValueError, match="layers: got none"):
        compose()


class TestTheDocumentedOrder:
    """fallback > retry > breaker > bulkhead > timeout."""

    async def test_the_whole_stack_answers(self) -> None:
        clock = ManualClock()
        breaker = CircuitBreaker("api", clock=clock)
        stack = compose(
            Fallback(lambda error: "stale", on=(OSError, CircuitOpenError)),
            retry(attempts=3, clock=clock, sleep_async=clock.sleep_async),
            breaker,
            Bulkhead("api", max_concurrent_calls=2),
            Timeout(5),
        )
        answers = iter([ConnectionError("refused"), "fresh"])

        @stack
        async def fetch() -> str:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return str(answer)

        assert await fetch() == "fresh"
        assert (
            breaker.counts.calls,
            breaker.counts.failures,
            breaker.counts.successes,
        ) == (2, 1, 1)

    async def test_each_attempt_passes_the_breaker_so_an_opening_ends_the_retries(self) -> None:
        clock = ManualClock()
        breaker = CircuitBreaker("api", failure_threshold=2, clock=clock)
        calls = 0

        @compose(
            retry(attempts=10, deadline=5, clock=clock, sleep_async=clock.sleep_async), breaker
        )
        async def fetch() -> None:
            nonlocal calls
            calls += 1
            raise ConnectionError

        with pytest.raises(CircuitOpenError):
            await fetch()
        assert calls == 2

    def test_an_open_breaker_takes_no_place_in_the_bulkhead(self) -> None:
        breaker, pool = CircuitBreaker("api"), Bulkhead(max_concurrent_calls=1)
        breaker.open()
        guarded = compose(breaker, pool)(len)
        with pool, pytest.raises(CircuitOpenError):
            guarded("abc")
        assert pool.rejections == 0

    def test_r18_a_full_bulkhead_is_neutral_for_the_breaker(self) -> None:
        breaker = CircuitBreaker("api", failure_threshold=1)
        pool = Bulkhead(max_concurrent_calls=1)
        guarded = compose(breaker, pool)(len)
        with pool, pytest.raises(BulkheadFullError):
            guarded("abc")
        counts = breaker.counts
        assert (counts.successes, counts.failures, counts.ignored) == (0, 0, 1)
        assert State.CLOSED is breaker.state

    def test_r18_a_full_bulkhead_gives_the_trial_back(self) -> None:
        clock = ManualClock()
        breaker = CircuitBreaker("api", recovery_timeout=1, clock=clock)
        pool = Bulkhead(max_concurrent_calls=1)
        guarded = compose(breaker, pool)(len)
        breaker.open()
        clock.advance(1)
        with pool, pytest.raises(BulkheadFullError):
            guarded("abc")
        assert breaker.retry_after == 0.0
        assert guarded("abc") == 3
        assert breaker.state is State.CLOSED


untyped: Any = resilience


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: untyped.retry(on="x"), TypeError, "on: .x. is not callable; expected"),
    (lambda: untyped.retry(on=(OSError, 3)), TypeError, "on: got 3, expected a subclass of"),
    (lambda: untyped.retry(backoff=3), TypeError, "backoff: 3 is not allowed"),
    (lambda: untyped.retry(budget=3), TypeError, "budget: 3 is not allowed"),
    (lambda: untyped.retry(on_retry="x"), TypeError, "on_retry: 'x' is not callable"),
    (lambda: untyped.retry(clock=3), TypeError, "clock: 3 is not allowed; expected an"),
    (lambda: untyped.retry(deadline="x"), ValueError, "deadline: got 'x', expected a number"),
    (lambda: untyped.Timeout("x"), ValueError, "seconds: got 'x', expected a number > 0"),
    (lambda: untyped.Timeout(None), ValueError, "seconds: got None, expected a number > 0"),
    (lambda: untyped.Fallback("x"), TypeError, "handler: 'x' is not allowed"),
    (lambda: untyped.Fallback(str, on="x"), TypeError, "on: got 'x', expected"),
    (lambda: untyped.Bulkhead(3), TypeError, "name: 3 is not allowed; expected"),
    (lambda: untyped.Bulkhead("x", queue_timeout="1s"), ValueError, "queue_timeout: got '1s'"),
    (lambda: untyped.RetryBudget(ratio="x"), ValueError, "ratio: got 'x', expected a number"),
    (lambda: untyped.RecoveryCheck("x", print), TypeError, "breaker: 'x' is not allowed"),
    (lambda: untyped.RecoveryCheck(CircuitBreaker("x"), 3), TypeError, "check: 3 is not allow"),
    (lambda: untyped.ThreadRecoveryCheck(CircuitBreaker("x"), _later), TypeError, "a coroutine f"),
])  # fmt: skip
def test_wrong_arguments_are_refused_at_once(
    make: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


async def _later() -> None:
    """Nobody would await it."""
