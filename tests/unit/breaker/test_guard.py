"""The guard: call, decorator, blocks and fallback, for every kind of callable."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from cbmon import CircuitBreaker, CircuitOpenError, circuit_breaker
from cbmon.testing import ManualClock, StateRecorder
from tests.unit.breaker.support import Make


def plainly(function: Any) -> Any:
    """A plain function that returns an awaitable."""
    return function()


class Client:
    """A callable object, with methods."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, number: int) -> int:
        return number * self.factor

    def multiply(self, number: int) -> int:
        return number * self.factor


class AsyncClient:
    async def __call__(self, number: int) -> int:
        return number + 1


class TestCall:
    def test_arguments_and_result_pass_through(self, make: Make) -> None:
        breaker = make()

        def function(a: int, /, b: int, *rest: int, c: int = 3, **more: int) -> Any:
            return a, b, rest, c, more

        assert breaker.call(function, 1, 2, 9, c=4, d=5) == (1, 2, (9,), 4, {"d": 5})
        assert breaker.call(dict, func=1, self=2) == {"func": 1, "self": 2}

    async def test_an_async_function_gives_an_awaitable(self, make: Make) -> None:
        breaker = make()

        async def function(number: int) -> int:
            return number

        waiting = breaker.call(function, 5)
        assert inspect.isawaitable(waiting)
        assert breaker.counts.calls == 0
        assert await waiting == 5
        assert breaker.counts.successes == 1

    async def test_objects_methods_and_partials_keep_their_kind(self, make: Make) -> None:
        breaker = make()
        assert breaker.call(Client(3), 4) == 12
        assert breaker.call(Client(3).multiply, 5) == 15
        assert breaker.call(functools.partial(Client(3), 6)) == 18
        assert await breaker.call(AsyncClient(), 1) == 2
        assert await breaker.call(functools.partial(AsyncClient(), 2)) == 3
        assert await breaker.call(AsyncClient().__call__, 3) == 4
        assert breaker.counts.successes == 6

    def test_generators_are_guarded_when_iterated(self, make: Make) -> None:
        breaker = make()

        def numbers() -> Iterator[int]:
            yield 1

        assert list(breaker.call(numbers)) == [1]
        assert breaker.counts.successes == 1

    @pytest.mark.parametrize("state", ["closed", "observe", "forced_closed"])
    async def test_a_plain_function_that_returns_an_awaitable_counts_when_awaited(
        self, make: Make, state: str
    ) -> None:
        breaker = make(initial_state=state)
        waiting: Awaitable[int] = breaker.call(lambda: asyncio.sleep(0, 7))
        assert breaker.counts.calls == 0
        assert await waiting == 7
        assert breaker.counts.calls == 1

    async def test_its_failure_counts_when_awaited(self, make: Make) -> None:
        breaker = make(failure_threshold=1)

        async def fails() -> None:
            raise OSError("down")

        waiting = breaker.call(functools.partial(plainly, fails))
        with pytest.raises(OSError, match="down"):
            await waiting
        assert breaker.state == "open"

    async def test_its_trial_is_taken_when_awaited(self, make: Make) -> None:
        breaker = make(initial_state="half_open")
        first = breaker.call(lambda: asyncio.sleep(0, 1))
        second = breaker.call(lambda: asyncio.sleep(0, 2))
        assert await first == 1
        assert breaker.state == "closed"
        breaker.force_open()
        with pytest.raises(CircuitOpenError):
            await second

    async def test_an_awaitable_that_is_no_coroutine_works_as_well(self, make: Make) -> None:
        breaker = make()
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(3)
        assert await breaker.call(lambda: future) == 3
        assert breaker.counts.successes == 1

    def test_a_full_path_through_listeners_behaves_the_same(self, make: Make) -> None:
        recorder = StateRecorder()
        breaker = make(listeners=[recorder], slow_call_seconds=5.0)
        assert breaker.call(int, "4") == 4
        assert recorder.told == ["success"]
        assert recorder.events[0].duration == 0.0


