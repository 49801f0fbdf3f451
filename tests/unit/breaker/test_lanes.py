"""The lanes do what the full path does, and hand over what is not plain."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbmon import CircuitBreaker, CircuitOpenError
from cbmon.breaker import gate, identity, lanes, specialise
from cbmon.testing import ManualClock
from tests.unit.breaker.support import Driver, Make

KINDS: list[dict[str, Any]] = [
    {"failure_threshold": 3},
    {"kind": "percentage", "window_size": 5, "minimum_calls": 3},
    {"kind": "percentage", "window_size": 5, "slow_call_seconds": 1.0, "minimum_calls": 2},
    {"kind": "time", "window_seconds": 10.0, "minimum_calls": 3},
    {"kind": "time", "window_seconds": 10.0, "slow_call_seconds": 1.0, "minimum_calls": 3},
    {"kind": "adaptive", "window_seconds": 10.0, "minimum_calls": 3, "adaptive_smoothing": 0.3},
    {"kind": "adaptive", "adaptive_rules": ("error_rate", "throttling", "latency"), "seed": 1},
    {"slow_call_seconds": 1.0, "initial_state": "observe"},
]


class Twin:
    """A breaker through its lanes beside one that has none."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.clock = ManualClock()
        self.fast = CircuitBreaker("x", clock=self.clock, **fields)
        self.full = CircuitBreaker("x", clock=self.clock, **fields)
        self.full.add_listener(lambda event: None)
        self.plain = [breaker(self.body) for breaker in (self.fast, self.full)]
        self.coroutines = [breaker(self.coroutine) for breaker in (self.fast, self.full)]

    def body(self, fails: bool) -> None:
        if fails:
            raise OSError

    async def coroutine(self, fails: bool) -> None:
        self.body(fails)

    def step(self, kind: str, fails: bool, pause: float) -> None:
        self.clock.advance(pause)
        results = []
        for plain, coroutine in zip(self.plain, self.coroutines, strict=True):
            try:
                if kind == "plain":
                    plain(fails)
                elif kind == "coroutine":
                    with pytest.raises(StopIteration):
                        coroutine(fails).send(None)
                else:
                    with self.fast if plain is self.plain[0] else self.full:
                        self.body(fails)
                results.append("returned")
            except (OSError, CircuitOpenError) as error:
                results.append(repr(error))
        assert results[0] == results[1]
        fast, full = self.fast.get_state(), self.full.get_state()
        learnt, expected = fast.pop("adaptive"), full.pop("adaptive")
        assert learnt == (None if expected is None else pytest.approx(expected))
        assert fast == full


@pytest.mark.parametrize("fields", KINDS)
@given(steps=st.lists(st.tuples(
    st.sampled_from(["plain", "coroutine", "block"]), st.booleans(),
    st.sampled_from([0.0, 0.0, 0.1, 1.0, 5.0, 100.0])), max_size=60))  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_through_the_lanes_everything_is_as_without_them(
    fields: dict[str, Any], steps: list[tuple[str, bool, float]]
) -> None:
    twin = Twin(fields)
    for step in steps:
        twin.step(*step)


@pytest.mark.parametrize("fields", KINDS[:6])
def test_a_healthy_breaker_needs_no_lock(make: Make, fields: dict[str, Any]) -> None:
    breaker = make(**fields)
    breaker.call(int)
    breaker._core.lock = None
    for _ in range(1000):
        breaker.call(int)
    with breaker:
        pass
    assert breaker._core.machine.successes == 1002


