"""``with`` and ``async with``: the short way through a block keeps every rule of the long one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from typing import Any

import pytest

from cbmon import BreakerPolicy, CircuitBreaker, CircuitOpenError, State
from cbmon.testing import ManualClock
from tests.unit.breaker.support import Make

KINDS = ("count", "time", "percentage", "adaptive")


def numbers(breaker: CircuitBreaker) -> tuple[int, int, int, int]:
    counts = breaker.counts
    return counts.calls, counts.successes, counts.failures, counts.in_flight


async def used(breaker: CircuitBreaker) -> None:
    """The first block of a loop makes what the short way needs."""
    async with breaker:
        pass


@pytest.mark.parametrize("kind", KINDS)
async def test_blocks_are_counted_one_by_one(make: Make, kind: str) -> None:
    breaker = make(kind=kind)
    for turn in range(1, 6):
        async with breaker:
            assert numbers(breaker) == (turn, turn - 1, 0, 1)
    for turn in range(6, 11):
        with breaker:
            assert numbers(breaker) == (turn, turn - 1, 0, 1)
    assert numbers(breaker) == (10, 10, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_block_that_raises_is_a_failure(make: Make, kind: str) -> None:
    breaker = make(kind=kind)
    await used(breaker)
    with pytest.raises(OSError, match="refused"):
        async with breaker:
            raise OSError("refused")
    with pytest.raises(OSError, match="refused"), breaker:
        raise OSError("refused")
    assert numbers(breaker) == (3, 1, 2, 0)


async def test_blocks_of_tasks_cross_and_each_gets_its_own_verdict(make: Make) -> None:
    breaker = make(failure_threshold=100)
    await used(breaker)
    gates = [asyncio.Event() for _ in range(4)]

    async def work(number: int) -> None:
        async with breaker:
            await gates[number].wait()
            if number % 2:
                raise OSError

    tasks = [asyncio.create_task(work(number)) for number in range(4)]
    await asyncio.sleep(0)
    assert numbers(breaker) == (5, 1, 0, 4)
    for number in (2, 0, 3, 1):  # others leave before the one who came first
        gates[number].set()
        await asyncio.gather(tasks[number], return_exceptions=True)
    assert numbers(breaker) == (5, 3, 2, 0)


async def test_a_block_in_a_block_passes_uncounted(make: Make) -> None:
    breaker = make()
    await used(breaker)
    async with breaker, breaker:
        with breaker:
            assert breaker.call(len, "abc") == 3
        assert numbers(breaker) == (2, 1, 0, 1)
    assert numbers(breaker) == (2, 2, 0, 0)


async def test_who_leaves_takes_nobody_else_along(make: Make) -> None:
    breaker = make()
    await used(breaker)
    async with breaker:
        await asyncio.create_task(used(breaker))
        with breaker:
            assert numbers(breaker) == (3, 2, 0, 1)
    assert numbers(breaker) == (3, 3, 0, 0)


async def test_a_task_that_came_second_may_nest_too(make: Make) -> None:
    breaker = make()
    await used(breaker)
    gate = asyncio.Event()

    async def wait() -> None:
        async with breaker:
            await gate.wait()

    first = asyncio.create_task(wait())
    await asyncio.sleep(0)
    async with breaker:
        gate.set()
        await first
        async with breaker:
            assert numbers(breaker) == (3, 2, 0, 1)
    assert numbers(breaker) == (3, 3, 0, 0)


async def test_nesting_keeps_the_generation_of_the_outer_block(make: Make) -> None:
    breaker = make()
    breaker.reset()
    await used(breaker)
    async with breaker, breaker:
        assert numbers(breaker) == (2, 1, 0, 1)
    assert numbers(breaker) == (2, 2, 0, 0)
    assert breaker.counts.stale == 0


async def test_a_failure_in_the_inner_block_that_the_outer_one_catches_is_none(make: Make) -> None:
    breaker = make()
    await used(breaker)
    async with breaker:
        with pytest.raises(OSError):  # noqa: PT011
            async with breaker:
                raise OSError
    assert numbers(breaker) == (2, 2, 0, 0)


async def test_a_task_started_in_a_block_is_a_call_of_its_own(make: Make) -> None:
    breaker = make()
    await used(breaker)
    async with breaker:
        await asyncio.create_task(used(breaker))
    assert numbers(breaker) == (3, 3, 0, 0)


async def test_a_move_during_a_block_makes_its_result_stale(make: Make) -> None:
    breaker = make()
    await used(breaker)
    async with breaker:
        breaker.reset()
    with breaker:
        breaker.reset()
    assert breaker.counts.stale == 2
    assert breaker.counts.successes == 1


async def test_a_success_in_a_block_ends_a_run_of_failures(make: Make) -> None:
    breaker = make(failure_threshold=3)
    await used(breaker)
    for _ in range(3):
        for _ in range(2):
            with pytest.raises(OSError):  # noqa: PT011
                async with breaker:
                    raise OSError
        async with breaker:
            pass
    assert breaker.state is State.CLOSED
    assert breaker.counts.consecutive_failures == 0


async def test_an_open_breaker_rejects_blocks(make: Make) -> None:
    breaker = make()
    await used(breaker)
    breaker.open()
    with pytest.raises(CircuitOpenError):
        async with breaker:
            pytest.fail("not reached")
    with pytest.raises(CircuitOpenError), breaker:
        pytest.fail("not reached")
    assert breaker.counts.rejections == 2


async def test_a_slow_block_is_measured(make: Make, clock: ManualClock) -> None:
    breaker = make(kind="percentage", slow_call_seconds=1.0)
    await used(breaker)
    async with breaker:
        clock.advance(2)
    with breaker:
        clock.advance(2)
    assert breaker.counts.slow_calls == 2


async def test_the_time_window_counts_blocks_when_they_end(make: Make, clock: ManualClock) -> None:
    breaker = make(kind="time", window_seconds=10.0, minimum_calls=1)
    async with breaker:
        clock.advance(30)
    clock.advance(8)
    assert breaker.counts.failure_ratio == 0.0


async def test_a_predicate_judges_what_a_block_is_given(make: Make) -> None:
    breaker = make(is_failure=lambda value: value == "bad")
    await used(breaker)
    async with breaker as call:
        call.set_result("bad")
    with breaker as call:
        call.set_result("bad")
    assert breaker.counts.failures == 2


async def test_without_a_predicate_a_result_is_nothing_to_judge_nor_to_keep(make: Make) -> None:
    breaker = make()
    await used(breaker)
    async with breaker as call:
        call.set_result(object())
        assert "result" not in vars(call)
    assert numbers(breaker) == (2, 2, 0, 0)


async def test_a_predicate_that_comes_during_a_block_judges_from_the_next_one_on(
    make: Make,
) -> None:
    breaker = make()
    await used(breaker)
    async with breaker as call:
        breaker.reconfigure(BreakerPolicy(is_failure=bool))
        call.set_result(1)
    assert breaker.counts.failures == 0
    async with breaker as call:
        call.set_result(1)
    assert breaker.counts.failures == 1


async def test_listeners_hear_of_blocks_from_the_moment_they_listen(make: Make) -> None:
    breaker = make()
    heard: list[Any] = []
    await used(breaker)
    async with breaker:
        breaker.add_listener(heard.append, kinds=["success"])
    async with breaker:
        pass
    assert [event.kind for event in heard] == ["success", "success"]


async def test_a_half_open_breaker_counts_its_blocks_as_trials(
    make: Make, clock: ManualClock
) -> None:
    breaker = make(half_open_max_calls=2, success_threshold=2)
    await used(breaker)
    breaker.open()
    clock.advance(60)
    async with breaker, breaker:
        assert breaker.counts.in_flight == 1
    async with breaker:
        pass
    assert breaker.state is State.CLOSED


async def test_a_cancelled_block_says_nothing(make: Make) -> None:
    breaker = make()
    await used(breaker)

    async def wait() -> None:
        async with breaker:
            await asyncio.sleep(3600)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert numbers(breaker) == (2, 1, 0, 0)
    assert breaker.counts.cancelled == 1


async def test_what_enters_may_be_awaited_in_every_way_that_asyncio_has(make: Make) -> None:
    breaker = make()
    await used(breaker)
    for waited in (
        lambda entering: asyncio.wait_for(entering, 1),
        asyncio.gather,
        asyncio.shield,
        asyncio.create_task,
        lambda entering: entering,
    ):
        await waited(breaker.__aenter__())
        await waited(breaker.__aexit__(None, None, None))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(breaker)
    with ExitStack() as plain:
        plain.enter_context(breaker)
    assert numbers(breaker) == (8, 8, 0, 0)


def test_one_loop_after_the_other_uses_the_same_breaker(make: Make) -> None:
    breaker = make()

    async def twice() -> None:
        await used(breaker)
        await used(breaker)

    for _ in range(3):
        asyncio.run(twice())
    assert numbers(breaker) == (6, 6, 0, 0)


def test_loops_in_threads_do_not_take_each_other_for_themselves(make: Make) -> None:
    breaker = make()
    inside = threading.Barrier(4)

    async def stay() -> None:
        await used(breaker)
        async with breaker, breaker:
            await asyncio.to_thread(inside.wait, 10)

    threads = [threading.Thread(target=lambda: asyncio.run(stay())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert numbers(breaker) == (8, 8, 0, 0)


async def test_a_block_in_a_generator_that_ends_elsewhere_is_found(make: Make) -> None:
    breaker = make()
    await used(breaker)

    @asynccontextmanager
    async def borrowed() -> AsyncIterator[None]:
        async with breaker:
            yield

    @contextmanager
    def lent() -> Iterator[None]:
        with breaker:
            yield

    manager: Any = borrowed()
    await asyncio.create_task(manager.__aenter__())
    assert breaker.counts.in_flight == 1
    await asyncio.create_task(manager.__aexit__(None, None, None))
    plain: Any = lent()
    await asyncio.to_thread(plain.__enter__)
    await asyncio.to_thread(plain.__exit__, None, None, None)
    assert numbers(breaker) == (3, 3, 0, 0)


async def test_call_timeout_cuts_a_block_off(make: Make) -> None:
    breaker = make(call_timeout=0.01)
    with pytest.raises(TimeoutError):
        async with breaker:
            await asyncio.sleep(3600)
    assert numbers(breaker) == (1, 0, 1, 0)


def test_threads_lose_no_block(make: Make) -> None:
    breaker = CircuitBreaker("crowd", failure_threshold=10**6)

    def work() -> None:
        for turn in range(2000):
            try:
                with breaker:
                    divmod(1, turn % 10)
            except ZeroDivisionError:
                continue

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert numbers(breaker) == (16_000, 14_400, 1600, 0)


def test_a_block_that_somebody_else_ends_is_the_last_one_begun(make: Make) -> None:
    """As when a framework leaves it in another thread than the one it was entered in."""
    breaker, entered, over = make(), threading.Barrier(4), threading.Event()

    def enter() -> None:
        breaker.__enter__()
        entered.wait(10)
        over.wait(10)

    threads = [threading.Thread(target=enter) for _ in range(3)]
    with breaker:
        for thread in threads:
            thread.start()
        entered.wait(10)
        assert breaker.counts.in_flight == 4
        for left in (3, 2, 1):
            leaver = threading.Thread(target=breaker.__exit__, args=(None, None, None))
            leaver.start()
            leaver.join(10)
            assert breaker.counts.in_flight == left
        over.set()
    for thread in threads:
        thread.join(10)
    assert (breaker.counts.successes, breaker.counts.in_flight) == (4, 0)


def test_a_block_that_is_left_twice_counts_once(make: Make) -> None:
    breaker = make()
    for _ in range(2):
        breaker.__enter__()
        breaker.__exit__(None, None, None)
        breaker.__exit__(None, None, None)
    assert numbers(breaker) == (2, 2, 0, 0)


async def test_so_does_an_async_one(make: Make) -> None:
    breaker = make()
    for _ in range(2):
        await breaker.__aenter__()
        await breaker.__aexit__(None, None, None)
        await breaker.__aexit__(None, None, None)
    assert numbers(breaker) == (2, 2, 0, 0)


async def test_leaving_once_more_than_entering_counts_nothing(make: Make) -> None:
    breaker = make()
    breaker.__exit__(None, None, None)
    await used(breaker)
    async with breaker, breaker:
        pass
    with breaker:
        pass
    breaker.__exit__(None, None, None)
    await breaker.__aexit__(None, None, None)
    assert numbers(breaker) == (3, 3, 0, 0)
    with pytest.raises(OSError):  # noqa: PT011
        async with breaker:
            raise OSError
    await breaker.__aexit__(None, None, None)
    assert numbers(breaker) == (4, 3, 1, 0)


def test_of_blocks_that_are_left_elsewhere_the_newest_is_left_first(
    make: Make, clock: ManualClock
) -> None:
    breaker = make(slow_call_seconds=2.0)
    over = threading.Event()
    entered = threading.Barrier(2)

    def enter_and_stay() -> None:  # or the next thread may get the number of this one
        breaker.__enter__()
        entered.wait(10)
        over.wait(10)

    threads = [threading.Thread(target=enter_and_stay) for _ in range(3)]
    for thread in threads:
        thread.start()
        entered.wait(10)
        clock.advance(1.5)
    try:
        for slow in (0, 1, 2):
            breaker.__exit__(None, None, None)
            assert breaker.counts.slow_calls == slow
        assert breaker.counts.in_flight == 0
    finally:
        over.set()
        for thread in threads:
            thread.join()
