"""R20: a call inside a call of the same breaker passes uncounted; a task or thread does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from cbmon import CircuitBreaker
from tests.unit.breaker.support import Make

STATES = ["closed", "half_open"]


def ended(breaker: CircuitBreaker) -> int:
    counts = breaker.counts
    assert counts.in_flight == 0
    assert breaker._core.owners == {}
    assert breaker._core.machine.inside is None
    return counts.calls


@pytest.mark.parametrize("state", STATES)
class TestR20:
    def test_plain_functions_and_blocks_nest_in_every_order(self, make: Make, state: str) -> None:
        breaker = make(initial_state=state)

        @breaker
        def inner() -> int:
            return 1

        @breaker
        def outer() -> int:
            with breaker, breaker as call:
                call.set_result("ignored")
                return inner() + breaker.call(int, "2")

        assert outer() == 3
        assert ended(breaker) == 1
        with breaker, breaker:
            assert outer() == 3
        assert ended(breaker) == 2

    async def test_coroutines_and_blocks_nest_in_every_order(self, make: Make, state: str) -> None:
        breaker = make(initial_state=state)

        @breaker
        def plain() -> int:
            return 1

        @breaker
        async def inner() -> int:
            await asyncio.sleep(0)
            return plain()

        @breaker
        async def outer() -> int:
            async with breaker, breaker:
                with breaker:
                    return await inner() + plain()

        assert await outer() == 2
        assert ended(breaker) == 1
        async with breaker:
            assert await outer() == 2
        assert ended(breaker) == 2

    def test_a_nested_failure_counts_once(self, make: Make, state: str) -> None:
        breaker = make(initial_state=state, failure_threshold=2)

        @breaker
        def fails() -> None:
            raise OSError("down")

        @breaker
        def outer() -> None:
            with breaker:
                fails()

        with pytest.raises(OSError, match="down"):
            outer()
        assert breaker.counts.failures == 1
        assert ended(breaker) == 1

    def test_generators_nest(self, make: Make, state: str) -> None:
        breaker = make(initial_state=state)

        @breaker
        def inner() -> Iterator[int]:
            yield breaker.call(int, "1")
            yield 2

        @breaker
        def outer() -> Iterator[int]:
            yield from inner()

        assert list(outer()) == [1, 2]
        assert ended(breaker) == 1

    async def test_async_generators_nest(self, make: Make, state: str) -> None:
        breaker = make(initial_state=state)

        @breaker
        async def inner() -> AsyncIterator[int]:
            yield 1

        @breaker
        async def outer() -> AsyncIterator[int]:
            async for item in inner():
                yield item

        assert [item async for item in outer()] == [1]
        assert ended(breaker) == 1

    def test_a_nested_stream_that_fails_or_closes_leaves_the_outer_call_alone(
        self, make: Make, state: str
    ) -> None:
        breaker = make(initial_state=state)

        @breaker
        def inner() -> Any:
            yield 1
            raise OSError

        def outer() -> int:
            items = inner()
            next(items)
            items.close()
            with pytest.raises(OSError):  # noqa: PT011
                list(inner())
            return 1

        assert breaker.call(outer) == 1
        assert ended(breaker) == 1
        assert breaker.counts.successes == 1


class TestOthers:
    async def test_a_task_started_inside_is_a_call_of_its_own(self, make: Make) -> None:
        breaker = make()

        @breaker
        async def inner() -> None:
            await asyncio.sleep(0)

        @breaker
        async def outer() -> None:
            await asyncio.gather(inner(), asyncio.create_task(inner()))

        await outer()
        assert ended(breaker) == 3

    def test_a_thread_started_inside_is_a_call_of_its_own(self, make: Make) -> None:
        breaker = make()

        @breaker
        def outer() -> None:
            thread = threading.Thread(target=breaker.call, args=(int,))
            thread.start()
            thread.join()

        outer()
        assert ended(breaker) == 2

    @pytest.mark.parametrize("state", STATES)
    def test_a_loop_run_inside_has_tasks_of_its_own(self, make: Make, state: str) -> None:
        breaker = make(initial_state=state, half_open_max_calls=2, success_threshold=2)

        @breaker
        async def inner() -> int:
            await asyncio.sleep(0)
            return 1

        @breaker
        def outer() -> int:
            return asyncio.run(inner())

        assert outer() == 1
        assert ended(breaker) == 2

    async def test_two_tasks_in_the_same_breaker_are_not_nested(self, make: Make) -> None:
        breaker = make()
        gate = asyncio.Event()

        @breaker
        async def waits() -> None:
            await gate.wait()

        tasks = [asyncio.create_task(waits()) for _ in range(3)]
        await asyncio.sleep(0)
        assert breaker.counts.in_flight == 3
        assert breaker.call(int) == 0
        gate.set()
        await asyncio.gather(*tasks)
        assert ended(breaker) == 4

    async def test_the_consumer_between_items_is_not_nested(self, make: Make) -> None:
        breaker = make()

        @breaker
        def items() -> Iterator[int]:
            yield 1
            yield 2

        for _ in items():
            breaker.call(int)
        assert ended(breaker) == 3

    def test_two_breakers_know_nothing_of_each_other(self, make: Make) -> None:
        first, second = make(), make()
        assert first.call(second.call, int) == 0
        assert (ended(first), ended(second)) == (1, 1)

    def test_a_block_left_in_another_thread_ends_all_the_same(self, make: Make) -> None:
        breaker = make()

        def body() -> Iterator[int]:
            with breaker:
                yield 1

        items = body()
        next(items)
        thread = threading.Thread(target=lambda: list(items))
        thread.start()
        thread.join()
        assert ended(breaker) == 1

    def test_coroutines_driven_by_hand_are_never_nested(self, make: Make) -> None:
        """As under another framework, whose tasks share one thread."""
        breaker = make()

        async def waits() -> int:
            await asyncio.sleep(0)
            return 1

        first, second = breaker.call(waits), breaker.call(waits)
        first.send(None)
        second.send(None)
        assert breaker.counts.in_flight == 2
        for coroutine in (first, second):
            with pytest.raises(StopIteration):
                coroutine.send(None)
        assert ended(breaker) == 2

    async def test_a_predicate_may_call_the_breaker(self, make: Make) -> None:
        breakers: list[CircuitBreaker] = []
        breaker = make(is_failure=lambda result: result == breakers[0].call(int, "1"))
        breakers.append(breaker)
        assert [breaker.call(int, text) for text in "12"] == [1, 2]
        assert (breaker.counts.failures, ended(breaker)) == (1, 2)
