"""R15 by every way into a breaker: what was admitted before a move counts for nothing after it.
And the other questions to which every way has to give the same answer.

Rule: no listener hears them, so that the lanes are open, and the breaker is busy again when the
late result comes: the short way back is open too, for others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cbmon import CircuitBreaker
from cbmon.testing import ManualClock
from tests.unit.breaker.support import Driver, Make

KINDS: list[dict[str, Any]] = [
    {"kind": "count"},
    {"kind": "count", "slow_call_seconds": 1.0},
    {"kind": "percentage", "window_size": 100, "minimum_calls": 3},
    {"kind": "time", "window_seconds": 10.0, "minimum_calls": 3},
    {"kind": "adaptive", "window_seconds": 10.0, "minimum_calls": 3},
]
Meanwhile = Callable[[], object]
Way = Callable[[CircuitBreaker, Meanwhile], object]


def by_call(breaker: CircuitBreaker, meanwhile: Meanwhile) -> object:
    return breaker.call(meanwhile)


def by_decorator(breaker: CircuitBreaker, meanwhile: Meanwhile) -> object:
    @breaker
    def work(word: str) -> str:
        meanwhile()
        return word

    return work("done")


def by_coroutine(breaker: CircuitBreaker, meanwhile: Meanwhile) -> object:
    @breaker
    async def work() -> None:
        meanwhile()

    return asyncio.run(work())


def by_coroutine_that_waits(breaker: CircuitBreaker, meanwhile: Meanwhile) -> object:
    @breaker
    async def work() -> None:
        await asyncio.sleep(0)
        meanwhile()

    return asyncio.run(work())


def by_block(breaker: CircuitBreaker, meanwhile: Meanwhile) -> object:
    with breaker:
        meanwhile()
    return None


def by_async_block(breaker: CircuitBreaker, meanwhile: Meanwhile) -> object:
    async def work() -> None:
        async with breaker:
            meanwhile()

    return asyncio.run(work())


def by_generator(breaker: CircuitBreaker, meanwhile: Meanwhile) -> object:
    @breaker
    def work() -> Any:
        meanwhile()
        yield 1

    return list(work())


def by_permit(breaker: CircuitBreaker, meanwhile: Meanwhile) -> None:
    permit = breaker.try_acquire()
    assert permit is not None
    meanwhile()
    breaker.record(permit, failed=False, duration=0.0)


WAYS: list[Way] = [
    by_call, by_decorator, by_coroutine, by_coroutine_that_waits, by_block, by_async_block,
    by_generator, by_permit,
]  # fmt: skip


@pytest.mark.parametrize("moves", [("reset",), ("open", "close")], ids=str)
@pytest.mark.parametrize("fields", KINDS, ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_a_success_from_before_a_move_is_not_counted(
    make: Make, drive: Driver, way: Way, fields: dict[str, Any], moves: tuple[str, ...]
) -> None:
    breaker = make(**fields)
    drive.run(breaker, "....")
    before = breaker.counts.successes

    def begin_anew() -> None:
        for move in moves:
            getattr(breaker, move)()
        drive.run(breaker, "....")

    way(breaker, begin_anew)
    counts = breaker.counts
    assert (counts.successes - before, counts.stale, counts.in_flight) == (4, 1, 0)
    assert counts.calls == before + 5


@pytest.mark.parametrize("fields", KINDS, ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_one_without_a_move_is_counted_among_the_others(
    make: Make, drive: Driver, way: Way, fields: dict[str, Any]
) -> None:
    breaker = make(**fields)
    drive.run(breaker, "..")
    way(breaker, lambda: drive.run(breaker, "..."))
    assert (breaker.counts.successes, breaker.counts.stale, breaker.counts.in_flight) == (6, 0, 0)


@pytest.mark.parametrize("fields", KINDS, ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_after_hundreds_of_moves_results_are_told_from_late_ones_as_before(
    make: Make, drive: Driver, way: Way, fields: dict[str, Any]
) -> None:
    breaker = make(**fields)
    for _ in range(300):
        breaker.reset()
    drive.run(breaker, "..")
    way(breaker, lambda: drive.run(breaker, "."))
    drive.run(breaker, "x")
    assert (breaker.counts.successes, breaker.counts.failures) == (4, 1)
    assert breaker.counts.stale == 0


@pytest.mark.parametrize("fields", KINDS, ids=str)
@pytest.mark.parametrize("way", [way for way in WAYS if way is not by_permit])
@pytest.mark.parametrize(("seconds", "slow"), [(0.5, 0), (1.0, 0), (1.5, 1)])
def test_a_slow_success_is_seen(
    make: Make, drive: Driver, clock: ManualClock, way: Way, fields: dict[str, Any],
    seconds: float, slow: int,
) -> None:  # fmt: skip
    breaker = make(**{**fields, "slow_call_seconds": 1.0})
    drive.run(breaker, "...")
    way(breaker, lambda: clock.advance(seconds))
    counts = breaker.counts
    assert (counts.successes, counts.slow_calls, counts.in_flight) == (4, slow, 0)
