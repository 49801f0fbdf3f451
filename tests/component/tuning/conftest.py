"""A monitor of real breakers whose settings lie in a real SQLite database."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cbmon.breaker import BreakerPolicy, CircuitBreaker
from cbmon.component import Component
from cbmon.config import Config
from cbmon.events import Action, Event, SettingsChanged
from cbmon.interfaces import Attempt, Commit, Store
from cbmon.metrics import ComponentRecord
from cbmon.model import BreakerInfo, Category, Reason, Result
from cbmon.monitor import Monitor
from cbmon.settings.sheet import Author
from cbmon.store import open_store
from cbmon.testing import ManualClock
from cbmon.timeline import Fire
from cbmon.tuning import Tuning


class Timetable:
    """Remembers when what is to run."""

    def __init__(self) -> None:
        self.due: dict[str, float | None] = {}

    def add(self, name: str, interval: float, fire: Fire, *, first: float | None = None) -> None:
        self.due[name] = interval

    def remove(self, name: str) -> None:
        del self.due[name]

    def at(self, name: str, when_monotonic: float) -> None:
        self.due[name] = when_monotonic

    def park(self, name: str) -> None:
        self.due[name] = None

    def run_now(self, name: str) -> None:
        self.due[name] = 0.0

    def next_run(self, name: str) -> float | None:
        return self.due.get(name)


class Target:
    """Refuses every run."""

    def __init__(self) -> None:
        self.runs = 0

    async def run(self, attempt: Attempt) -> Result:
        self.runs += 1
        return attempt.failed(Reason.CONNECT, "refused")

    async def close(self) -> None: ...


class House:
    """A daemon's worth of settings: start it, change the YAML or the database, start it again."""

    def __init__(self, path: Path, **yaml: dict[str, Any]) -> None:
        self.path = path
        self.clock = ManualClock()
        self.yaml = yaml
        self.store: Store
        self.tuning: Tuning
        self.monitor: Monitor
        self.events: list[Event] = []
        self.targets: dict[str, Target] = {}
        self.ada = Author(actor="ada", reason="because", request="r1")

    def config(self, **yaml: dict[str, Any]) -> Config:
        """As much of a configuration as settings look at."""
        checks = [
            SimpleNamespace(name=name, policy=BreakerPolicy(**its), interval=30.0, enabled=True)
            for name, its in (yaml or self.yaml).items()
        ]
        source = self.path.with_name("cbmon.yml")
        found: Any = SimpleNamespace(checks=checks, exports=[], source=source)
        return found  # type: ignore[no-any-return]

    async def start(self) -> None:
        self.store = open_store(f"sqlite://{self.path}")
        await self.store.open()
        self.events.clear()
        self.timetable = Timetable()
        self.monitor = Monitor(
            timetable=self.timetable, clock=self.clock, sinks=(self.events.append,)
        )
        self.tuning = Tuning(self.store.settings, self.monitor, self.clock)
        await self.tuning.start(self.config())
        for check in self.config().checks:
            component = self._component(check)
            self.tuning.settle(component)
            self.monitor.add(component)

    async def stop(self) -> None:
        await self.tuning.stop()
        await self.store.close()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def _component(self, check: Any) -> Component:
        info = BreakerInfo(name=check.name, category=Category.CHECK)
        breaker = CircuitBreaker(check.name, check.policy, clock=self.clock, category="check")
        target = self.targets[check.name] = Target()
        return Component(
            info=info,
            breaker=breaker,
            record=ComponentRecord(info, breaker),
            runner=target,
            interval=30.0,
            timeout=5.0,
        )

    def edit(self, *statements: str) -> None:
        """What a person does with another program."""
        with sqlite3.connect(self.path, timeout=5.0) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    def breaker(self, name: str = "api") -> CircuitBreaker:
        return self.monitor.component(name).breaker

    async def fail(self, name: str = "api", times: int = 5) -> None:
        for _ in range(times):
            await self.monitor.run_now(name)

    @property
    def refusals(self) -> list[Action]:
        return [e for e in self.events if isinstance(e, Action) and e.refused is not None]

    @property
    def changes(self) -> list[SettingsChanged]:
        return [event for event in self.events if isinstance(event, SettingsChanged)]

    async def audited(self) -> list[dict[str, Any]]:
        """The audit log as the daemon would have it, what only the sinks were told included."""
        await self.store.commit(Commit(actions=self.refusals))
        return list(reversed(await self.store.audit()))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(
        tmp_path / "cbmon.db", api={"failure_threshold": 5}, db={"recovery_timeout": 120.0}
    )
    await made.start()
    yield made
    await made.stop()