class CountedLock:
    """The breaker's own, and how often it was taken."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.taken = 0

    def __enter__(self) -> None:
        self.taken += 1
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def run_calls(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.call(int)


def run_plain(breaker: CircuitBreaker, times: int) -> None:
    guarded = breaker(lambda word: word)
    for _ in range(times):
        guarded("done")


def run_coroutines(breaker: CircuitBreaker, times: int) -> None:
    @breaker
    async def work(word: str) -> str:
        return word

    async def run() -> None:
        for _ in range(times):
            await work("done")

    asyncio.run(run())


def run_blocks(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with breaker:
            pass


def run_async_blocks(breaker: CircuitBreaker, times: int) -> None:
    async def run() -> None:
        for _ in range(times):
            async with breaker:
                pass

    asyncio.run(run())


def run_permits(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.record(permit, failed=False, duration=0.0)


RUNS = [run_calls, run_plain, run_coroutines, run_blocks, run_async_blocks, run_permits]


@pytest.mark.parametrize("failures", [0, 1])
@pytest.mark.parametrize("fields", KINDS[:5], ids=str)
@pytest.mark.parametrize("run", RUNS)
def test_by_every_way_the_lock_is_hardly_ever_taken(
    make: Make,
    drive: Driver,
    run: Callable[[CircuitBreaker, int], None],
    fields: dict[str, Any],
    failures: int,
) -> None:
    """Without failures never while time stands; with one in the window now and then."""
    breaker = make(**{**fields, "window_size": 1000} if "window_size" in fields else fields)
    drive.run(breaker, "." * 10 + "x" * failures + "." * 10)
    core = breaker._core
    core.lock = lock = CountedLock(core.lock)
    run(breaker, 200)
    assert lock.taken <= (10 if failures else 0)
    assert breaker.counts.successes == 220


def functions_run(breaker: CircuitBreaker, run: Callable[[CircuitBreaker, int], None]) -> float:
    """How many of the engine's Python functions each further call takes."""
    begun = 0

    def note(frame: FrameType, what: str, _: object) -> None:
        nonlocal begun
        begun += what == "call" and frame.f_globals["__name__"].startswith("cbmon.breaker.")

    def counted(times: int) -> int:
        nonlocal begun
        begun = 0
        sys.setprofile(note)
        try:
            run(breaker, times)
        finally:
            sys.setprofile(None)
        return begun

    gc.collect()  # or a finaliser may run something of the engine in between
    run(breaker, 1)  # the first of a process makes what the others use
    return (counted(11) - counted(1)) / 10


COUNT, PERCENTAGE, SLOW, TIME, SLOW_TIME, ADAPTIVE = KINDS[:6]


@pytest.mark.parametrize(
    ("run", "number", "plain", "marred"),
    [
        (run_plain, 1, (COUNT, PERCENTAGE, SLOW, TIME, SLOW_TIME, ADAPTIVE), (TIME, SLOW_TIME)),
        (run_plain, 2, (), (PERCENTAGE, SLOW)),
        (run_coroutines, 1, (COUNT, PERCENTAGE, SLOW, TIME, SLOW_TIME, ADAPTIVE), (TIME, ADAPTIVE)),
        (run_coroutines, 2, (), (PERCENTAGE, SLOW)),
        (run_blocks, 7, (COUNT, PERCENTAGE), (COUNT,)),
        (run_async_blocks, 2, (COUNT, PERCENTAGE), (COUNT, PERCENTAGE)),
        (run_permits, 4, (COUNT, PERCENTAGE, SLOW, TIME, SLOW_TIME), (COUNT, PERCENTAGE, TIME)),
    ],
)
def test_a_success_takes_no_more_of_the_engine_than_its_lane(
    make: Make,
    drive: Driver,
    run: Callable[[CircuitBreaker, int], None],
    number: int,
    plain: tuple[dict[str, Any], ...],
    marred: tuple[dict[str, Any], ...],
) -> None:
    """Once the first failure is in the window, too."""
    for outcomes, chosen in (("." * 20, plain), (".........x..........", marred)):
        for fields in chosen:
            wide = {**fields, "window_size": 1000} if "window_size" in fields else fields
            breaker = make(**wide)
            drive.run(breaker, outcomes)
            assert functions_run(breaker, run) == number, fields


@pytest.mark.parametrize("run", RUNS)
def test_a_failure_leaves_the_window_with_the_success_that_is_one_too_many(
    make: Make, drive: Driver, run: Callable[[CircuitBreaker, int], None]
) -> None:
    """Nobody looks meanwhile: a look counts what the lanes have not told."""
    for successes in range(13):
        breaker = make(kind="percentage", window_size=10, minimum_calls=3)
        drive.run(breaker, "...x..")
        run(breaker, successes)
        counts = breaker.counts
        assert counts.failure_count == (successes < 8)
        assert counts.failure_ratio == (successes < 8) / min(10, 6 + successes)


@pytest.mark.parametrize("run", RUNS)
def test_a_success_at_the_edge_of_a_bucket_is_in_the_next_one(
    make: Make, drive: Driver, clock: ManualClock, run: Callable[[CircuitBreaker, int], None]
) -> None:
    breaker = make(kind="time", window_seconds=12.0)
    drive.run(breaker, "." * 10)
    clock.advance(1.0)
    run(breaker, 1)
    assert [row[1] for row in breaker.snapshot()["window"]] == [10, 1]


