"""The runner around the members: a store that fails, hangs, comes back; threads; leaving."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from cbmon import CircuitBreaker
from cbmon.sharing import (
    MemoryStore,
    Record,
    Seen,
    SharedBreakers,
    SharingEvent,
    StoreDownError,
)

QUICK: Final[dict[str, Any]] = {"interval": 0.01, "lease": 0.5, "timeout": 0.1}


class Moody(MemoryStore):
    """Works, raises or hangs."""

    mood = "well"
    asked = 0

    async def read(self, names: Sequence[str]) -> tuple[float, Mapping[str, Seen]]:
        await self._suffer()
        return await super().read(names)

    async def swap(self, name: str, version: int, record: Record) -> bool:
        await self._suffer()
        return await super().swap(name, version, record)

    async def _suffer(self) -> None:
        self.asked += 1
        if self.mood == "down":
            raise StoreDownError("nobody listens")
        if self.mood == "hung":
            await asyncio.Event().wait()


def breaker(**fields: Any) -> CircuitBreaker:
    return CircuitBreaker("shop", **{"failure_threshold": 1, "recovery_timeout": 0.1, **fields})


def fail(one: CircuitBreaker) -> None:
    permit = one.try_acquire()
    assert permit is not None
    one.record(permit, failed=True)


async def until(look: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 10
    while not look():
        assert time.monotonic() < deadline, f"waited for {what}"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def two(
    store: MemoryStore, **fields: Any
) -> AsyncIterator[tuple[CircuitBreaker, CircuitBreaker]]:
    one, other = breaker(**fields), breaker(**fields)
    async with SharedBreakers(store, [one], **QUICK), SharedBreakers(store, [other], **QUICK):
        yield one, other


async def test_an_outage_and_its_end_reach_the_other_instance() -> None:
    async with two(MemoryStore()) as (one, other):
        fail(one)
        await until(lambda: other.state == "open", "the outage to arrive")
        assert other.try_acquire() is None
        await until(lambda: other.state == "half_open", "the trials to be had")
        assert one.state == "open"
        permit = other.try_acquire()
        assert permit is not None
        other.record(permit, failed=False)
        await until(lambda: one.state == "closed", "the end to arrive")


@pytest.mark.parametrize("mood", ["down", "hung"])
async def test_a_store_that_is_out_of_reach_is_told_once_and_harms_no_call(mood: str) -> None:
    store = Moody()
    told: list[SharingEvent] = []
    one = breaker()
    async with SharedBreakers(store, [one], **QUICK, listeners=[told.append]) as shared:
        await until(lambda: store.asked, "the first question")
        store.mood = mood
        await until(lambda: shared.degraded, "the store to be missed")
        asked = store.asked
        await until(lambda: store.asked > asked + 2, "more questions")
        fail(one)
        await until(lambda: one.state == "half_open", "the breaker to go on alone")
        store.mood = "well"
        await until(lambda: not shared.degraded, "the store to be back")
    assert [event.kind for event in told] == ["degraded", "recovered"]
    assert mood == "hung" or "nobody listens" in str(told[0].error)


async def test_a_listener_that_raises_harms_nobody() -> None:
    def raises(_event: SharingEvent) -> None:
        raise RuntimeError("listener")

    store = Moody()
    async with SharedBreakers(store, [breaker()], **QUICK, listeners=[raises]) as shared:
        store.mood = "down"
        await until(lambda: shared.degraded, "the store to be missed")
        store.mood = "well"
        await until(lambda: not shared.degraded, "the store to be back")


async def test_who_leaves_gives_the_trials_back() -> None:
    store = MemoryStore()
    async with two(store, recovery_timeout=0.3) as (one, other):
        fail(one)
        one.try_acquire()
        await until(lambda: one.state == "half_open", "the trials to be had")
        _now, held = await store.read(["shop"])
        assert held["shop"].record is not None
        holder = held["shop"].record.holder
        assert other.state == "open"
    _now, held = await store.read(["shop"])
    record = held["shop"].record
    assert record is not None
    assert record.holder == holder
    assert record.expires <= time.time()


async def test_a_store_that_is_down_does_not_hold_up_leaving() -> None:
    store = Moody()
    shared = SharedBreakers(store, [breaker()], **QUICK)
    await shared.start()
    await until(lambda: store.asked, "the first question")
    store.mood = "down"
    await shared.stop()
    await shared.stop()


def test_a_thread_runs_it_for_programs_without_a_loop() -> None:
    store, one, other = MemoryStore(), breaker(recovery_timeout=60), breaker(recovery_timeout=60)
    leave = [SharedBreakers(store, [each], **QUICK).in_thread() for each in (one, other)]
    try:
        fail(one)
        deadline = time.monotonic() + 10
        while other.state != "open":
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        for finish in leave:
            finish()
            finish()
    assert one.state == "open"


async def test_a_breaker_that_joins_later_is_shared_at_once() -> None:
    store = MemoryStore()
    one, other = breaker(recovery_timeout=60), breaker(recovery_timeout=60)
    fail(one)
    async with SharedBreakers(store, interval=60.0, lease=600.0) as first:
        first.add(one)
        await until(lambda: store._held, "the outage to be told")
        async with SharedBreakers(store, interval=60.0, lease=600.0) as second:
            second.add(other)
            await until(lambda: other.state == "open", "the outage to arrive")
            with pytest.raises(ValueError, match="'shop' is shared already"):
                second.add(other)
            second.remove("shop")
            one.reset()
            await until(lambda: store._held["shop"].version == 2, "the reset to be told")
            assert other.state == "open"


async def test_it_is_started_once() -> None:
    async with SharedBreakers(MemoryStore()) as shared:
        with pytest.raises(RuntimeError, match="already"):
            await shared.start()


@pytest.mark.parametrize("field", ["interval", "lease", "timeout"])
def test_numbers_are_checked(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: got 0"):
        SharedBreakers(MemoryStore(), **{field: 0})  # type: ignore[arg-type]


async def test_a_swap_that_is_lost_to_others_is_tried_again() -> None:
    class Contended(MemoryStore):
        lost = 0

        async def swap(self, name: str, version: int, record: Record) -> bool:
            if self.lost < 2:
                self.lost += 1
                return False
            return await super().swap(name, version, record)

    store, one = Contended(), breaker(recovery_timeout=60)
    async with SharedBreakers(store, [one], interval=60.0, lease=600.0):
        fail(one)
        await until(lambda: store._held, "the outage to be told")
    assert store.lost == 2


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"lease": 0.5, "interval": 0.5}, ValueError, "lease: got 0.5, expected more than interval"),
    ({"interval": "x"}, ValueError, "interval: got 'x', expected a number > 0"),
    ({"store": "redis://"}, TypeError, "store: 'redis://' is not allowed; expected a store with"),
    ({"breakers": ["shop"]}, TypeError, "breaker: 'shop' is not allowed; expected a CircuitBr"),
    ({"breakers": CircuitBreaker("x")}, TypeError, "breakers: .* expected several CircuitBreakers"),
    ({"listeners": [3]}, TypeError, "listeners: 3 is not callable"),
    ({"listeners": [until]}, TypeError, "is a coroutine function, but nobody awaits it"),
])  # fmt: skip
async def test_wrong_arguments_are_refused_at_once(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        SharedBreakers(**{"store": MemoryStore(), **options})
