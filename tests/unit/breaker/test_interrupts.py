"""What a signal, a broken clock or a lack of stack may do: lose an outcome, never a breaker.

Rule: an interrupt may come wherever something is called. Whoever was inside is out afterwards,
nobody stays half-open or open for ever, and listeners are still told. (The very entry of a
block's ``__exit__`` is Python's own gap, as it is for a lock.)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import cbmon.breaker
from cbmon import CircuitBreaker, CircuitOpenError, State
from cbmon.breaker import machine as machines
from cbmon.testing import ManualClock

ENGINE = str(Path(cbmon.breaker.__file__).parent)
GAPS = {"__exit__", "aexit", "_leave_async"}


class Interrupt(BaseException):
    """What a signal's handler raises."""


def interrupted(number: int, action: Callable[[], object]) -> str | None:
    """Raise at the ``number``-th call inside the engine; where that was, None if never."""
    passed, where = 0, None

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal passed, where
        if event in {"call", "c_return"} and frame.f_code.co_filename.startswith(ENGINE):
            passed += 1
            if passed == number:
                where = f"{frame.f_code.co_name}"
                sys.setprofile(None)
                raise Interrupt

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        action()
    except (Interrupt, ValueError, CircuitOpenError):
        pass
    finally:
        sys.setprofile(before)
    return where


