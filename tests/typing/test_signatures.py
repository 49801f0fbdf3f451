"""What mypy must see: a wrapped function keeps its parameters, its result and its kind.

Rule: mypy --strict checks this file with the rest. ``assert_type`` fails the type check when a
type is lost; an ``ignore`` that is not needed fails it too, so each one is a proof that a wrong
call is refused. At run time these tests only show that the lines work.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, assert_type

import pytest

from cbmon import (
    BreakerRegistry,
    Bulkhead,
    CircuitBreaker,
    CircuitOpenError,
    State,
    circuit_breaker,
    retry,
)
from cbmon.resilience import Fallback, Retry, Timeout, compose
from cbmon.testing import ManualClock

breaker = CircuitBreaker("typing")


@breaker
def area(width: int, *, height: int = 1) -> float:
    return float(width * height)


@breaker
async def fetch(url: str) -> bytes:
    return url.encode()


@breaker
def rows(limit: int) -> Iterator[str]:
    yield from map(str, range(limit))


@breaker
async def stream(limit: int) -> AsyncIterator[str]:
    for number in range(limit):
        yield str(number)


@circuit_breaker(failure_threshold=3)
def named(text: str) -> int:
    return len(text)


@retry(attempts=2)
def tried(text: str) -> int:
    return len(text)


@retry
async def tried_bare(text: str) -> int:
    return len(text)


@compose(
    Fallback(lambda error: 0), retry(attempts=2), breaker, Bulkhead(queue_timeout=1), Timeout(1)
)
async def stacked(text: str) -> int:
    return len(text)


class Client:
    @breaker
    def get(self, path: str) -> int:
        return len(path)

    @breaker
    async def get_async(self, path: str) -> int:
        return len(path)


def test_a_decorated_function_keeps_its_signature() -> None:
    assert_type(area(2, height=3), float)
    assert_type(named("abc"), int)
    assert_type(tried("abc"), int)
    with pytest.raises(TypeError):
        area("2", width=3)  # type: ignore[misc, arg-type]
    with pytest.raises(TypeError):
        named(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        tried()  # type: ignore[call-arg]


def test_a_decorated_coroutine_function_stays_one() -> None:
    async def use() -> None:
        assert_type(await fetch("a"), bytes)
        assert_type(await tried_bare("abc"), int)
        assert_type(await stacked("abc"), int)
        assert_type(await Client().get_async("abc"), int)

    asyncio.run(use())


def test_generators_stay_generators() -> None:
    assert_type(rows(2), Iterator[str])
    assert_type(stream(2), AsyncIterator[str])
    assert list(rows(2)) == ["0", "1"]


def test_a_decorated_method_binds() -> None:
    assert_type(Client().get("abc"), int)


def test_call_gives_what_the_function_gives() -> None:
    async def answer() -> int:
        return 1

    async def use() -> None:
        assert_type(await breaker.call(answer), int)
        assert_type(await Bulkhead().call(answer), int)
        assert_type(await retry(attempts=1).call(answer), int)

    assert_type(breaker.call(area, 2, height=3), float)
    assert_type(Bulkhead().call(len, "abc"), int)
    assert_type(retry(attempts=1), Retry)
    asyncio.run(use())
    with pytest.raises(TypeError):
        breaker.call(len, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Bulkhead().call(len, 3)  # type: ignore[arg-type]


def test_a_wrapped_function_fits_where_the_function_did() -> None:
    plain: Callable[[str], int] = retry(attempts=1)(len)
    coroutine: Callable[[str], Awaitable[bytes]] = fetch
    assert plain("abc") == 3
    assert callable(coroutine)


def test_what_a_breaker_says_is_typed() -> None:
    assert_type(breaker.state, State)
    assert_type(breaker.retry_after, float | None)
    assert_type(breaker.name, str)
    assert_type(breaker.snapshot(), dict[str, Any])
    assert_type(breaker.explain(), str)
    error = CircuitOpenError("api", State.OPEN, 1.5)
    assert_type(error.name, str)
    assert_type(error.state, State)
    assert_type(error.retry_after, float | None)


def test_what_a_registry_says_is_typed() -> None:
    registry = BreakerRegistry(clock=ManualClock())
    assert_type(registry.get("a"), CircuitBreaker)
    assert_type(registry.states(), dict[str, State])
    assert_type(registry.open_keys(), list[str])
    assert_type(list(registry), list[CircuitBreaker])
    with pytest.raises(TypeError):
        registry.get(1)  # type: ignore[arg-type]


def test_a_coroutine_is_still_seen_as_one() -> None:
    pending = fetch("a")
    assert isinstance(pending, Coroutine)
    pending.close()