class TestDecorator:
    def test_a_function_keeps_name_doc_signature_and_kind(self, make: Make) -> None:
        breaker = make()

        def function(a: int, *, b: str = "x") -> str:
            """It repeats."""
            return b * a

        wrapped = breaker(function)
        assert wrapped(2) == "xx"
        assert wrapped(a=3, b="y") == "yyy"
        assert (wrapped.__name__, wrapped.__doc__) == ("function", "It repeats.")
        assert inspect.signature(wrapped) == inspect.signature(function)
        assert wrapped.__wrapped__ is function  # type: ignore[attr-defined]

    def test_kinds_are_kept_for_everybody_who_looks(self, make: Make) -> None:
        breaker = make()

        @breaker
        def plain() -> None: ...

        @breaker
        async def coroutine() -> None: ...

        @breaker
        def generator() -> Any:
            yield

        @breaker
        async def stream() -> Any:
            yield

        assert inspect.iscoroutinefunction(coroutine)
        assert inspect.isgeneratorfunction(generator)
        assert inspect.isasyncgenfunction(stream)
        assert not inspect.iscoroutinefunction(plain)
        assert not inspect.isgeneratorfunction(plain)

    async def test_methods_and_their_relatives(self, make: Make) -> None:
        breaker = make()

        class Service:
            factor = 2

            @breaker
            def plain(self, number: int) -> int:
                return number * self.factor

            @breaker
            async def coroutine(self, number: int) -> int:
                return number * self.factor

            @breaker
            @classmethod
            def of_class(cls, number: int) -> int:
                return number * cls.factor

            @classmethod
            @breaker
            def of_class_inside(cls, number: int) -> int:
                return number * cls.factor

            @breaker
            @staticmethod
            def static(number: int) -> int:
                return number

        service = Service()
        assert (service.plain(1), await service.coroutine(2), service.static(5)) == (2, 4, 5)
        assert (Service.of_class(3), service.of_class_inside(4)) == (6, 8)
        assert breaker.counts.successes == 5

    def test_a_callable_object_becomes_a_function_of_its_kind(self, make: Make) -> None:
        breaker = make()
        wrapped, awaited = breaker(Client(3)), breaker(AsyncClient())
        assert wrapped(4) == 12
        assert inspect.iscoroutinefunction(awaited)
        assert wrapped.__name__ == "Client"
        partial = breaker(functools.partial(Client.multiply, Client(2)))
        assert (partial(5), partial.__name__) == (10, "multiply")

    @pytest.mark.parametrize("thing", [7, "text", int, None])
    def test_what_is_no_function_is_refused(self, make: Make, thing: Any) -> None:
        with pytest.raises(TypeError, match="is not a function, method or callable object"):
            make()(thing)

    def test_circuit_breaker_names_the_breaker_after_the_function(self) -> None:
        @circuit_breaker(failure_threshold=3)
        def function() -> int:
            return 1

        assert function() == 1
        assert function.breaker.name == f"{__name__}.{function.__qualname__}"  # type: ignore[attr-defined]
        assert function.breaker.policy.failure_threshold == 3
        assert circuit_breaker("given")(int.bit_length).breaker.name == "given"

    def test_circuit_breaker_takes_what_a_breaker_takes(self, clock: ManualClock) -> None:
        recorder = StateRecorder()

        @circuit_breaker("name", clock=clock, seed=1, listeners=[recorder], category="export",
                         fallback=lambda error: -1, policy=None, failure_threshold=1)  # fmt: skip
        def function() -> int:
            raise OSError

        assert (function(), function()) == (-1, -1)
        assert recorder.told == ["failure", "transition", "rejected"]
        assert function.breaker.category == "export"

    def test_circuit_breaker_names_partials_and_objects(self) -> None:
        assert circuit_breaker()(functools.partial(int, "7")).breaker.name == "builtins.int"
        assert circuit_breaker()(Client(2)).breaker.name == f"{__name__}.Client"

    def test_circuit_breaker_needs_its_parentheses(self) -> None:
        with pytest.raises(TypeError, match="needs parentheses"):
            circuit_breaker(lambda: None)  # type: ignore[arg-type]

    async def test_circuit_breaker_works_on_methods(self) -> None:
        class Service:
            @circuit_breaker()
            def plain(self, number: int) -> int:
                return number

            @circuit_breaker()
            async def coroutine(self, number: int) -> int:
                return number

        service = Service()
        assert (service.plain(1), await service.coroutine(2)) == (1, 2)
        assert Service.plain.breaker.counts.successes == 1


