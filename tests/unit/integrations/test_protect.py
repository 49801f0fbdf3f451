"""``protect`` stands in for any object: named methods guarded, everything else handed through."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

import httpx
import pytest
import redis

from cbmon import BreakerRegistry, CircuitBreaker, CircuitOpenError
from cbmon.breaker import CallTimeoutError
from cbmon.integrations import protect


class StoreError(OSError):
    def __init__(self, code: int, *, where: str) -> None:
        super().__init__(code)
        self.where = where


class Store:
    """A client with every kind of method."""

    limit = 3

    def __init__(self) -> None:
        self.items = {"a": 1}
        self.entered = 0

    def get(self, key: str) -> int:
        return self.items[key]

    async def load(self, key: str) -> int:
        await asyncio.sleep(0)
        return self.items[key]

    def scan(self) -> Iterator[str]:
        yield from self.items

    async def stream(self) -> AsyncIterator[str]:
        for key in self.items:
            yield key

    def fail(self) -> None:
        raise StoreError(7, where="there")

    def chained(self) -> Self:
        return self

    def __enter__(self) -> Self:
        self.entered += 1
        return self

    def __exit__(self, *_ending: object) -> None:
        self.entered -= 1

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: str) -> int:
        return self.items[key]


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker("store", failure_threshold=2)


def test_named_methods_are_calls_and_others_are_not(breaker: CircuitBreaker) -> None:
    store = protect(Store(), breaker, methods=["get"])
    assert (store.get("a"), list(store.scan())) == (1, ["a"])
    assert breaker.counts.calls == 1


def test_without_names_every_public_method_is_a_call(breaker: CircuitBreaker) -> None:
    store = protect(Store(), breaker)
    store.get("a")
    assert list(store.scan()) == ["a"]
    assert breaker.counts.calls == 2


async def test_every_kind_of_method_keeps_its_kind(breaker: CircuitBreaker) -> None:
    store = protect(Store(), breaker, kind=ConnectionError)
    assert await store.load("a") == 1
    assert [key async for key in store.stream()] == ["a"]
    assert list(store.scan()) == ["a"]
    assert breaker.counts.successes == 3
    breaker.force_open()
    with pytest.raises(ConnectionError):
        await store.load("a")
    with pytest.raises(ConnectionError):
        list(store.scan())
    with pytest.raises(ConnectionError):
        [key async for key in store.stream()]
    assert breaker.counts.rejections == 3


def test_a_rejection_is_of_the_clients_kind_whatever_its_constructor(
    breaker: CircuitBreaker,
) -> None:
    store = protect(Store(), breaker, methods=["get", "fail"], kind=StoreError)
    for _ in range(2):
        with pytest.raises(StoreError) as failed:
            store.fail()
        assert failed.value.where == "there"
    with pytest.raises(StoreError) as caught:
        store.get("a")
    assert isinstance(caught.value, CircuitOpenError)
    assert (caught.value.name, caught.value.state) == ("store", "open")
    assert str(caught.value).startswith("circuit breaker 'store' is open; retry after")


def test_somebody_elses_rejection_is_left_as_it_is(breaker: CircuitBreaker) -> None:
    inner = CircuitBreaker("inner")
    inner.force_open()
    store = Store()
    store.get = inner(store.get)  # type: ignore[method-assign]
    with pytest.raises(CircuitOpenError) as caught:
        protect(store, breaker, kind=ConnectionError).get("a")
    assert not isinstance(caught.value, ConnectionError)
    assert caught.value.name == "inner"


def test_a_registry_gives_each_method_its_breaker() -> None:
    registry = BreakerRegistry(failure_threshold=1)
    store = protect(Store(), registry)
    with pytest.raises(StoreError):
        store.fail()
    with pytest.raises(CircuitOpenError):
        store.fail()
    assert store.get("a") == 1
    assert {key: str(state) for key, state in registry.states().items()} == {
        "Store.fail": "open",
        "Store.get": "closed",
    }


def test_it_looks_like_the_object(breaker: CircuitBreaker) -> None:
    original = Store()
    store = protect(original, breaker, methods=["get", "__getitem__"])
    assert isinstance(store, Store)
    assert (len(store), store["a"], store.limit) == (1, 1, 3)
    store.items = {"b": 2}
    assert (original.items, store.get("b")) == ({"b": 2}, 2)
    assert "scan" in dir(store)
    assert breaker.counts.calls == 2


def test_what_gives_back_the_object_gives_the_stand_in(breaker: CircuitBreaker) -> None:
    store = protect(Store(), breaker, methods=["get", "chained"])
    with store as entered:
        entered.get("a")
        entered.chained().get("a")
    assert breaker.counts.calls == 3


def test_a_method_that_is_not_there_is_refused(breaker: CircuitBreaker) -> None:
    with pytest.raises(AttributeError, match="'Store' has no method 'gte'"):
        protect(Store(), breaker, methods=["gte"])


def test_the_object_itself_is_left_alone(breaker: CircuitBreaker) -> None:
    original = Store()
    protect(original, breaker).get("a")
    original.get("a")
    assert breaker.counts.calls == 1


def test_a_callable_object_may_be_guarded(breaker: CircuitBreaker) -> None:
    class Question:
        def __call__(self, number: int) -> int:
            return number + 1

    ask: Any = protect(Question(), breaker, methods=["__call__"])
    assert ask(1) == 2
    assert breaker.counts.calls == 1


class Slow(Store):
    async def load(self, key: str) -> int:
        await asyncio.sleep(3600)
        return 1


@pytest.mark.parametrize(
    "kind",
    [
        StoreError,
        ConnectionError,
        TimeoutError,
        LookupError,
        httpx.TransportError,
        redis.RedisError,
    ],
)
async def test_the_breakers_timeout_is_of_the_clients_kind(kind: Any) -> None:
    breaker = CircuitBreaker("store", call_timeout=0.01)
    store = protect(Slow(), breaker, methods=["load"], kind=kind)
    with pytest.raises(kind) as caught:
        await store.load("a")
    error: Any = caught.value
    assert issubclass(type(error), TimeoutError)
    assert (error.name, error.seconds) == ("store", 0.01)
    assert str(error) == "no answer within the 0.01 s of circuit breaker 'store'"
    assert (breaker.counts.failures, breaker.counts.in_flight) == (1, 0)
    again: Any = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.seconds) == (type(error), str(error), 0.01)


async def test_a_timeout_of_the_clients_own_is_left_as_it_is(breaker: CircuitBreaker) -> None:
    class Own(Store):
        async def load(self, key: str) -> int:
            raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own") as caught:
        await protect(Own(), breaker, kind=ConnectionError).load("a")
    assert type(caught.value) is TimeoutError


async def test_without_a_kind_the_timeout_says_whose_it_was() -> None:
    store = protect(Slow(), CircuitBreaker("store", call_timeout=0.01))
    with pytest.raises(CallTimeoutError, match=r"0\.01 s of circuit breaker 'store'"):
        await store.load("a")


def test_a_rejection_of_the_clients_kind_survives_pickling(breaker: CircuitBreaker) -> None:
    breaker.open()
    store = protect(Store(), breaker, kind=StoreError)
    with pytest.raises(StoreError) as caught:
        store.get("a")
    again: Any = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(caught.value)
    assert isinstance(again, CircuitOpenError)
    assert (again.name, str(again.state), str(again)) == ("store", "open", str(caught.value))


def test_a_copy_stands_in_for_a_copy_behind_the_same_breaker(breaker: CircuitBreaker) -> None:
    original = Store()
    store = protect(original, breaker, methods=["get"])
    for each, shares in ((copy.copy(store), True), (copy.deepcopy(store), False)):
        assert each.get("a") == 1
        assert (each.items is original.items) is shares
    assert breaker.counts.calls == 2
    with pytest.raises(TypeError, match="'store' closed> cannot be pickled"):
        pickle.dumps(store)


def test_a_kind_that_cannot_be_combined_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"UnicodeDecodeError.* cannot be combined with CallTimeout"
    ):
        protect(Store(), CircuitBreaker("x"), kind=UnicodeDecodeError)