class Ticking(ManualClock):
    """A clock that goes on by so many seconds whenever it is read."""

    def __init__(self, seconds: float) -> None:
        super().__init__(start=100.0)
        self.seconds = seconds

    def monotonic(self) -> float:
        self.advance(self.seconds)
        return super().monotonic()


@pytest.mark.parametrize("run", [run_plain, run_coroutines, run_blocks, run_async_blocks])
def test_a_call_as_long_as_one_may_be_costs_what_a_short_one_costs(
    run: Callable[[CircuitBreaker, int], None],
) -> None:
    breakers = [
        CircuitBreaker("it", clock=Ticking(seconds), slow_call_seconds=1.0)
        for seconds in (0.25, 1.0)
    ]
    short, longest = (functions_run(breaker, run) for breaker in breakers)
    assert short == longest
    assert breakers[1].counts.slow_calls == 0


def test_a_driver_may_tell_the_longest_duration_without_a_lock(make: Make) -> None:
    breaker = make(slow_call_seconds=1.0)
    permit = breaker.try_acquire()
    assert permit is not None
    breaker._core.lock = lock = CountedLock(breaker._core.lock)
    breaker.record(permit, failed=False, duration=1.0)
    assert lock.taken == 0
    assert breaker.counts.slow_calls == 0


def test_an_open_breaker_rejects_without_a_lock(make: Make, clock: ManualClock) -> None:
    breaker = make(initial_state="open")
    call = breaker(lambda: 1)
    breaker._core.lock = None
    for _ in range(3):
        with pytest.raises(CircuitOpenError):
            call()
        clock.advance(1.0)
    assert breaker._core.machine.rejections == 3


def test_so_it_does_coroutine_functions(make: Make, clock: ManualClock) -> None:
    breaker = make(initial_state="open")

    @breaker
    async def work() -> None:
        raise AssertionError

    breaker._core.lock = None
    for _ in range(3):
        with pytest.raises(CircuitOpenError):
            asyncio.run(work())
        clock.advance(1.0)
    assert breaker._core.machine.rejections == 3


def test_a_clock_that_goes_back_makes_no_wait_longer(make: Make, clock: ManualClock) -> None:
    breaker = make(initial_state="open", recovery_timeout=60.0)

    @breaker
    async def work() -> None:
        raise AssertionError

    @breaker
    def plain() -> None:
        raise AssertionError

    clock._monotonic -= 10.0
    with pytest.raises(CircuitOpenError) as told:
        plain()
    assert told.value.retry_after == 60.0
    with pytest.raises(CircuitOpenError) as told:
        asyncio.run(work())
    assert told.value.retry_after == 60.0


LOOKS: dict[str, Callable[[CircuitBreaker], object]] = {
    "counts": lambda breaker: breaker.counts,
    "get_state": lambda breaker: breaker.get_state(),
    "explain": lambda breaker: breaker.explain(),
    "snapshot": lambda breaker: breaker.snapshot(),
    "poll": lambda breaker: breaker.poll(),
    "listener": lambda breaker: breaker.add_listener(print, ["transition"]),
    "driver": lambda breaker: breaker.record(breaker.try_acquire() or 0, failed=False),
    "acquire": lambda breaker: breaker.try_acquire(),
    "release": lambda breaker: breaker.release(breaker.try_acquire() or 0),
    "restore": lambda breaker: breaker.restore(breaker.snapshot()),
    "reconfigure": lambda breaker: breaker.reconfigure(breaker.policy),
    "reset": lambda breaker: breaker.reset(),
    "close": lambda breaker: breaker.close(),
    "awaitable": lambda breaker: asyncio.run(breaker.call(lambda: asyncio.sleep(0))),
}


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_that_is_done_to_a_closed_breaker_leaves_its_lanes_shut(
    make: Make, look: str
) -> None:
    breaker = make()
    LOOKS[look](breaker)
    assert breaker._core.machine.free == breaker._core.machine.generation
    assert breaker._core.machine.calm == breaker._core.machine.generation


@pytest.mark.parametrize("look", ["counts", "snapshot", "listener", "acquire", "reconfigure"])
def test_nor_the_one_of_an_open_breaker(make: Make, look: str) -> None:
    breaker = make(initial_state="open")
    LOOKS[look](breaker)
    assert breaker._core.machine.shut == breaker.next_deadline


