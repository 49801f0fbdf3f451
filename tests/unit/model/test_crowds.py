"""R22: many threads or tasks at once lose no call, make one move, and share the trials exactly."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cbmon import CircuitBreaker, CircuitOpenError, State
from cbmon.testing import ManualClock, StateRecorder

KINDS = ["count", "time", "percentage", "adaptive"]
TASKS, THREADS, CALLS = 100, 32, 100_000


@pytest.fixture(autouse=True)
def threads_switch_all_the_time() -> Iterator[None]:
    """Ten thousand times more often than by default, so that a race has its chance."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-7)
    yield
    sys.setswitchinterval(before)


def never_trips(kind: str) -> CircuitBreaker:
    fields: dict[str, Any] = {"kind": kind}
    if kind == "count":
        fields["failure_threshold"] = 1_000_000
    elif kind != "adaptive":
        fields |= {"failure_rate_threshold": 1.0, "minimum_calls": 50}
    breaker = CircuitBreaker("crowd", **fields)
    if kind == "adaptive":
        breaker.observe()
    return breaker


def in_threads(count: int, work: Callable[[int], object]) -> None:
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(30)
            work(number)
        except BaseException as error:  # noqa: BLE001 (told below)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_hundred_thousand_calls_from_a_hundred_tasks_are_all_counted(kind: str) -> None:
    breaker = never_trips(kind)

    @breaker
    async def call(fails: bool) -> None:
        if fails:
            await asyncio.sleep(0)
            raise OSError

    async def work(number: int) -> None:
        for turn in range(CALLS // TASKS):
            with contextlib.suppress(OSError):
                await call((turn + number) % 10 == 0)

    await asyncio.gather(*(work(number) for number in range(TASKS)))
    counts = breaker.counts
    assert (counts.calls, counts.failures) == (CALLS, CALLS // 10)
    assert counts.calls == counts.successes + counts.failures
    assert (counts.in_flight, counts.rejections, counts.stale) == (0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_thousand_calls_from_32_threads_are_all_counted(kind: str) -> None:
    breaker = never_trips(kind)

    @breaker
    def call(fails: bool) -> None:
        if fails:
            raise OSError

    def work(number: int) -> None:
        for turn in range(CALLS // THREADS):
            with contextlib.suppress(OSError):
                call((turn + number) % 10 == 0)

    in_threads(THREADS, work)
    counts = breaker.counts
    assert CALLS == counts.calls == counts.successes + counts.failures
    assert (counts.in_flight, counts.rejections, counts.stale) == (0, 0, 0)


def test_calls_that_trip_and_recover_all_the_time_are_all_accounted_for() -> None:
    breaker = CircuitBreaker(
        "crowd", failure_threshold=2, recovery_timeout=1e-6, half_open_max_calls=2
    )
    tried = [0] * 16
    rejected = [0] * 16

    def work(number: int) -> None:
        for turn in range(2000):
            tried[number] += 1
            try:
                breaker.call(_fail_sometimes, turn)
            except OSError:
                pass
            except CircuitOpenError:
                rejected[number] += 1

    in_threads(16, work)
    counts = breaker.counts
    assert sum(tried) == counts.calls + counts.rejections
    assert sum(rejected) == counts.rejections
    assert counts.calls == counts.successes + counts.failures + counts.stale
    assert counts.in_flight == 0


def _fail_sometimes(turn: int) -> None:
    if turn % 3 == 0:
        raise OSError


def test_twenty_threads_that_fail_together_make_one_transition() -> None:
    recorder = StateRecorder()
    breaker = CircuitBreaker("crowd", failure_threshold=5, listeners=[recorder])
    inside = threading.Barrier(20)

    def fail() -> None:
        inside.wait(10)
        raise OSError

    def work(number: int) -> None:
        with pytest.raises(OSError):  # noqa: PT011 (the breaker's own error would fail the test)
            breaker.call(fail)

    in_threads(20, work)
    assert recorder.moves == [("closed", "open")]
    assert breaker.counts.trips == 1
    assert breaker.counts.failures + breaker.counts.stale == 20


async def test_twenty_tasks_that_fail_together_make_one_transition() -> None:
    recorder = StateRecorder()
    breaker = CircuitBreaker("crowd", failure_threshold=5, listeners=[recorder])
    gate = asyncio.Event()

    @breaker
    async def fail() -> None:
        await gate.wait()
        raise OSError

    calls = [asyncio.create_task(fail()) for _ in range(20)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*calls, return_exceptions=True)
    assert recorder.moves == [("closed", "open")]


@pytest.mark.parametrize("trials", [1, 3, 10])
async def test_fifty_tasks_at_the_deadline_make_exactly_n_trials(trials: int) -> None:
    clock = ManualClock()
    breaker = CircuitBreaker("crowd", recovery_timeout=5, half_open_max_calls=trials, clock=clock)
    breaker.open()
    clock.advance(5)
    ran, gate = 0, asyncio.Event()

    @breaker
    async def call() -> None:
        nonlocal ran
        ran += 1
        await gate.wait()

    calls = [asyncio.create_task(call()) for _ in range(50)]
    await asyncio.sleep(0)
    gate.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert trials == ran
    assert 50 - trials == sum(isinstance(answer, CircuitOpenError) for answer in answers)
    assert State.CLOSED is breaker.state


@pytest.mark.parametrize("trials", [1, 3, 10])
def test_fifty_threads_at_the_deadline_make_exactly_n_trials(trials: int) -> None:
    clock = ManualClock()
    breaker = CircuitBreaker("crowd", recovery_timeout=5, half_open_max_calls=trials, clock=clock)
    breaker.open()
    clock.advance(5)
    all_asked, asked = threading.Event(), threading.Semaphore(0)
    ran: list[int] = []
    rejected: list[int] = []

    def trial(number: int) -> None:
        ran.append(number)
        asked.release()
        all_asked.wait(10)

    def work(number: int) -> None:
        try:
            breaker.call(trial, number)
        except CircuitOpenError:
            rejected.append(number)
            asked.release()

    def conduct() -> None:
        for _ in range(50):
            asked.acquire(timeout=10)
        all_asked.set()

    conductor = threading.Thread(target=conduct)
    conductor.start()
    in_threads(50, work)
    conductor.join(10)
    assert (trials, 50 - trials) == (len(ran), len(rejected))
    assert State.CLOSED is breaker.state
