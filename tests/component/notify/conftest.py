"""A stage for the notify room: real store, real dispatcher, receivers and time that obey.

``await stage.settle()`` returns when every line sleeps; nothing here sleeps in real time.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cbmon.breaker.policy import BreakerPolicy
from cbmon.config.routes import Route
from cbmon.events import Transition
from cbmon.interfaces import Commit, Store
from cbmon.model import (
    BreakerInfo,
    Category,
    Delivery,
    Message,
    MessageState,
    Reason,
    Verdict,
)
from cbmon.notify.agenda import Agenda
from cbmon.notify.board import Plan
from cbmon.notify.dispatcher import Dispatcher
from cbmon.notify.endpoint import Endpoint
from cbmon.notify.hooks import SilentHooks
from cbmon.notify.incidents import Incidents
from cbmon.notify.messages import Site
from cbmon.notify.notifier import Notifier, Rules
from cbmon.notify.outbox import Limits
from cbmon.notify.routing import Routing
from cbmon.notify.silences import Silence
from cbmon.store import open_store
from cbmon.testing import ManualClock

POLICY = BreakerPolicy(failure_threshold=3, recovery_timeout=30.0)


class ManualWaiter:
    """In the place of ``waiting.until``: time passes only when the stage's clock is moved."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._sleeping: dict[asyncio.Future[None], tuple[asyncio.Event, float]] = {}
        self._entered = asyncio.Event()

    async def __call__(self, event: asyncio.Event, seconds: float | None) -> None:
        deadline = float("inf") if seconds is None else self._clock.monotonic() + seconds
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        woken = asyncio.ensure_future(event.wait())
        self._sleeping[over] = (event, deadline)
        self._entered.set()
        try:
            both: set[asyncio.Future[Any]] = {over, woken}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._sleeping[over]
            woken.cancel()

    async def all_asleep(self, count: int) -> None:
        """Wait until so many sleep and none of them is about to wake."""
        while True:
            for over, (_, deadline) in self._sleeping.items():
                if deadline <= self._clock.monotonic() and not over.done():
                    over.set_result(None)
            awake = [e for over, (e, _) in self._sleeping.items() if e.is_set() or over.done()]
            if len(self._sleeping) >= count and not awake:
                return
            self._entered.clear()
            if awake:
                await asyncio.sleep(0)
            else:
                await asyncio.wait_for(self._entered.wait(), 20.0)

    @property
    def next_deadline(self) -> float:
        """When the first sleeper wakes by itself."""
        return min((deadline for _, deadline in self._sleeping.values()), default=float("inf"))


@dataclass
class Recorder(SilentHooks):
    """Hooks that remember."""

    told: list[tuple[Any, ...]] = field(default_factory=list)
    backlogs: dict[str, tuple[int, float | None, int]] = field(default_factory=dict)

    def line_added(self, receiver: str, breaker: Any) -> None:
        self.told.append(("added", receiver))

    def line_removed(self, receiver: str) -> None:
        self.told.append(("removed", receiver))

    def delivered(self, receiver: str, latency: float) -> None:
        self.told.append(("delivered", receiver, latency))

    def failed(self, receiver: str, reason: str) -> None:
        self.told.append(("failed", receiver, reason))

    def suppressed(self, receiver: str, reason: str) -> None:
        self.told.append(("suppressed", receiver, reason))

    def backlog(self, receiver: str, waiting: int, oldest: float | None, dead: int) -> None:
        self.backlogs[receiver] = (waiting, oldest, dead)


