"""A loop whose time is a number: waiting costs nothing and is exact."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

import pytest
from freezegun import freeze_time

from cbmon.scheduler import Scheduler

T = TypeVar("T")
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class _Selector(selectors.DefaultSelector):
    """Lets virtual time pass instead of waiting."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing is planned and nothing can happen: the test would hang")
        if not ready and timeout:
            self.loop.advance(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only while everybody waits, or by :meth:`advance` (a loop that is blocked)."""

    def __init__(self) -> None:
        self.now = 5000.0
        self.listeners: list[Callable[[float], None]] = []
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for listener in self.listeners:
            listener(seconds)


class World:
    """Virtual monotonic time and a frozen wall clock that goes along and can be stepped.

    It is the ``clock`` of what is tested.
    """

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.loop.listeners.append(self._follow)
        self._offset = timedelta()
        self._frozen = freeze_time(START, real_asyncio=True)
        self._factory: Any = None

    def __enter__(self) -> Self:
        self._factory = self._frozen.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._frozen.stop()

    def monotonic(self) -> float:
        return self.loop.time()

    def time(self) -> float:
        return datetime.now(UTC).timestamp()

    def step_wall_clock(self, seconds: float) -> None:
        self._offset += timedelta(seconds=seconds)
        self._follow(0.0)

    def freeze(self, seconds: float) -> None:
        """The process stands still for so long; called on the loop."""
        self.loop.advance(seconds)

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        async def bounded() -> T:
            return await main()

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            return runner.run(bounded())

    def _follow(self, _seconds: float) -> None:
        passed = timedelta(seconds=self.loop.now - 5000.0)
        self._factory.move_to(START + passed + self._offset)


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


class Runs:
    """A fire callback that remembers when it was called."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.at: list[tuple[str, float]] = []
        self.dues: list[float] = []
        self.missed = 0

    def __call__(self, name: str, due: float, missed: int) -> None:
        self.at.append((name, self._world.monotonic()))
        self.dues.append(due)
        self.missed += missed

    def __len__(self) -> int:
        return len(self.at)

    def between(self, start: float, end: float) -> int:
        return sum(start <= at < end for _, at in self.at)


@pytest.fixture
def runs(world: World) -> Runs:
    return Runs(world)


@pytest.fixture
def lateness() -> list[float]:
    return []


@pytest.fixture
def scheduler(world: World, lateness: list[float]) -> Scheduler:
    return Scheduler(world, lateness=lateness.append)
