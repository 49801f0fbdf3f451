"""R19: a generator is one call, from the first item asked for to its end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from cbmon import CircuitBreaker, CircuitOpenError
from cbmon.breaker import BreakerWarning
from cbmon.testing import ManualClock
from tests.unit.breaker.support import Make


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


async def stream(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


def tally(breaker: CircuitBreaker) -> tuple[int, int, int, int]:
    counts = breaker.counts
    return counts.successes, counts.failures, counts.cancelled, counts.in_flight


class Shelf:
    """Generators that are no plain functions."""

    def rows(self) -> Iterator[int]:
        yield from (0, 1)

    async def arow(self) -> AsyncIterator[int]:
        for number in (0, 1):
            yield number


class Walk:
    """A callable object whose call is a generator."""

    def __call__(self) -> Iterator[int]:
        yield from (0, 1)


class AsyncWalk:
    """A callable object whose call is an async generator."""

    async def __call__(self) -> AsyncIterator[int]:
        for number in (0, 1):
            yield number


class TestR19:
    @pytest.mark.parametrize(
        "func", [partial(numbers, 2), partial(partial(numbers), 2), Shelf().rows, Walk()]
    )
    def test_generators_that_are_no_plain_functions(
        self, make: Make, func: Callable[[], Iterator[int]]
    ) -> None:
        breaker = make()
        items = breaker(func)()
        assert breaker.counts.calls == 0
        assert next(items) == 0
        assert tally(breaker) == (0, 0, 0, 1)
        assert list(items) == [1]
        assert tally(breaker) == (1, 0, 0, 0)

    def test_the_permit_is_taken_at_the_first_next(self, make: Make) -> None:
        breaker = make()
        items = breaker(numbers)(2)
        assert breaker.counts.calls == 0
        assert next(items) == 0
        assert tally(breaker) == (0, 0, 0, 1)
        assert list(items) == [1]
        assert tally(breaker) == (1, 0, 0, 0)

    def test_a_rejected_generator_never_starts(self, make: Make) -> None:
        started: list[int] = []

        def body() -> Iterator[int]:
            started.append(1)
            yield 1

        items = make(initial_state="open")(body)()
        with pytest.raises(CircuitOpenError):
            next(items)
        assert started == []

    def test_an_exception_from_the_body_is_a_failure(self, make: Make) -> None:
        breaker = make()

        @breaker
        def body() -> Iterator[int]:
            yield 1
            raise OSError("down")

        with pytest.raises(OSError, match="down"):
            list(body())
        assert tally(breaker) == (0, 1, 0, 0)

    def test_closing_after_an_item_is_a_success(self, make: Make) -> None:
        breaker = make()
        items = breaker(numbers)(5)
        next(items)
        items.close()  # type: ignore[attr-defined]
        assert tally(breaker) == (1, 0, 0, 0)

    def test_closing_before_the_first_next_leaves_no_trace(self, make: Make) -> None:
        breaker = make()
        breaker(numbers)(5).close()  # type: ignore[attr-defined]
        assert breaker.counts.calls == 0

    def test_a_body_that_exits_before_any_item_is_neutral(self, make: Make) -> None:
        breaker = make(initial_state="half_open")

        @breaker
        def body() -> Iterator[int]:
            if breaker.name:
                raise GeneratorExit
            yield 1

        with pytest.raises(GeneratorExit):
            next(body())
        assert tally(breaker) == (0, 0, 1, 0)
        assert breaker.try_acquire() is not None

    def test_an_abandoned_generator_gives_its_permit_back(self, make: Make) -> None:
        breaker = make()
        items = breaker(numbers)(5)
        next(items)
        del items
        gc.collect()
        assert tally(breaker) == (1, 0, 0, 0)

    def test_an_error_while_closing_is_a_failure(self, make: Make) -> None:
        breaker = make()

        @breaker
        def body() -> Any:
            try:
                yield 1
            finally:
                raise OSError("cannot close")

        items = body()
        next(items)
        with pytest.raises(OSError, match="cannot close"):
            items.close()
        assert tally(breaker) == (0, 1, 0, 0)

    def test_send_throw_and_the_return_value_pass_through(self, make: Make) -> None:
        breaker = make()

        @breaker
        def body() -> Any:
            got = yield "first"
            try:
                yield got
            except KeyError:
                yield "caught"
            return "returned"

        items = body()
        assert (next(items), items.send("sent"), items.throw(KeyError())) == (
            "first", "sent", "caught",
        )  # fmt: skip
        with pytest.raises(StopIteration) as caught:
            next(items)
        assert caught.value.value == "returned"
        assert tally(breaker) == (1, 0, 0, 0)

    def test_the_consumers_time_is_not_measured(self, make: Make, clock: ManualClock) -> None:
        breaker = make(slow_call_seconds=1.0)

        @breaker
        def body() -> Iterator[int]:
            for number in range(3):
                clock.advance(0.4)
                yield number

        for _ in body():
            clock.advance(100.0)
        assert breaker.counts.slow_calls == 1
        for _ in breaker(numbers)(3):
            clock.advance(100.0)
        assert breaker.counts.slow_calls == 1

    def test_a_stream_in_a_half_open_breaker_is_a_trial(self, make: Make) -> None:
        breaker = make(initial_state="half_open")
        items = breaker(numbers)(2)
        next(items)
        with pytest.raises(CircuitOpenError):
            next(breaker(numbers)(1))
        assert list(items) == [1]
        assert breaker.state == "closed"

    def test_a_stream_that_goes_on_inside_a_block_leaves_the_block_alone(self, make: Make) -> None:
        breaker = make()
        items = breaker(numbers)(3)
        next(items)
        with breaker:
            next(items)
            assert breaker.counts.in_flight == 2
            assert breaker.call(len, "abc") == 3
        assert tally(breaker) == (1, 0, 0, 1)
        assert list(items) == [2]
        assert tally(breaker) == (2, 0, 0, 0)

    def test_a_stream_that_goes_on_inside_a_call_leaves_the_call_alone(self, make: Make) -> None:
        breaker = make()
        items, others = breaker(numbers)(3), breaker(numbers)(3)
        next(items)
        next(others)
        assert [breaker.call(next, items), breaker.call(next, others)] == [1, 1]
        assert tally(breaker) == (2, 0, 0, 2)
        assert breaker.call(list, items) == [2]
        assert tally(breaker) == (4, 0, 0, 1)

    def test_streams_that_read_from_each_other_are_two_calls(self, make: Make) -> None:
        breaker = make()
        inner = breaker(numbers)(3)
        next(inner)

        @breaker
        def outer() -> Iterator[int]:
            yield from inner

        assert list(outer()) == [1, 2]
        assert tally(breaker) == (2, 0, 0, 0)

    def test_a_stream_dropped_inside_a_block_leaves_the_block_alone(self, make: Make) -> None:
        breaker = make(initial_state="half_open", half_open_max_calls=2, success_threshold=2)
        items = breaker(numbers)(3)
        next(items)
        with breaker:
            del items
            gc.collect()
            assert breaker.counts.in_flight == 1
        assert breaker.state == "closed"


class TestR19Async:
    @pytest.mark.parametrize("func", [partial(stream, 2), Shelf().arow, AsyncWalk()])
    async def test_generators_that_are_no_plain_functions(
        self, make: Make, func: Callable[[], AsyncIterator[int]]
    ) -> None:
        breaker = make()
        items = breaker(func)()
        assert await anext(items) == 0
        assert tally(breaker) == (0, 0, 0, 1)
        assert [item async for item in items] == [1]
        assert tally(breaker) == (1, 0, 0, 0)

    async def test_streams_that_read_from_each_other_are_two_calls(self, make: Make) -> None:
        breaker = make()
        inner = breaker(stream)(3)
        await anext(inner)

        @breaker
        async def outer() -> AsyncIterator[int]:
            async for item in inner:
                async with breaker:
                    yield item

        assert [item async for item in outer()] == [1, 2]
        assert tally(breaker) == (2, 0, 0, 0)

    async def test_a_stream_that_goes_on_inside_a_block_leaves_the_block_alone(
        self, make: Make
    ) -> None:
        breaker = make()
        items = breaker(stream)(3)
        await anext(items)
        async with breaker:
            await anext(items)
            assert breaker.counts.in_flight == 2
        assert tally(breaker) == (1, 0, 0, 1)
        assert [item async for item in items] == [2]
        assert tally(breaker) == (2, 0, 0, 0)

    async def test_an_async_generator_is_one_call(self, make: Make) -> None:
        breaker = make()
        items = breaker(stream)(2)
        assert breaker.counts.calls == 0
        assert await anext(items) == 0
        assert tally(breaker) == (0, 0, 0, 1)
        assert [item async for item in items] == [1]
        assert tally(breaker) == (1, 0, 0, 0)

    async def test_an_exception_from_the_body_is_a_failure(self, make: Make) -> None:
        breaker = make(failure_threshold=1)

        @breaker
        async def body() -> AsyncIterator[int]:
            yield 1
            raise OSError("down")

        with pytest.raises(OSError, match="down"):
            [item async for item in body()]
        assert breaker.state == "open"
        with pytest.raises(CircuitOpenError):
            await anext(body())

    async def test_closing_after_an_item_is_a_success(self, make: Make) -> None:
        breaker = make()
        items: Any = breaker(stream)(5)
        await anext(items)
        await items.aclose()
        assert tally(breaker) == (1, 0, 0, 0)

    async def test_a_cancelled_consumer_is_neutral(self, make: Make) -> None:
        breaker = make()

        @breaker
        async def body() -> AsyncIterator[int]:
            await asyncio.Event().wait()
            yield 1

        async def consume() -> int:
            return await anext(body())

        task = asyncio.create_task(consume())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert tally(breaker) == (0, 0, 1, 0)

    async def test_asend_and_athrow_pass_through(self, make: Make) -> None:
        breaker = make()

        @breaker
        async def body() -> Any:
            got = yield "first"
            try:
                yield got
            except KeyError:
                yield "caught"

        items = body()
        assert await anext(items) == "first"
        assert await items.asend("sent") == "sent"
        assert await items.athrow(KeyError()) == "caught"
        assert [item async for item in items] == []
        assert tally(breaker) == (1, 0, 0, 0)

    async def test_streams_of_one_task_side_by_side_are_two_calls(self, make: Make) -> None:
        breaker = make()
        first, second = breaker(stream)(2), breaker(stream)(2)
        await anext(first)
        await anext(second)
        assert tally(breaker) == (0, 0, 0, 2)
        assert [item async for item in first] == [item async for item in second] == [1]
        assert tally(breaker) == (2, 0, 0, 0)


def test_a_stream_that_could_not_begin_ends_no_call(make: Make) -> None:
    class Stopped(ManualClock):
        works = False

        def monotonic(self) -> float:
            if not self.works:
                raise OSError("no clock")
            return super().monotonic()

    clock = Stopped()
    breaker = make(clock=clock)

    @breaker
    def items() -> Iterator[int]:
        yield 1

    with pytest.raises(OSError, match="no clock"):
        next(items())
    clock.works = True
    counts = breaker.counts
    assert (counts.calls, counts.cancelled, counts.stale) == (0, 0, 0)


async def test_a_warning_of_a_stream_leads_to_who_asked_for_its_first_item(make: Make) -> None:
    breaker = make(call_timeout=1.0)

    @breaker
    def items() -> Iterator[int]:
        yield 1

    @breaker
    async def later() -> AsyncIterator[int]:
        yield 1

    with pytest.warns(BreakerWarning) as told:
        next(items())
    with pytest.warns(BreakerWarning) as told_later:
        async for _ in later():
            pass
    assert [one.filename for one in (*told, *told_later)] == [__file__, __file__]


@pytest.mark.parametrize(("seconds", "number", "slow"), [(7.0, 1, 1), (0.25, 8, 0)])
def test_a_stream_takes_as_long_as_its_body_ran(
    make: Make, seconds: float, number: int, slow: int
) -> None:
    clock = ManualClock(start=1.0)
    breaker = make(clock=clock, slow_call_seconds=5.0)

    @breaker
    def items() -> Iterator[int]:
        for item in range(number):
            clock.advance(seconds)
            yield item

    assert list(items()) == list(range(number))
    assert breaker.counts.slow_calls == slow


async def test_who_is_interrupted_between_body_and_consumer_is_not_left_inside(make: Make) -> None:
    class Owners(dict[object, Any]):
        armed = False

        def __setitem__(self, key: object, value: Any) -> None:
            if self.armed:
                self.armed = False
                raise KeyboardInterrupt
            super().__setitem__(key, value)

    breaker = make()
    breaker._core.owners = owners = Owners()

    @breaker
    def items() -> Iterator[int]:
        owners.armed = True
        yield 1

    @breaker
    async def later() -> AsyncIterator[int]:
        owners.armed = True
        yield 1

    with pytest.raises(KeyboardInterrupt):
        next(items())
    with pytest.raises(KeyboardInterrupt):
        await anext(later())
    assert breaker.call(int) == 0
    counts = breaker.counts
    assert (counts.successes, counts.cancelled, counts.in_flight) == (1, 2, 0)
