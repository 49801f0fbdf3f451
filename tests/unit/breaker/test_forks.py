"""A child made by ``fork``: what was under way in the parent is not the child's."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cbmon import BreakerRegistry, Bulkhead, CircuitBreaker, CircuitOpenError, State
from cbmon.breaker import forking
from cbmon.resilience import BulkheadRegistry, RetryBudget
from cbmon.watch import BreakerMonitor


def in_child(work: Callable[[], Any]) -> str:
    """What ``work`` gives in a child made now; "hung" after some seconds."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        pid = os.fork()
    if pid == 0:  # pragma: no cover - in the child nobody counts lines
        signal.alarm(10)
        try:
            said = repr(work())
        except BaseException as error:  # noqa: BLE001 - told to the parent
            said = repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(pid, 0)
    said = os.read(reading, 10_000).decode()
    os.close(reading)
    return said if status == 0 else "hung"


class Held:
    """A thread that is in the middle of something."""

    def __init__(self, enter: Callable[[Callable[[], None]], object]) -> None:
        self.inside, self.go = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=enter, args=(self.wait,))
        self.thread.start()
        assert self.inside.wait(10)

    def wait(self) -> None:
        self.inside.set()
        self.go.wait(30)

    def end(self) -> None:
        self.go.set()
        self.thread.join(10)


@pytest.fixture
def hold() -> Iterator[Callable[..., Held]]:
    held: list[Held] = []

    def begin(enter: Callable[[Callable[[], None]], object]) -> Held:
        held.append(Held(enter))
        return held[-1]

    yield begin
    for each in held:
        each.end()


def test_a_lock_that_another_thread_holds_is_free_in_the_child(hold: Any) -> None:
    breaker, registry, budget = CircuitBreaker("it"), BreakerRegistry(max_keys=3), RetryBudget()
    pools, monitor = BulkheadRegistry(), BreakerMonitor([])
    for lock in (breaker._core.lock, registry._lock, budget._lock, pools._lock, monitor._lock):

        def enter(wait: Callable[[], None], lock: Any = lock) -> None:
            with lock:
                wait()

        hold(enter)

    def work() -> Any:
        budget.deposit()
        pools.get("a")
        monitor.check()
        monitor.start()
        return breaker.counts.calls, registry.get("a").state.value

    assert in_child(work) == "(0, 'closed')"


def test_a_trial_of_the_parent_is_not_the_childs(hold: Any) -> None:
    breaker = CircuitBreaker("it", initial_state="half_open")
    held = hold(breaker.call)
    assert in_child(lambda: (breaker.call(int, "1"), breaker.state.value)) == "(1, 'closed')"
    with pytest.raises(CircuitOpenError):
        breaker.call(int, "1")
    held.end()
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_call_of_the_parent_nests_nothing_in_the_child(hold: Any, asynchronous: bool) -> None:
    breaker = CircuitBreaker("it")
    hold(breaker.call)

    async def coroutine() -> int:
        return 1

    def work() -> Any:
        if asynchronous:
            asyncio.run(_all(breaker.call(coroutine) for _ in range(3)))
        else:
            thread = threading.Thread(target=lambda: [breaker.call(int, "1") for _ in range(3)])
            thread.start()  # with the number, it may be, of the one that was left behind
            thread.join()
        counts = breaker.counts
        return counts.successes, counts.in_flight, counts.stale

    assert in_child(work) == "(3, 0, 0)"


async def _all(calls: Any) -> None:
    await asyncio.gather(*calls)


def test_the_forking_call_itself_goes_on_in_both_and_counts_in_one() -> None:
    breaker = CircuitBreaker("it", initial_state="half_open", half_open_max_calls=3)
    permit = breaker.try_acquire()
    assert permit is not None

    def both() -> str:
        def work() -> Any:
            breaker.call(int, "1")  # its own call, not one inside the parent's
            breaker.record(permit, failed=True)
            return breaker.counts.successes, breaker.counts.stale, breaker.counts.in_flight

        return in_child(work)

    def child_goes_on() -> Any:
        with breaker:
            return in_child(lambda: _leave(breaker))

    assert breaker.call(both) == "(1, 1, 0)"
    assert (breaker.counts.successes, breaker.counts.stale) == (1, 0)
    assert child_goes_on() == "(0, 0)"


def _leave(breaker: CircuitBreaker) -> Any:
    breaker.poll()
    before = breaker.counts.in_flight
    breaker.__exit__(None, None, None)
    return before, breaker.counts.successes - breaker.counts.successes


def test_tasks_of_a_child_that_was_forked_in_a_task_are_not_that_task() -> None:
    breaker = CircuitBreaker("it")

    @breaker
    async def work() -> None:
        await asyncio.sleep(0)

    async def several() -> int:
        await asyncio.gather(*(work() for _ in range(5)))
        return breaker.counts.calls

    async def main() -> str:
        await work()
        return in_child(lambda: asyncio.run(several()))

    assert asyncio.run(main()) == "6"


def test_generators_that_began_in_the_parent_are_stale_in_the_child() -> None:
    breaker = CircuitBreaker("it")

    @breaker
    def items() -> Iterator[int]:
        yield 1
        breaker.reset()  # so that the child finds out in the middle
        yield 2

    begun = items()
    assert next(begun) == 1
    assert in_child(lambda: (list(begun), breaker.counts.successes, breaker.counts.stale)) == (
        "([2], 0, 1)"
    )
    assert list(begun) == [2]