class TestBlocks:
    def test_a_block_is_a_call(self, make: Make) -> None:
        breaker = make(failure_threshold=2)
        with breaker:
            assert breaker.counts.in_flight == 1
        with pytest.raises(OSError, match="down"), breaker:
            raise OSError("down")
        counts = breaker.counts
        assert (counts.calls, counts.successes, counts.failures, counts.in_flight) == (2, 1, 1, 0)

    def test_a_rejected_block_does_not_run(self, make: Make) -> None:
        breaker = make(initial_state="open")
        with pytest.raises(CircuitOpenError), breaker:
            pytest.fail("it ran")

    async def test_an_async_block_is_a_call(self, make: Make) -> None:
        breaker = make(initial_state="half_open")
        async with breaker:
            await asyncio.sleep(0)
            assert breaker.counts.in_flight == 1
        assert breaker.state == "closed"
        with pytest.raises(OSError, match="down"):
            async with breaker:
                raise OSError("down")
        assert (breaker.counts.successes, breaker.counts.failures) == (1, 1)

    async def test_the_result_given_is_judged(self, make: Make) -> None:
        breaker = make(is_failure=lambda status: status >= 500)
        with breaker as call:
            call.set_result(200)
        async with breaker as call:
            call.set_result(503)
        with breaker:
            pass
        assert (breaker.counts.successes, breaker.counts.failures) == (2, 1)

    def test_a_predicate_that_raises_is_surfaced_at_the_end(self, make: Make) -> None:
        breaker = make(is_failure=lambda status: status["code"])
        with pytest.raises(KeyError), breaker as call:
            call.set_result({})
        assert breaker.counts.failures == 1

    async def test_an_async_block_has_the_call_timeout(self, make: Make) -> None:
        breaker = make(call_timeout=0.001)
        with pytest.raises(TimeoutError):
            async with breaker:
                await asyncio.Event().wait()
        assert (breaker.counts.failures, breaker.counts.in_flight) == (1, 0)
        assert breaker.get_state()["last_failure_reason"] == "timeout"
        async with breaker:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        assert breaker.counts.failures == 2, "it swallowed its cancellation, but it was late"
        async with breaker:
            pass
        with pytest.raises(KeyError):
            async with breaker:
                raise KeyError
        assert (breaker.counts.successes, breaker.counts.failures) == (1, 3)

    async def test_a_block_inside_a_block_leaves_the_timeout_running(self, make: Make) -> None:
        breaker = make(call_timeout=0.001)

        async def waits() -> None:
            async with breaker:
                async with breaker:
                    pass
                await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            await waits()
        assert breaker.counts.failures == 1

    def test_a_timeout_that_cannot_start_loses_no_permit(self, make: Make) -> None:
        breaker = make(call_timeout=1.0, initial_state="half_open")
        for coroutine in (breaker.__aenter__(), breaker.call(asyncio.sleep, 0)):
            with pytest.raises(RuntimeError, match="no running event loop"):
                coroutine.send(None)
        assert breaker.counts.in_flight == 0
        assert breaker.try_acquire() is not None

    def test_a_timeout_outside_a_task_loses_no_permit(self, make: Make) -> None:
        block, call = make(call_timeout=1.0), make(call_timeout=1.0)
        failed: list[str] = []

        def without_a_task() -> None:
            for coroutine in (block.__aenter__(), call.call(asyncio.sleep, 0)):
                try:
                    coroutine.send(None)
                except RuntimeError as error:
                    failed.append(str(error))

        loop = asyncio.new_event_loop()
        loop.call_soon(without_a_task)
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        assert failed == ["Timeout should be used inside a task"] * 2
        assert (block.counts.in_flight, call.counts.in_flight) == (0, 0)

    def test_a_block_is_slow_when_it_takes_long(self, make: Make, clock: ManualClock) -> None:
        breaker = make(slow_call_seconds=1.0)
        with breaker:
            clock.advance(1.5)
        with breaker:
            clock.advance(1.0)
        assert (breaker.counts.slow_calls, breaker.counts.successes) == (1, 2)

    def test_leaving_a_block_that_nobody_entered_does_nothing(self, make: Make) -> None:
        breaker = make()
        breaker.__exit__(None, None, None)
        assert breaker.counts.calls == 0

    def test_a_window_block_counts_like_a_call(self, make: Make, clock: ManualClock) -> None:
        breaker = make(kind="time", minimum_calls=4)
        for _ in range(4):
            with breaker:
                clock.advance(0.1)
        assert breaker.counts.failure_ratio == 0.0


def test_durations_are_measured_only_when_wanted(make: Make) -> None:
    class Counting(ManualClock):
        reads = 0

        def monotonic(self) -> float:
            self.reads += 1
            return super().monotonic()

    clock = Counting()
    plain = make(clock=clock)
    call = plain(lambda: None)
    call()
    clock.reads = 0
    call()
    assert clock.reads == 0


def test_a_breaker_shows_its_name_and_state(make: Make) -> None:
    breaker = make(category="check")
    assert repr(breaker) == "<CircuitBreaker 'target' closed>"
    assert (breaker.name, breaker.category) == ("target", "check")
    assert isinstance(breaker, CircuitBreaker)


async def test_a_coroutine_function_that_is_called_once_gets_its_keywords(make: Make) -> None:
    async def work(first: int, *, second: int) -> tuple[int, int]:
        return first, second

    assert await make().call(work, 1, second=2) == (1, 2)


@pytest.mark.parametrize("result", [object(), OSError("given back"), iter("abc"), int, ...])
def test_a_plain_function_may_return_anything(make: Make, result: object) -> None:
    breaker = make()
    assert breaker.call(lambda: result) is result
    assert breaker(lambda: result)() is result
    assert breaker.counts.successes == 2
