"""What keeps things for later has its turn at every tick while its breaker is open."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from cbmon.breaker import BreakerPolicy, CircuitBreaker, State
from cbmon.component import Component
from cbmon.interfaces import Attempt
from cbmon.metrics import ComponentRecord
from cbmon.model import BreakerInfo, Category, Reason, Result
from cbmon.monitor import EARLY, Monitor
from cbmon.testing import ManualClock
from cbmon.timeline import Fire, Timeline

NAME = "mimir"


class Planned:
    """A timetable that a test drives: the real timeline, without a loop."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.timeline = Timeline()

    def add(self, name: str, interval: float, fire: Fire, *, first: float | None = None) -> None:
        self.timeline.add(name, interval, fire, now=self.clock.monotonic(), first=first)

    def remove(self, name: str) -> None:
        self.timeline.remove(name)

    def at(self, name: str, when_monotonic: float) -> None:
        self.timeline.at(name, when_monotonic, now=self.clock.monotonic())

    def park(self, name: str) -> None:
        self.timeline.park(name)

    def run_now(self, name: str) -> None:
        self.at(name, self.clock.monotonic())

    def next_run(self, name: str) -> float | None:
        return self.timeline.next_run(name)


class Exporting:
    """Fails until it is well, and notes when it had its turn."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.well = False
        self.turns: list[tuple[str, float]] = []
        self.slow = False

    async def run(self, attempt: Attempt) -> Result:
        self.turns.append(("run", self.clock.monotonic()))
        return attempt.passed() if self.well else attempt.failed(Reason.CONNECT, "refused")

    async def collect(self) -> None:
        self.turns.append(("collect", self.clock.monotonic()))
        if self.slow:
            await asyncio.sleep(60)

    async def close(self) -> None:
        """Nothing to give back."""


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.plan = Planned(self.clock)
        self.runner = Exporting(self.clock)
        self.monitor = Monitor(timetable=self.plan, clock=self.clock)
        info = BreakerInfo(name=NAME, category=Category.EXPORT)
        policy = BreakerPolicy(failure_threshold=2, recovery_timeout=35.0)
        breaker = CircuitBreaker(NAME, policy, clock=self.clock, category="export")
        self.component = Component(
            info=info,
            breaker=breaker,
            record=ComponentRecord(info, breaker),
            runner=self.runner,
            interval=10.0,
            timeout=0.05,
        )
        self.monitor.add(self.component)

    async def until(self, end: float) -> None:
        """Let everything that is due until then happen, each at its moment."""
        while (due := self.plan.timeline.next_due()) is not None and due <= end:
            self.clock.advance(max(0.0, due - self.clock.monotonic()))
            while (firing := self.plan.timeline.pop(self.clock.monotonic())) is not None:
                firing.fire(firing.name, firing.due, firing.missed)
                if self.component.task is not None:
                    await asyncio.wait([self.component.task])
        self.clock.advance(max(0.0, end - self.clock.monotonic()))

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.runner.turns]


@pytest.fixture
def house() -> House:
    return House()


async def test_every_tick_of_an_open_breaker_collects_and_the_trial_comes_at_its_deadline(
    house: House,
) -> None:
    await house.until(70.0)
    opened = house.runner.turns[1][1]
    assert house.kinds()[:6] == ["run", "run", "collect", "collect", "collect", "run"]
    ticks = [at - opened for _, at in house.runner.turns[2:6]]
    assert ticks == pytest.approx([10.0, 20.0, 30.0, 35.0 + EARLY])


async def test_once_it_is_well_again_runs_follow_the_ordinary_ticks(house: House) -> None:
    await house.until(40.0)
    house.runner.well = True
    await house.until(100.0)
    assert house.component.breaker.state is State.CLOSED
    assert set(house.kinds()[-4:]) == {"run"}
    last = [at for _, at in house.runner.turns[-3:]]
    assert [later - at for at, later in pairwise(last)] == pytest.approx([10.0, 10.0])


async def test_one_that_a_person_forced_open_goes_on_collecting_and_a_disabled_one_does_not(
    house: House,
) -> None:
    house.monitor.act(NAME, "force_open", actor="ann")
    await house.until(30.0)
    assert set(house.kinds()) == {"collect"}
    house.monitor.act(NAME, "disable", actor="ann")
    before = len(house.kinds())
    await house.until(80.0)
    assert len(house.kinds()) <= before + 1
    assert house.plan.next_run(NAME) is None


async def test_one_that_takes_too_long_is_cut_off_and_harms_no_later_one(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.runner.slow = True
    house.monitor.act(NAME, "force_open", actor="ann")
    await house.until(25.0)
    assert house.kinds() == ["collect"] * 3 or house.kinds() == ["collect"] * 2
    assert "nothing kept in time" in caplog.text


async def test_a_restart_with_an_open_breaker_collects_at_once(house: House) -> None:
    await house.until(20.0)
    snapshot = house.component.snapshot()
    again = House()
    again.component.restore(snapshot)
    assert again.component.breaker.state is State.OPEN
    await again.until(20.0)
    assert set(again.kinds()) == {"collect"}