def test_a_histogram_and_a_failure_leave_admission_open(make: Make, drive: Driver) -> None:
    breaker = make()
    drive.run(breaker, "x")
    assert breaker._core.machine.free
    breaker.enable_duration_histogram()
    assert breaker._core.machine.free
    breaker.call(int)
    assert breaker._core.machine.free


def test_successes_between_failures_stay_in_the_lane(make: Make, drive: Driver) -> None:
    """Failures in the window close no lane, unless a success may bring about a verdict."""
    for fields in ({"kind": "percentage"}, {"kind": "time"}):
        breaker = make(**fields, minimum_calls=4)
        drive.run(breaker, "x..")
        assert not breaker._core.machine.brisk
        for _ in range(3):
            drive.run(breaker, ".")
            assert breaker._core.machine.brisk


def test_a_success_that_must_be_looked_at_takes_the_lock(make: Make) -> None:
    assert make(is_failure=bool)._core.machine.free
    assert not make(is_failure=bool)._core.machine.calm
    assert make()._core.machine.calm


@pytest.mark.parametrize("field", [
    {"call_timeout": 1.0}, {"initial_state": "half_open"},
    {"initial_state": "forced_closed"}, {"initial_state": "open"},
])  # fmt: skip
def test_what_is_not_plain_has_no_lane(make: Make, field: dict[str, Any]) -> None:
    assert not make(**field)._core.machine.free


def test_without_the_interpreters_lock_there_are_no_lanes(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "HAS_GIL", False)
    for state in ("closed", "open"):
        breaker = make(initial_state=state)
        assert not breaker._core.machine.free
        assert not breaker._core.machine.shut
    assert make().call(int, "4") == 4


