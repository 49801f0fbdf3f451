"""R22: threads and tasks at once; no lock while the caller's code runs."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from cbmon import BreakerPolicy, CircuitBreaker, CircuitOpenError
from cbmon.testing import ManualClock, StateRecorder
from tests.unit.breaker.support import Make


@pytest.fixture(autouse=True)
def switching_all_the_time() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def together(number: int, function: Callable[[int], None]) -> None:
    barrier = threading.Barrier(number)
    errors: list[BaseException] = []

    def run(index: int) -> None:
        barrier.wait()
        try:
            function(index)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("fields", [
    {}, {"kind": "percentage"}, {"kind": "time"}, {"kind": "time", "slow_call_seconds": 1.0},
    {"kind": "adaptive", "adaptive_rules": ("error_rate", "throttling", "latency")},
], ids=lambda fields: "-".join(map(str, fields.values())) or "count")  # fmt: skip
def test_32_threads_lose_no_call(fields: dict[str, Any]) -> None:
    limits: dict[str, Any] = {"failure_threshold": 10**6, "failure_rate_threshold": 1.0}
    breaker = CircuitBreaker("x", BreakerPolicy(**limits, adaptive_ceiling=1.0, **fields))
    breaker.observe()
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.append(breaker.counts.calls)

    @breaker
    def call(failing: bool) -> None:
        if failing:
            raise OSError

    def run(index: int) -> None:
        for number in range(300):
            with suppress(OSError):
                call(number % 10 == index % 10)

    watcher = threading.Thread(target=watch)
    watcher.start()
    together(32, run)
    done.set()
    watcher.join()
    counts = breaker.counts
    assert (counts.calls, counts.successes, counts.failures) == (9600, 8640, 960)
    assert (counts.in_flight, breaker._core.owners, breaker._core.machine.inside) == (0, {}, None)
    assert seen == sorted(seen), "a total went down while calls were running"
    if breaker._core.machine.window is not None:
        assert breaker._core.machine.window.calls == (
            100 if fields["kind"] == "percentage" else 9600
        )


async def test_100_tasks_lose_no_call() -> None:
    breaker = CircuitBreaker("x", failure_threshold=10**6)

    @breaker
    async def call(failing: bool) -> None:
        await asyncio.sleep(0)
        if failing:
            raise OSError

    async def run(index: int) -> None:
        for number in range(100):
            with suppress(OSError):
                await call(number % 10 == index % 10)

    await asyncio.gather(*map(run, range(100)))
    counts = breaker.counts
    assert (counts.calls, counts.successes, counts.failures) == (10_000, 9_000, 1_000)
    assert counts.in_flight == 0


def test_20_threads_that_fail_together_make_one_transition(make: Make) -> None:
    for kind in ("count", "percentage"):
        recorder = StateRecorder()
        policy = BreakerPolicy(kind=kind, failure_threshold=5, minimum_calls=5)
        breaker = make(policy=policy, listeners=[recorder])
        inside = threading.Barrier(20)

        @breaker
        def fails(inside: threading.Barrier = inside) -> None:
            inside.wait()
            raise OSError

        def run(_: int, fails: Callable[[], None] = fails) -> None:
            with pytest.raises(OSError):  # noqa: PT011
                fails()

        together(20, run)
        assert recorder.moves == [("closed", "open")]
        counts = breaker.counts
        assert (counts.failures, counts.stale, counts.trips) == (5, 15, 1)


def test_one_of_50_threads_gets_the_trial(make: Make, clock: ManualClock) -> None:
    breaker = make(initial_state="open", recovery_timeout=1.0)
    clock.advance(1.0)
    ran: list[int] = []
    turned_away: list[int] = []
    everybody_tried = threading.Event()

    @breaker
    def trial(index: int) -> None:
        ran.append(index)
        everybody_tried.wait()

    def run(index: int) -> None:
        try:
            trial(index)
        except CircuitOpenError:
            turned_away.append(index)
            if len(turned_away) == 49:
                everybody_tried.set()

    together(50, run)
    assert (len(ran), len(turned_away)) == (1, 49)
    assert breaker.state == "closed"


@pytest.mark.parametrize("trials", [1, 3])
async def test_n_of_50_tasks_get_the_trials(make: Make, trials: int) -> None:
    breaker = make(initial_state="half_open", half_open_max_calls=trials)
    gate = asyncio.Event()

    @breaker
    async def trial() -> str:
        await gate.wait()
        return "ran"

    tasks = [asyncio.create_task(trial()) for _ in range(50)]
    await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results.count("ran") == trials
    assert sum(isinstance(result, CircuitOpenError) for result in results) == 50 - trials


class Elsewhere:
    """Uses the breaker from another thread, which would hang if a lock were held here."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.breaker = breaker
        self.states: list[str] = []

    def __call__(self, *_: object) -> bool:
        thread = threading.Thread(
            target=lambda: self.states.append(self.breaker.get_state()["state"])
        )
        thread.start()
        thread.join(10)
        return False


@pytest.mark.parametrize("state", ["closed", "half_open"])
def test_no_lock_is_held_while_call_predicate_listener_or_fallback_run(
    make: Make, state: str
) -> None:
    breaker = make(initial_state=state, half_open_max_calls=10)
    elsewhere = Elsewhere(breaker)
    breaker.call(elsewhere)
    breaker.reconfigure(breaker.policy.replace(is_failure=elsewhere))
    breaker.add_listener(elsewhere)
    breaker.call(int)
    breaker._core.fallback = elsewhere
    breaker.call(int, "x")
    assert len(elsewhere.states) == 5 + (state == "half_open")


def test_a_finaliser_inside_the_section_does_not_deadlock(make: Make) -> None:
    """The collector may close an abandoned stream of the same breaker at any allocation."""
    breaker = make()

    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    class Abandoned:
        def __init__(self) -> None:
            self.me = self
            self.items = breaker(numbers)()
            next(self.items)

    Abandoned()
    with breaker._core.lock:
        gc.collect()
    assert (breaker.counts.successes, breaker.counts.in_flight) == (1, 0)


def test_a_call_that_finishes_while_they_are_counted_is_counted_once(make: Make) -> None:
    breaker = make()
    machine = breaker._core.machine

    class Finishing(dict[object, Any]):
        """A call ends between two reads, once."""

        def __len__(self) -> int:
            if machine.successes == 0:
                machine.successes = 1
                return 1
            return 0

    breaker._core.owners = Finishing()
    assert (breaker.counts.calls, breaker.counts.in_flight) == (1, 0)


def test_events_of_many_threads_come_one_at_a_time_and_in_order(make: Make) -> None:
    inside = 0
    most = 0
    kinds: list[str] = []

    def listener(event: Any) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        kinds.append(event.kind)
        inside -= 1

    breaker = make(listeners=[listener], failure_threshold=10**6)

    def run(_: int) -> None:
        for _ in range(200):
            breaker.call(int)

    together(8, run)
    assert (most, len(kinds)) == (1, 1600)


def test_a_listener_may_use_the_breaker(make: Make) -> None:
    told: list[tuple[str, str]] = []

    def listener(event: Any) -> None:
        told.append((event.kind, str(breaker.state)))
        if event.kind == "transition" and event.to_state == "open":
            breaker.half_open()

    breaker = make(failure_threshold=1)
    breaker.add_listener(listener, ["transition"])
    with pytest.raises(ValueError, match="invalid literal"):
        breaker.call(int, "x")
    assert told == [("transition", "open"), ("transition", "half_open")]
