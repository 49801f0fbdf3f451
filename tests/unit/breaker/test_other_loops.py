"""Callers that asyncio knows nothing of: trio's tasks, and coroutines that somebody drives."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from cbmon import CircuitBreaker, CircuitOpenError
from tests.unit.breaker.support import Make


class _Cancelled(BaseException):
    """What trio cancels with."""


class Trio:
    """As much of trio as a breaker asks for; its tasks are whatever is in ``task``."""

    Cancelled = _Cancelled
    task: object = None

    def __init__(self) -> None:
        self.lowlevel = SimpleNamespace(current_task=self.current_task)

    def current_task(self) -> object:
        if self.task is None:
            raise RuntimeError("must be called from async context")
        return self.task


@pytest.fixture
def trio(monkeypatch: pytest.MonkeyPatch) -> Trio:
    made = Trio()
    monkeypatch.setitem(sys.modules, "trio", made)
    return made


def step(coroutine: Any) -> Any:
    """Run it to its next pause; its value when it is over."""
    try:
        return coroutine.send(None)
    except StopIteration as end:
        return end.value


class Pause:
    def __await__(self) -> Any:
        yield "paused"


def test_tasks_of_trio_are_told_apart_and_nest(make: Make, trio: Trio) -> None:
    breaker = make(initial_state="half_open")

    @breaker
    async def inner() -> int:
        return 1

    async def block() -> int:
        async with breaker:
            await Pause()
            return await inner()

    first, second = block(), block()
    trio.task = "one"
    assert step(first) == "paused"
    trio.task = "two"
    with pytest.raises(CircuitOpenError):
        step(second)
    trio.task = "one"
    assert step(first) == 1
    assert (breaker.counts.successes, breaker.counts.in_flight) == (1, 0)


def test_a_cancellation_of_trio_is_neutral(make: Make, trio: Trio) -> None:
    breaker = make(expected_exceptions=(BaseException,))
    with pytest.raises(_Cancelled), breaker:
        raise trio.Cancelled
    assert (breaker.counts.cancelled, breaker.counts.failures) == (1, 0)


def test_a_thread_without_a_task_of_trio_is_a_thread(make: Make, trio: Trio) -> None:
    breaker = make()
    with breaker, breaker:
        assert trio.task is None
    assert breaker.counts.calls == 1


def test_what_needs_asyncio_says_so(make: Make) -> None:
    breaker = make(call_timeout=1)

    async def coroutine() -> int:
        return 1

    with pytest.raises(RuntimeError, match=r"no running event loop: call_timeout .* needs asyncio"):
        step(breaker.call(coroutine))
    assert breaker.counts.calls == 0


def test_the_short_way_of_blocks_is_made_in_asyncio_only(
    make: Make, trio: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cbmon.breaker import blocks

    breaker = make()
    for name, value in (("entered", None), ("left", None), ("tasks", {})):
        monkeypatch.setattr(blocks._ready, name, value)

    async def block() -> None:
        async with breaker:
            pass

    def elsewhere() -> None:
        trio.task = "one"
        step(block())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    made: list[bool] = [blocks._ready.left is not None]
    asyncio.run(block())
    made.append(blocks._ready.left is not None)
    assert made == [False, True]
    assert breaker.counts.successes == 2


def test_with_trio_itself() -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed")
    breaker = CircuitBreaker("it", initial_state="half_open", failure_threshold=1)
    refused: list[CircuitOpenError] = []

    @breaker
    async def inner() -> int:
        await trio.sleep(0)
        return 1

    async def one() -> None:
        try:
            async with breaker:
                await trio.sleep(0.001)
                assert await inner() == 1
        except CircuitOpenError as error:
            refused.append(error)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(one)
        with trio.move_on_after(0.001):
            async with breaker:
                await trio.sleep(30)
        assert breaker.call(len, "abc") == 3

    trio.run(main)
    counts = breaker.counts
    assert (len(refused), counts.rejections, counts.cancelled) == (4, 4, 1)
    assert (counts.successes, counts.failures, counts.in_flight) == (2, 0, 0)


def test_an_async_generator_that_nobody_can_close_gives_its_permit_back(make: Make) -> None:
    breaker = make(initial_state="half_open")

    @breaker
    async def items() -> Any:
        try:
            yield 1
        finally:
            await Pause()

    dropped = items()
    assert step(dropped.__anext__()) == 1
    assert breaker.counts.in_flight == 1
    told: list[str] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: told.append(str(unraisable.exc_value))
    try:
        del dropped
    finally:
        sys.unraisablehook = before
    assert told == ["async generator ignored GeneratorExit"], "says Python"
    assert (breaker.counts.in_flight, breaker.counts.cancelled) == (0, 1)
    assert breaker.call(len, "abc") == 3


def test_loops_in_many_threads_count_every_call(make: Make) -> None:
    breaker = make()

    @breaker
    async def work() -> None:
        await asyncio.sleep(0)

    async def several() -> None:
        for _ in range(20):
            await asyncio.gather(*(work() for _ in range(10)))
            async with breaker:
                await work()

    threads = [threading.Thread(target=asyncio.run, args=(several(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (breaker.counts.successes, breaker.counts.in_flight) == (8 * 20 * 11, 0)


def test_without_trio_a_thread_is_asked_nothing_of_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "trio", raising=False)
    breaker = make()
    with breaker, breaker:
        pass
    assert breaker.counts.calls == 1
