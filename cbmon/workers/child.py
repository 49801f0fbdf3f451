"""The worker itself: begins the runs it is ordered to, and says how they ended.

Rule: it lives as long as its stream. End of file means that the daemon is gone, whatever became
of it, and a run that nobody waits for is not worth ending well.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from cbmon.breaker import SystemClock
from cbmon.interfaces import Attempt, Clock, Probe
from cbmon.logs import default_stream, logging_to
from cbmon.loop import loop_factory
from cbmon.model import Result
from cbmon.probes import ProbeEnvironment, probe_type
from cbmon.probes.run import run_planned
from cbmon.probes.steps import Deadlines, LightRun
from cbmon.workers.wire import (
    Definition,
    Frames,
    Health,
    Kind,
    Row,
    Settings,
    frame,
    read_numbers,
    results,
    row,
    unpickled,
)

log = logging.getLogger(__name__)

GATHER: Final = 0.002
"""Seconds for which results wait for others to go with. Durations are measured before."""
FULL: Final = 128
"""Results that do not wait any more."""
AT_ONCE: Final = 16
"""Runs that begin in one turn of the event loop: what has piled up while there was no worker must
not make its own targets look slow."""
GARBAGE: Final = 5_000
"""Objects after which garbage is looked for, as in the daemon."""


class Check:
    """A check as this worker carries it out."""

    __slots__ = ("definition", "environment", "light", "probe", "told")

    def __init__(self, definition: Definition, environment: ProbeEnvironment) -> None:
        self.definition = definition
        self.light = False
        """Whether its runs need no task (:class:`cbmon.interfaces.Light`)."""
        self.environment = environment
        self.probe: Probe = self
        self.told: Any = None
        """The facts that the daemon was told last."""

    async def run(self, attempt: Attempt) -> Result:
        """The first run: the probe is built, and looks."""
        kind = probe_type(self.definition.kind)
        self.probe = kind.build(self.definition.options, self.environment)
        plan = self.definition.plan
        once = not (plan.confirmations or plan.every_address)
        self.light = once and getattr(self.probe, "light", False)
        return await self.probe.run(attempt)

    async def close(self) -> None:
        """Nothing is held before the first run."""


class Runs:
    """The checks of this worker, and their runs."""

    def __init__(self, environment: ProbeEnvironment, clock: Clock) -> None:
        self._environment = environment
        self._clock = clock
        self._deadlines = Deadlines(clock)
        self._loop = asyncio.get_running_loop()
        self._checks: dict[int, Check] = {}
        self._ordered: dict[int, int] = {}
        self._running: dict[int, asyncio.Future[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._rows: list[Row] = []
        self._beginning = False
        self._timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.WriteTransport | None = None

    def define(self, definitions: list[Definition]) -> None:
        """Carry them out so from their next run on."""
        for one in definitions:
            self.forget([one.number])
            self._checks[one.number] = Check(one, self._environment)

    def forget(self, checks: list[int]) -> None:
        """There are no such checks any more."""
        for number in checks:
            if (check := self._checks.pop(number, None)) is not None and check.probe is not check:
                task = self._loop.create_task(check.probe.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    def order(self, pairs: list[int]) -> None:
        """Begin these runs: the number of the run, then that of its check.

        Raises KeyError for a check that was not defined.
        """
        checks = self._checks
        for run, check in zip(pairs[::2], pairs[1::2], strict=True):
            self._ordered[run] = checks[check].definition.number
        if not self._beginning:
            self._begin()

    def cancel(self, runs: list[int]) -> None:
        """Nobody wants to know how they end."""
        for number in runs:
            self._ordered.pop(number, None)
            if (task := self._running.pop(number, None)) is not None:
                task.cancel()

    async def close(self) -> None:
        """Cancel what is running."""
        self._ordered.clear()
        tasks = [*self._running.values(), *self._closing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self) -> None:
        ordered = self._ordered
        for _ in range(min(AT_ONCE, len(ordered))):
            run = next(iter(ordered))
            check = self._checks.get(ordered.pop(run))
            if check is None:
                continue
            if check.light:
                self._step(run, check)
            else:
                self._running[run] = self._loop.create_task(self._run(run, check))
        self._beginning = bool(ordered)
        if self._beginning:
            self._loop.call_soon(self._begin)

    async def _run(self, run: int, check: Check) -> None:
        its = check.definition
        self._over(run, check, await run_planned(check.probe, its.timeout, self._clock, its.plan))

    def _step(self, run: int, check: Check) -> None:
        over = partial(self._over, run, check)
        light = LightRun(check.probe, check.definition.timeout, self._deadlines, over)
        self._running[run] = light
        light.step()

    def _over(self, run: int, check: Check, result: Result | None) -> None:
        self._running.pop(run, None)
        if result is None:
            return
        new = check.told is None or result.facts != check.told
        if new:
            check.told = result.facts
        self._rows.append(row(run, check.definition.number, result, facts=new))
        if len(self._rows) >= FULL:
            self._send()
        elif self._timer is None:
            self._timer = self._loop.call_later(GATHER, self._send)

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rows, self._rows = self._rows, []
        if rows and self.transport is not None:
            self.transport.write(frame(Kind.RESULTS, results(rows)))


class Line(asyncio.Protocol):
    """The stream to the daemon."""

    def __init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        """Whether the daemon said so, or is gone."""
        self.settings: asyncio.Future[Settings | None]
        self.settings = asyncio.get_running_loop().create_future()
        self.runs: Runs | None = None
        self._frames = Frames()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The stream is there."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's are no subclass

    def serve(self, runs: Runs) -> None:
        """Take orders for these from now on."""
        assert self._transport is not None  # noqa: S101 - the settings came over it
        self.runs, runs.transport = runs, self._transport
        self._transport.write(frame(Kind.READY))

    def connection_lost(self, _error: Exception | None) -> None:
        """The daemon is gone."""
        if not self.ended.done():
            self.ended.set_result(False)
        if not self.settings.done():
            self.settings.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Do as the daemon says."""
        for kind, content in self._frames.feed(data):
            self._heard(kind, content)

    def _heard(self, kind: Kind, content: bytes) -> None:
        if kind is Kind.SETTINGS:
            self.settings.set_result(unpickled(content))
        elif kind is Kind.END:
            if not self.ended.done():
                self.ended.set_result(True)
        elif self.runs is None:
            raise RuntimeError(f"{kind.name} came before the settings were taken up")
        elif kind is Kind.ORDER:
            self.runs.order(read_numbers(content))
        elif kind is Kind.DEFINE:
            self.runs.define(unpickled(content))
        elif kind is Kind.FORGET:
            self.runs.forget(read_numbers(content))
        elif kind is Kind.CANCEL:
            self.runs.cancel(read_numbers(content))
        elif kind is Kind.PING and self._transport is not None:
            self._transport.write(frame(Kind.PONG, health().encode()))


def health() -> Health:
    """How this process is."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Health(
        cpu=used.ru_utime + used.ru_stime,
        resident=pages * resource.getpagesize(),
        descriptors=sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1,
    )


async def serve(ours: socket.socket) -> bool:
    """Work until the daemon says that it is over (True) or is gone."""
    loop = asyncio.get_running_loop()
    ours.setblocking(False)
    transport, line = await loop.create_unix_connection(Line, sock=ours)
    if (settings := await line.settings) is None:
        return False
    with logging_to(default_stream(), level=settings.log_level, form=settings.log_format):
        clock = SystemClock()
        environment = ProbeEnvironment(clock=clock)
        runs = Runs(environment, clock)
        line.serve(runs)
        try:
            told: bool = await line.ended
        finally:
            await runs.close()
            await environment.close()
            transport.close()
    return told


def main(descriptor: int) -> int:
    """Work over the socket with that descriptor; the exit code."""
    # A terminal and a service manager tell the whole group: when to end is the daemon's to say.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    gc.set_threshold(GARBAGE, 10, 100)
    with (
        socket.socket(fileno=descriptor) as ours,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        return 0 if runner.run(serve(ours)) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