def test_listeners_are_told_in_a_child_that_was_forked_while_they_were(hold: Any) -> None:
    told: list[str] = []
    breaker = CircuitBreaker("it")
    wait = threading.Event()

    def listen(event: Any) -> None:
        told.append(event.kind)
        wait.wait(10)

    breaker.add_listener(listen, kinds=["reset"])

    def enter(inside: Callable[[], None]) -> None:
        threading.Timer(0.0, inside).start()
        breaker.reset()

    hold(enter)
    while not told:
        threading.Event().wait(0.001)

    def work() -> Any:
        wait.set()
        told.clear()
        breaker.reset()
        return told

    assert in_child(work) == "['reset']"
    wait.set()


def test_a_bulkhead_is_empty_in_the_child(hold: Any) -> None:
    pool = Bulkhead("it", max_concurrent_calls=1)
    hold(pool.call)

    def work() -> Any:
        pool.call(int, "1")
        pool.release()  # of a place that was taken in the parent
        return pool.in_flight

    assert in_child(work) == "0"


def test_jitter_is_another_one_in_each_child_unless_it_was_seeded() -> None:
    breaker = CircuitBreaker("it", recovery_jitter=0.9)
    seeded = CircuitBreaker("it", recovery_jitter=0.9, seed=1)
    for each in (breaker, seeded):
        each.open()
        each.close()

    def work(it: CircuitBreaker) -> Any:
        it.open()
        return it.counts.openings, round(it.retry_after or 0, 1)

    assert in_child(lambda: work(breaker)) != in_child(lambda: work(breaker))
    assert in_child(lambda: work(seeded)) == in_child(lambda: work(seeded))


def test_a_lock_of_this_very_thread_stays_locked() -> None:
    """So that a finaliser that forks in the middle of a section can leave it in the child."""
    lock = forking.shared_lock()

    def work() -> Any:
        lock.release()
        return "released"

    with lock:
        assert in_child(work) == "'released'"


# --- the same without a fork, so that what the child does is seen to be done --------------------


def test_a_child_leaves_what_is_the_parents() -> None:
    seeded = CircuitBreaker("seeded", recovery_jitter=0.5, seed=7, initial_state="half_open")
    unseeded = CircuitBreaker("unseeded", recovery_jitter=0.5, initial_state="open")
    registry = BreakerRegistry(max_keys=2)
    permit, known = seeded.try_acquire(), registry.get("a")
    assert permit is not None
    lock, machine = registry._lock, unseeded._core.machine
    assert machine.seed is not None
    with seeded._core.lock:
        forking.in_child()
    assert registry._lock is not lock
    assert registry.get("a") is known
    assert (seeded.counts.in_flight, unseeded.counts.in_flight) == (0, 0)
    assert [seeded._core.machine.seed, machine.seed] == [7, None]
    seeded._core.come_along()  # another thread of the child was faster
    seeded.record(permit, failed=True)
    assert (seeded.counts.stale, seeded.counts.in_flight, seeded.state) == (1, 0, State.HALF_OPEN)
    assert seeded.call(int, "1") == 1


def test_trials_begin_anew_in_a_child() -> None:
    breaker = CircuitBreaker("it", initial_state="half_open", half_open_max_calls=3)
    assert [breaker.try_acquire() is None for _ in range(4)] == [False, False, False, True]
    forking.in_child()
    taken = [breaker.try_acquire() for _ in range(4)]
    assert [one is None for one in taken] == [False, False, False, True]
    for one in taken[:3]:
        breaker.record(one or 0, failed=False)
    assert breaker.state is State.CLOSED


def test_what_trials_said_in_the_parent_says_nothing_in_a_child() -> None:
    breaker = CircuitBreaker("it", initial_state="half_open", success_threshold=2)
    for state in (State.HALF_OPEN, State.HALF_OPEN, State.CLOSED):
        breaker.call(int)
        assert breaker.state is state
        if breaker.counts.calls == 1:
            forking.in_child()


def test_a_closed_breaker_has_no_trials_in_a_child() -> None:
    breaker = CircuitBreaker("it")
    forking.in_child()
    assert breaker.call(int) == 0
    assert "0 failures in a row" in breaker.explain()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_whoever_was_inside_is_found_out_by_the_next_call(asynchronous: bool) -> None:
    async def coroutine() -> int:
        return 1

    breaker = CircuitBreaker("it")
    breaker._core.machine.inside = threading.get_ident()  # a thread of the parent had our number
    forking.in_child()
    if asynchronous:
        breaker._core.machine.inside = object()
        assert asyncio.run(breaker.call(coroutine)) == 1
    else:
        assert breaker.call(int, "1") == 1
    assert (breaker.counts.successes, breaker.counts.in_flight) == (1, 0)


async def test_streams_go_on_after_a_fork() -> None:
    breaker = CircuitBreaker("it")

    @breaker
    def items() -> Iterator[int]:
        yield 1
        yield 2

    @breaker
    async def items_async() -> Any:
        yield 1
        forking.in_child()
        breaker.poll()
        breaker.counts  # noqa: B018 - so that it is found out in the middle
        yield 2

    begun = items()
    assert next(begun) == 1
    forking.in_child()
    assert breaker.counts.in_flight == 0
    assert list(begun) == [2]
    assert [item async for item in items_async()] == [1, 2]
    assert (breaker.counts.stale, breaker.counts.successes, breaker.counts.in_flight) == (2, 0, 0)