def driven(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run it without a loop."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass


def called(breaker: CircuitBreaker, work: Callable[[], int]) -> None:
    breaker.call(work)


def blocked(breaker: CircuitBreaker, work: Callable[[], int]) -> None:
    with breaker:
        work()


def awaited(breaker: CircuitBreaker, work: Callable[[], int]) -> None:
    async def coroutine() -> int:
        return work()

    driven(breaker.call(coroutine))


def blocked_async(breaker: CircuitBreaker, work: Callable[[], int]) -> None:
    async def coroutine() -> None:
        async with breaker:
            work()

    driven(coroutine())


def streamed(breaker: CircuitBreaker, work: Callable[[], int]) -> None:
    @breaker
    def items() -> Any:
        yield work()

    list(items())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("way", [called, blocked, awaited, blocked_async, streamed])
@pytest.mark.parametrize("state", ["closed", "half_open", "open"])
@pytest.mark.parametrize("kind", ["count", "percentage", "time", "adaptive"])
@pytest.mark.parametrize("fails", [False, True], ids=["good", "bad"])
def test_an_interrupt_anywhere_leaves_a_breaker_that_works(
    way: Callable[..., None], state: str, kind: str, fails: bool
) -> None:
    def work() -> int:
        if fails:
            raise ValueError("bad")
        return 1

    limits: Any = {"failure_threshold": 1} if kind == "count" else {"minimum_calls": 1}
    for number in range(1, 400):
        clock, told = ManualClock(), list[Any]()
        breaker = CircuitBreaker(
            "it", kind=kind, initial_state=state, recovery_timeout=5, seed=1, clock=clock,
            listeners=[told.append], **limits,
        )  # fmt: skip
        clock.advance(5)
        where = interrupted(number, partial(way, breaker, work))
        if where is None:
            break
        if where in GAPS:
            continue
        assert breaker.counts.in_flight == 0, where
        assert (breaker._core.owners, breaker._core.machine.inside) == ({}, None), where
        if breaker.state is not State.CLOSED:  # the trial's outcome may have been lost
            clock.advance(6)
            try:
                breaker.call(int, "1")
            except CircuitOpenError:
                clock.advance(6)  # a lost verdict was found, and it was a bad one
                breaker.call(int, "1")
        told.clear()
        breaker.call(int, "1")
        assert "success" in {event.kind for event in told}, where
    else:
        pytest.fail("it never came to an end")


def test_a_clock_that_raises_keeps_nobody_inside() -> None:
    class Clock(ManualClock):
        broken = False

        def monotonic(self) -> float:
            if self.broken:
                raise OSError("no clock")
            return super().monotonic()

    clock = Clock()
    breaker = CircuitBreaker("it", clock=clock)

    def work() -> int:
        clock.broken = True
        raise ValueError("bad")

    for enter in (called, blocked):
        clock.broken = False
        with pytest.raises(OSError, match="no clock"):
            enter(breaker, work)
    clock.broken = False
    assert breaker.counts.in_flight == 0


@pytest.mark.parametrize("extra", range(8))
def test_a_lack_of_stack_keeps_nobody_inside(extra: int) -> None:
    breaker = CircuitBreaker("it", failure_threshold=1_000_000)

    def deep(levels: int) -> int:
        return deep(levels - 1) if levels else 1

    work = breaker(deep)

    def recurse() -> None:
        work(extra)
        recurse()

    with pytest.raises(RecursionError):
        recurse()
    assert (breaker._core.owners, breaker._core.machine.inside) == ({}, None)
    before = breaker.counts.calls
    work(0)
    assert breaker.counts.calls == before + 1


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_finaliser_that_moves_the_breaker_in_the_middle_of_a_move(
    by_hand: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaker = CircuitBreaker("it", failure_threshold=1)
    made: Any = vars(machines)["LastMove"]

    def collected(**facts: Any) -> Any:
        monkeypatch.setattr(machines, "LastMove", made)
        breaker.force_open()
        return made(**facts)

    def refuse() -> None:
        raise ConnectionError

    monkeypatch.setattr(machines, "LastMove", collected)
    if by_hand:
        breaker.observe(actor="me")
        assert breaker.state is State.OBSERVE
        assert breaker.counts.transitions == {
            (State.CLOSED, State.FORCED_OPEN): 1,
            (State.FORCED_OPEN, State.OBSERVE): 1,
        }
    else:
        with pytest.raises(ConnectionError):
            breaker.call(refuse)
        assert breaker.state is State.FORCED_OPEN
        assert breaker.counts.trips == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("others", [0, 1], ids=["alone", "among others"])
@pytest.mark.parametrize("way", [called, blocked, awaited, blocked_async, streamed])
@pytest.mark.parametrize("fails", [False, True], ids=["good", "bad"])
def test_an_interrupt_on_the_short_way_leaves_nobody_inside(
    way: Callable[..., None], others: int, fails: bool
) -> None:
    def work() -> int:
        if fails:
            raise ValueError("bad")
        return 1

    for number in range(1, 400):
        breaker = CircuitBreaker("it")
        if others:
            breaker._core.owners[object()] = None
        where = interrupted(number, partial(way, breaker, work))
        if where is None:
            break
        if where not in GAPS:
            assert breaker.counts.in_flight == others, where
            before = breaker.counts.successes
            breaker.call(int, "1")
            assert breaker.counts.successes == before + 1, where
    else:
        pytest.fail("it never came to an end")


class Breakable(ManualClock):
    """A clock that can be broken."""

    broken = False

    def monotonic(self) -> float:
        if self.broken:
            raise OSError("no clock")
        return super().monotonic()


def test_a_generator_whose_clock_breaks_keeps_nobody_inside() -> None:
    clock = Breakable()
    breaker = CircuitBreaker("it", kind="time", slow_call_seconds=1, clock=clock)

    @breaker
    def items() -> Any:
        clock.broken = True
        yield 1

    with pytest.raises(OSError, match="no clock"):
        list(items())
    clock.broken = False
    assert breaker.counts.in_flight == 0
    assert breaker.call(int, "1") == 1
    assert breaker.counts.successes == 1


async def test_a_stream_whose_clock_breaks_keeps_nobody_inside() -> None:
    clock = Breakable()
    breaker = CircuitBreaker("it", kind="time", slow_call_seconds=1, clock=clock)

    @breaker
    async def items() -> Any:
        clock.broken = True
        yield 1

    with pytest.raises(OSError, match="no clock"):
        [item async for item in items()]
    clock.broken = False
    assert breaker.counts.in_flight == 0