class FakeReceiver:
    """Answers by its script, then by its mood; remembers what arrived and when it was tried."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.script: list[Delivery | BaseException | str] = []
        self.mood: Delivery | BaseException | str = Delivery(verdict=Verdict.DELIVERED)
        self.arrived: list[Message] = []
        self.tried: list[tuple[float, str]] = []
        self.closed = 0

    async def deliver(self, message: Message) -> Delivery:
        self.tried.append((self.clock.monotonic(), message.id))
        answer = self.script.pop(0) if self.script else self.mood
        if answer == "hang":
            await asyncio.Event().wait()
        if answer == "arrives, then hangs":
            self.arrived.append(message)
            await asyncio.Event().wait()
        if isinstance(answer, BaseException):
            raise type(answer)(*answer.args)
        assert isinstance(answer, Delivery)
        if answer.verdict is Verdict.DELIVERED:
            self.arrived.append(message)
        return answer

    async def close(self) -> None:
        self.closed += 1


class Stage:
    """One daemon's notify room, which can crash and start again."""

    sleepers = 2
    """Tasks besides the lines that sleep when nothing happens."""

    def __init__(
        self, directory: Path, *, timeout: float = 10.0, limits: Limits | None = None
    ) -> None:
        self.clock = ManualClock()
        self.hooks = Recorder()
        self.url = f"sqlite://{directory}/cbmon.db"
        self.limits = limits or Limits()
        self.timeout = timeout
        self.receivers: dict[str, FakeReceiver] = {}
        self.lines: dict[str, str] = {}
        self.numbers = itertools.count(1)
        self.store: Store
        self.notifier: Notifier
        self.dispatcher: Dispatcher
        self.agenda: Agenda
        self.unwritten: list[Plan] = []
        self.made: list[Message] = []
        self.silences: tuple[Silence, ...] = ()
        self.route: dict[str, Any] = {"group_wait": 0.0, "group_interval": 0.0}
        self.rules = Rules()
        self.waiter: ManualWaiter

    def receiver(self, name: str) -> FakeReceiver:
        """The place behind a line; it outlives crashes and reloads, as the real one does."""
        return self.receivers.setdefault(name, FakeReceiver(self.clock))

    async def start(self, *lines: str) -> None:
        """Start with these lines, or those of before."""
        self.lines = dict.fromkeys(lines, "v1") or self.lines
        self.store = open_store(self.url)
        await self.store.open()
        self.waiter = ManualWaiter(self.clock)
        rows = await self.store.incidents(open_only=True, limit=10_000)
        self.notifier = Notifier(
            routing=self.routing(),
            site=Site(external_url="https://cbmon.example.net", labels={"site": "fra1"}),
            hooks=self.hooks,
            incidents=Incidents.restored(rows),
            rules=self.rules,
            rows=await self.store.planning(),
            silences=self.silences,
        )
        self.unwritten = [self.notifier.resume(self.clock.time())]
        self.dispatcher = Dispatcher(
            self.store,
            clock=self.clock,
            hooks=self.hooks,
            limits=self.limits,
            wait=self.waiter,
            standing=lambda line: self.notifier.standing(line, self.clock.time()),
            seed=1,
        )
        await self.dispatcher.start(self.endpoints())
        self.agenda = Agenda(
            clock=self.clock,
            deadline=lambda: self.notifier.deadline,
            tick=lambda: self.unwritten.append(self.notifier.tick(self.clock.time())),
            wait=self.waiter,
        )
        self.agenda.start()

    def routing(self) -> Routing:
        names = [line.partition("/")[0] for line in self.lines]
        everyone = tuple(
            Route(receiver=name, continue_=True, **self.route) for name in dict.fromkeys(names)
        )
        return Routing(
            route=Route(receiver="none", routes=everyone),
            lines={
                name: tuple(line for line in self.lines if line.startswith(f"{name}/"))
                for name in names
            },
        )

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                name=name,
                identity=identity,
                policy=POLICY,
                timeout=self.timeout,
                build=partial(self.receiver, name),
            )
            for name, identity in self.lines.items()
        ]

    async def reload(self, **lines: str) -> None:
        """Another configuration: line names with what identifies their options."""
        self.lines = {name.replace("_", "/"): identity for name, identity in lines.items()}
        now = self.clock.time()
        self.unwritten.append(self.notifier.reconfigure(self.routing(), Site(), self.rules, now))
        await self.dispatcher.reconfigure(self.endpoints())

    def move(self, component: str, to_state: str, **fields: Any) -> Transition:
        number = next(self.numbers)
        values: dict[str, Any] = {
            "id": f"event-{number:06d}",
            "at": self.clock.time(),
            "component": component,
            "category": Category.CHECK,
            "from_state": "closed",
            "to_state": to_state,
            "cause": "threshold_reached",
            "incident": f"incident-{component}",
            "reason": Reason.CONNECT,
            "last_error": "connection refused",
            "info": BreakerInfo(name=component, category=Category.CHECK),
        }
        return Transition(**(values | fields))

    async def happen(self, component: str, to_state: str, **fields: Any) -> list[Message]:
        """A transition, committed with its messages, as the journal does it."""
        move = self.move(component, to_state, **fields)
        await self.write()
        plan = self.notifier.follow(move)
        await self.write(plan, move)
        self.agenda.changed()
        return list(plan.messages)

    async def silence(self, *silences: Silence) -> None:
        """These silences from now on."""
        self.silences = silences
        self.unwritten.append(self.notifier.silence(silences, self.clock.time()))
        self.agenda.changed()

    async def write(self, plan: Plan | None = None, move: Transition | None = None) -> None:
        """Commit what waits, then this plan, as the journal does it."""
        waiting, self.unwritten = self.unwritten, []
        for one in (*waiting, plan or Plan()):
            last = one is plan
            moves = [move] if last and move is not None else []
            if one or moves:
                made = Commit(transitions=moves, messages=one.messages, planning=one.rows)
                await self.store.commit(made)
                self.made.extend(one.messages)
                self.dispatcher.wake({message.receiver for message in one.messages})

    async def settle(self) -> None:
        """Wait until nothing more happens without time or news."""
        await self.write()
        await self.waiter.all_asleep(len(self.lines) + self.sleepers)
        while self.unwritten:
            await self.write()
            await self.waiter.all_asleep(len(self.lines) + self.sleepers)

    async def pass_time(self, seconds: float) -> None:
        """Move the clock, stopping at each moment at which someone wakes."""
        end = self.clock.monotonic() + seconds
        await self.settle()
        while (now := self.clock.monotonic()) < end:
            self.clock.advance(max(0.001, min(end, self.waiter.next_deadline) - now))
            await self.settle()

    async def crash(self) -> None:
        """Everything stops where it is; only what was committed and what had arrived remains."""
        tasks = [
            task for task in asyncio.all_tasks() if task.get_name().startswith(("line ", "notify "))
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.store.close()

    async def stop(self) -> None:
        await self.agenda.stop()
        await self.dispatcher.stop(5.0)
        await self.store.close()

    async def states(self, line: str) -> dict[str, MessageState]:
        """What became of each message of a line, by incident and kind."""
        messages = await self.store.messages(receiver=line, limit=10_000)
        return {f"{m.incident}:{m.kind}": m.state for m in messages}


@pytest.fixture
def fast_directory() -> Iterator[Path]:
    """A directory in memory where there is one: these tests are about order, not about disks."""
    shared = Path("/dev/shm")
    parent = shared if shared.is_dir() else None
    directory = Path(tempfile.mkdtemp(prefix="cbmon-notify-", dir=parent))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
async def stage(fast_directory: Path) -> AsyncIterator[Stage]:
    """A running stage with one line, ``hook/webhook``."""
    stage = Stage(fast_directory)
    await stage.start("hook/webhook")
    yield stage
    await stage.stop()


@pytest.fixture
def new_stage(fast_directory: Path) -> Callable[..., Stage]:
    """Makes stages that are not started, each with a database of its own."""
    numbers = itertools.count(1)

    def make(kind: type[Stage] = Stage, **options: Any) -> Stage:
        directory = fast_directory / str(next(numbers))
        directory.mkdir()
        return kind(directory, **options)

    return make