class TestSpecialised:
    """A lane with the parameters of its function is called exactly like it."""

    @pytest.mark.parametrize("lane", [lanes.plain, lanes.coroutine])
    def test_every_shape_of_parameters(self, make: Make, lane: Any) -> None:
        def shape(a: int, /, b: int, c: int = 3, *, d: int, e: int = 5) -> tuple[int, ...]:
            found = [a, b]  # a local name is no parameter
            found += [c, d, e]
            return tuple(found)

        breaker = make()
        wrapped = breaker(shape)
        assert wrapped.__code__.co_varnames[:5] == ("a", "b", "c", "d", "e")
        assert wrapped(1, 2, d=4) == (1, 2, 3, 4, 5)
        assert wrapped(1, b=2, c=7, d=4, e=6) == (1, 2, 7, 4, 6)
        anyhow: Any = wrapped
        with pytest.raises(TypeError):
            anyhow(1)
        with pytest.raises(TypeError):
            anyhow(a=1, b=2, d=4)
        assert breaker.counts.calls == 2

    def test_the_full_path_gets_the_same_arguments(self, make: Make) -> None:
        breaker = make(initial_state="forced_closed")

        @breaker
        def shape(a: int, b: int = 2, *, c: int) -> tuple[int, ...]:
            return a, b, c

        assert shape(1, c=3) == (1, 2, 3)

    async def test_coroutines_as_well(self, make: Make) -> None:
        for state in ("closed", "forced_closed"):
            breaker = make(initial_state=state)

            @breaker
            async def shape(a: int, b: int = 2, *, c: int = 3) -> tuple[int, ...]:
                return a, b, c

            assert await shape(1, c=5) == (1, 2, 5)
            assert inspect.iscoroutinefunction(shape)

    @pytest.mark.parametrize("names", [
        "permit", "me", "error", "result", "now", "begun", "core", "func", "machine", "owners",
        "monotonic", "fallback", "tasks", "guarded", "args", "kwargs", "self, key",
        "guard", "get_ident", "caller", "CircuitOpenError", "BaseException", "_cbmon_core",
    ])  # fmt: skip
    async def test_no_name_of_a_parameter_is_in_the_way(self, make: Make, names: str) -> None:
        space: dict[str, Any] = {}
        exec(f"def f({names}): return ({names},)\nasync def g({names}): return ({names},)", space)
        values = tuple(range(names.count(",") + 1))
        breaker = make()
        assert breaker(space["f"])(*values) == values
        assert await breaker(space["g"])(*values) == values
        keywords = dict(zip(names.split(", "), values, strict=True))
        assert breaker(space["f"])(**keywords) == values
        assert breaker.counts.successes == 3

    def test_variable_parameters_are_passed_on(self, make: Make) -> None:
        breaker = make()
        assert breaker(lambda *a, **k: (a, k))(1, b=2) == ((1,), {"b": 2})

    def test_the_functions_own_traceback_leads_through_the_lanes_file(self, make: Make) -> None:
        @make()
        def fails(text: str) -> int:
            return int(text)

        try:
            fails("x")
        except ValueError as error:
            frames = traceback.extract_tb(error.__traceback__)
        assert [frame.name for frame in frames][-2:] == ["guarded", "fails"]
        assert frames[-2].filename == lanes.__file__
        assert "func(" in (frames[-2].line or "")

    def test_without_the_source_the_lane_serves_as_it_is(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_source(_: object) -> None:
            raise OSError("no source")

        specialise._compiled.cache_clear()
        monkeypatch.setattr(inspect, "getsourcelines", no_source)
        breaker = make()
        assert breaker(lambda a, b: a + b)(1, b=2) == 3
        specialise._compiled.cache_clear()

    def test_defaults_are_the_functions(self, make: Make) -> None:
        marker = object()

        @make()
        def function(a: object = marker, *, b: object = marker) -> bool:
            return a is b is marker

        assert function()


class TestWhoCalls:
    async def test_a_task_is_found_and_found_again(self) -> None:
        assert identity.running_task() is asyncio.current_task()
        assert identity.running_task() is asyncio.current_task()
        assert identity.here() is identity.caller() is asyncio.current_task()

    def test_outside_a_task_it_is_the_thread_or_something_unique(self) -> None:
        assert identity.here() == threading.get_ident()
        assert identity.caller() is not identity.caller()

    def test_a_new_loop_in_the_same_thread_is_noticed(self) -> None:
        async def me() -> bool:
            return identity.running_task() is asyncio.current_task()

        assert asyncio.run(me())
        assert asyncio.run(me())
        assert identity.running_task() is None

    def test_two_loops_in_two_threads_are_told_apart(self) -> None:
        breaker = CircuitBreaker("x")
        inside = threading.Barrier(2)

        @breaker
        async def call() -> int:
            inside.wait(10)
            running = breaker.counts.in_flight
            inside.wait(10)
            return running

        results: list[int] = []
        threads = [
            threading.Thread(target=lambda: results.append(asyncio.run(call()))) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [2, 2]
        assert breaker.counts.successes == 2

    def test_a_program_without_asyncio_has_no_task(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "asyncio")
        assert identity.running_task() is None

    def test_the_tasks_are_imported_when_nobody_has(self, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = identity.tasks_by_loop()
        monkeypatch.setattr(asyncio, "tasks", asyncio.tasks)
        monkeypatch.delitem(sys.modules, "asyncio.tasks")
        assert identity.tasks_by_loop() is expected


def test_many_owners_at_once_leave_nothing_behind(make: Make) -> None:
    breaker = make()

    async def crowd() -> None:
        gate_ = asyncio.Event()

        async def waits(fails: bool) -> None:
            await gate_.wait()
            if fails:
                raise OSError

        tasks = [
            asyncio.create_task(breaker.call(waits, fails))
            for fails in itertools.islice(itertools.cycle([False, True, False, False, False]), 50)
        ]
        await asyncio.sleep(0)
        assert breaker.counts.in_flight == 50
        tasks[7].cancel()
        gate_.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    breaker.observe()
    asyncio.run(crowd())
    counts = breaker.counts
    assert (counts.calls, counts.in_flight, counts.cancelled, counts.failures) == (50, 0, 1, 10)
    assert breaker._core.owners == {}


@pytest.mark.parametrize("fields", [{"kind": "time"}, {"kind": "time", "slow_call_seconds": 5.0}])
def test_a_block_of_a_task_counts_by_the_clock_too(
    make: Make, clock: ManualClock, fields: dict[str, Any]
) -> None:
    breaker = make(**fields)

    async def block(seconds: float) -> None:
        async with breaker:
            clock.advance(seconds)

    for seconds in (0.0, 1.0, 9.0):
        asyncio.run(block(seconds))
    counts = breaker.counts
    assert (counts.successes, counts.in_flight) == (3, 0)
    assert counts.slow_calls == ("slow_call_seconds" in fields)
    assert breaker._core.owners == {}
