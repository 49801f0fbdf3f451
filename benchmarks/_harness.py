"""Timing that compares: what each contender adds to a bare call, measured in turns.

Rule: the bare call is timed in the same loop right beside each contender and subtracted; the
contenders take turns, each round begins with another one, and the median round counts. So a
machine that gets slower or faster meanwhile moves all of them alike. It is this thread's CPU time
that is measured: nothing here waits, and what other programs take does not count.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median
from time import thread_time
from typing import Any

SyncCall = Callable[[], Any]
AsyncCall = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way of calling; ``ours`` is held against the fastest peer, a floor against nobody."""

    name: str
    call: Any
    bare: Any
    ours: bool = False
    floor: bool = False
    rejected: type[BaseException] | None = None
    """What a rejected call raises; None for calls that succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    contender: Contender
    nanoseconds: float
    spread: float
    """Half the distance between the quartiles, in nanoseconds."""


def measure(contenders: list[Contender], *, rounds: int, calls: int, use_loop: bool) -> list[Row]:
    """Nanoseconds that each contender adds to its bare call, in the order given."""
    timer = _timed_async if use_loop else _timed_sync
    found: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        timer(contender, calls // 10)
    for turn in range(rounds):
        for contender in (
            contenders[turn % len(contenders) :] + contenders[: turn % len(contenders)]
        ):
            found[contender.name].append(timer(contender, calls))
    return [_row(contender, sorted(found[contender.name])) for contender in contenders]


def bytes_each(make: Callable[[int], object], count: int = 5_000) -> float:
    """Bytes that each of ``count`` objects keeps alive, by tracemalloc."""
    make(-1)
    keep: list[object] = [None] * count
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for index in range(count):
        keep[index] = make(index)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / count


def _row(contender: Contender, times: list[float]) -> Row:
    quarter = len(times) // 4
    spread = (times[-1 - quarter] - times[quarter]) / 2
    return Row(contender=contender, nanoseconds=median(times), spread=spread)


def _timed_sync(contender: Contender, calls: int) -> float:
    def once(call: SyncCall) -> float:
        start = thread_time()
        for _ in range(calls):
            call()
        return thread_time() - start

    def once_rejected(call: SyncCall, error: type[BaseException]) -> float:
        start = thread_time()
        for _ in range(calls):
            try:  # noqa: SIM105 (a context manager would be timed too)
                call()
            except error:
                pass
        return thread_time() - start

    with _no_collection():
        bare = once(contender.bare)
        if contender.rejected is None:
            full = once(contender.call)
        else:
            full = once_rejected(contender.call, contender.rejected)
    return (full - bare) / calls * 1e9


def _timed_async(contender: Contender, calls: int) -> float:
    async def once(call: AsyncCall) -> float:
        start = thread_time()
        for _ in range(calls):
            await call()
        return thread_time() - start

    async def once_rejected(call: AsyncCall, error: type[BaseException]) -> float:
        start = thread_time()
        for _ in range(calls):
            try:  # noqa: SIM105 (a context manager would be timed too)
                await call()
            except error:
                pass
        return thread_time() - start

    async def both() -> float:
        bare = await once(contender.bare)
        if contender.rejected is None:
            full = await once(contender.call)
        else:
            full = await once_rejected(contender.call, contender.rejected)
        return (full - bare) / calls * 1e9

    with _no_collection():
        return asyncio.run(both())


class _no_collection:  # noqa: N801 (reads as a statement)
    def __enter__(self) -> None:
        gc.collect()
        gc.disable()

    def __exit__(self, *exit_info: object) -> None:
        gc.enable()
