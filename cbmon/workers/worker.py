"""One worker as the daemon sees it: a place that a process fills, and the runs it is doing.

Rule: the place outlives its processes. What was ordered is remembered until it has ended, so that
the next process begins it again; only a run that was there at several deaths is not repeated,
because it may be what they died of. A run that a process which lives does not answer is given up.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from itertools import count
from typing import Final

from cbmon.logs import fields
from cbmon.metrics.workers import WorkerRecord
from cbmon.model import Reason, Result
from cbmon.probes.run import Plan
from cbmon.workers.line import Line, ended, spawned
from cbmon.workers.runs import AwayRun, Delegate, Done
from cbmon.workers.wire import (
    BrokenStreamError,
    Definition,
    Health,
    Kind,
    Settings,
    numbers,
    pickled,
    read_results,
    result_of,
)

log = logging.getLogger(__name__)

DEATHS: Final = 3
"""Deaths of a worker in which a run may be involved before it counts as failed."""
SETTLED: Final = 2.0
"""Seconds after which a worker that dies is replaced at once; before, ever later."""
SHORTEST_WAIT: Final = 0.1
LONGEST_WAIT: Final = 5.0
AT_ONCE: Final = 200
"""Orders that are said in one turn of the event loop: after a death, each takes a definition."""
READY_WITHIN: Final = 30.0
"""Seconds that a process gets to take its first order."""
ENDS_WITHIN: Final = 1.0
"""Seconds that a process gets to end by itself after its stream has."""
PING_EVERY: Final = 1.0
SILENT: Final = 10
"""Questions without an answer after which a worker is taken for stuck."""
UNANSWERED: Final = 15.0
"""Seconds after its longest time when a run is given up: a worker that is stuck is replaced before,
and its runs are repeated."""
_WRAP: Final = 1 << 32


class Worker:
    """Keeps one process at work, whatever becomes of it."""

    def __init__(self, settings: Settings, record: WorkerRecord) -> None:
        self._settings = settings
        self._record = record
        self._delegates: dict[int, Delegate] = {}
        self._runs: dict[int, AwayRun] = {}
        self._run_numbers = count()
        self._life = 0
        self._line: Line | None = None
        self._orders: list[int] = []
        self._cancelled: list[int] = []
        self._forgotten: list[int] = []
        self._flushing = False
        self._stopping = False
        self._keeper: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._cpu = 0.0
        self.process: asyncio.subprocess.Process | None = None
        """The one that is there now, if any."""

    # --- life ----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to keep a process at work."""
        self._keeper = asyncio.create_task(self._keep(), name=f"worker {self._record.name}")

    async def ready(self) -> None:
        """Wait until it takes orders."""
        await self._ready.wait()

    async def stop(self, grace: float) -> None:
        """Let the process end within ``grace`` seconds, or end it; at once if it is not ready."""
        self._stopping = True
        if self._keeper is None:
            return
        if self._line is not None:
            self._line.send(Kind.END)
            await asyncio.wait([self._keeper], timeout=grace)
        if not self._keeper.done():
            self._keeper.cancel()
            await asyncio.wait([self._keeper])

    async def _keep(self) -> None:
        quick_deaths = 0
        while True:
            begun = asyncio.get_running_loop().time()
            code = await self._live()
            if self._stopping:
                return
            lived = asyncio.get_running_loop().time() - begun
            quick_deaths = quick_deaths + 1 if lived < SETTLED else 0
            wait = wait_after(quick_deaths)
            self._record.restarts += 1
            log.error(
                "worker died and is replaced",
                extra=fields(worker=self._record.name, exit=code, runs=len(self._runs), wait=wait),
            )
            await asyncio.sleep(wait)

    async def _live(self) -> int | None:
        """One process, from its start to its end; its exit code."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        line = Line(self.heard)
        try:
            with theirs:
                self.process = process = await spawned(theirs)
        except OSError as error:
            ours.close()
            log.error("worker does not start", extra=fields(error=str(error)))  # noqa: TRY400
            await asyncio.sleep(LONGEST_WAIT)
            return None
        try:
            ours.setblocking(False)
            await loop.create_unix_connection(lambda: line, sock=ours)
            line.send(Kind.SETTINGS, pickled(self._settings))
            watch = loop.create_task(self._watch(line))
            try:
                await line.ended
            finally:
                watch.cancel()
        finally:
            line.close()
            self._died(line)
            code = await ended(process, ENDS_WITHIN if line.ready.is_set() else 0.0)
            self.process = None
        return code

    async def _watch(self, line: Line) -> None:
        """Hang up on a process that does not come up, or does not answer any more."""
        try:
            async with asyncio.timeout(READY_WITHIN):
                await line.ready.wait()
        except TimeoutError:
            log.error("worker is not ready in time", extra=fields(worker=self._record.name))  # noqa: TRY400
            line.close()
            return
        while line.unanswered < SILENT:
            line.unanswered += 1
            line.send(Kind.PING)
            self._give_up_unanswered()
            await asyncio.sleep(PING_EVERY)
        log.error("worker is stuck", extra=fields(worker=self._record.name))
        line.close()

    def came_up(self, line: Line) -> None:
        """The process takes orders: those that wait, or were not finished, first."""
        self._life += 1
        self._line = line
        self._record.up = 1
        self._orders = list(self._runs)
        self._cancelled.clear()
        self._forgotten.clear()
        self._flush()
        self._ready.set()
        log.info("worker ready", extra=fields(worker=self._record.name, pid=self.process_id))

    @property
    def process_id(self) -> int | None:
        """That of the process that is there now."""
        return None if self.process is None else self.process.pid

    def _died(self, line: Line) -> None:
        if self._line is not line:
            return
        self._line = None
        self._ready.clear()
        self._record.up = self._record.resident = self._record.descriptors = 0
        self._cpu = self._record.cpu
        for number, run in list(self._runs.items()):
            if run.sent_at is None:
                continue
            run.sent_at = None
            run.deaths += 1
            if run.deaths < DEATHS:
                self._record.repeated += 1
                continue
            del self._runs[number]
            _give_up(run, f"its worker died {DEATHS} times while this run was going on")

    def _give_up_unanswered(self) -> None:
        """End the runs of which the worker should have said long ago how they ended."""
        now = asyncio.get_running_loop().time()
        for number, run in list(self._runs.items()):
            if run.sent_at is None or now - run.sent_at <= run.longest + UNANSWERED:
                continue
            del self._runs[number]
            self._cancelled.append(number)
            self._record.unanswered += 1
            waited = f"{now - run.sent_at:.1f} s"
            log.error(
                "worker does not answer a run",
                extra=fields(worker=self._record.name, check=run.delegate.number, waited=waited),
            )
            _give_up(run, f"its worker has not said within {waited} how this run ended")
        self._record.in_flight = len(self._runs)
        if self._cancelled:
            self._soon()

    # --- work ----------------------------------------------------------------------------

    def take(self, delegate: Delegate) -> None:
        """Another check of this worker; it is told of it with the first order."""
        self._delegates[delegate.number] = delegate

    def forget(self, delegate: Delegate) -> None:
        """The check is gone."""
        self._delegates.pop(delegate.number, None)
        if delegate.known is not None and delegate.known[0] == self._life:
            self._forgotten.append(delegate.number)
            self._soon()

    def begin(self, delegate: Delegate, timeout: float, plan: Plan, done: Done) -> AwayRun:
        """Order a run; ``done`` is told its result, None when it was cancelled."""
        number = next(self._run_numbers) % _WRAP
        run = self._runs[number] = AwayRun(self, number, delegate, timeout, plan, done=done)
        self._orders.append(number)
        if not self._flushing:
            self._soon()
        return run

    def cancel(self, run: AwayRun) -> None:
        """Nobody wants to know how it ends."""
        if self._runs.pop(run.number, None) is not None and run.sent_at is not None:
            self._cancelled.append(run.number)
            self._soon()

    def heard(self, line: Line, kind: Kind, content: bytes) -> None:
        """What the process says. Raises BrokenStreamError."""
        if kind is Kind.RESULTS:
            self._take_results(content)
        elif kind is Kind.PONG:
            line.unanswered = 0
            health = Health.decode(content)
            self._record.cpu = self._cpu + health.cpu
            self._record.resident = health.resident
            self._record.descriptors = health.descriptors
        elif kind is Kind.READY:
            line.ready.set()
            self.came_up(line)
        else:
            raise BrokenStreamError(f"a worker does not say {kind.name}")

    def _take_results(self, content: bytes) -> None:
        rows = read_results(content)
        for row in rows:
            number, check, facts = row[0], row[1], row[-1]
            delegate = self._delegates.get(check)
            if delegate is not None and facts is not None:
                delegate.facts = facts
            run = self._runs.pop(number, None)
            if run is not None:
                run.over(result_of(row, run.delegate.facts))
        self._record.runs += len(rows)
        self._record.in_flight = len(self._runs)

    def _soon(self) -> None:
        if not self._flushing and self._line is not None:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Everything that there is to say, in one go."""
        self._flushing = False
        line = self._line
        if line is None:
            return
        if self._cancelled:
            line.send(Kind.CANCEL, numbers(self._cancelled))
            self._cancelled.clear()
        if self._forgotten:
            line.send(Kind.FORGET, numbers(self._forgotten))
            self._forgotten.clear()
        orders, self._orders = self._orders[:AT_ONCE], self._orders[AT_ONCE:]
        self._order(line, orders)
        if self._orders:
            self._soon()

    def _order(self, line: Line, orders: list[int]) -> None:
        now = asyncio.get_running_loop().time()
        pairs: list[int] = []
        unknown: dict[int, Definition] = {}
        for number in orders:
            run = self._runs.get(number)
            if run is None:
                continue
            run.sent_at = now
            delegate = run.delegate
            check = delegate.number
            if delegate.known != (known := (self._life, run.timeout, run.plan)):
                delegate.known = known
                unknown[check] = Definition(
                    check, delegate.kind, delegate.options, run.timeout, run.plan
                )
            pairs += number, check
        if unknown:
            line.send(Kind.DEFINE, pickled(list(unknown.values())))
        if pairs:
            line.send(Kind.ORDER, numbers(pairs))
        self._record.in_flight = len(self._runs)


def _give_up(run: AwayRun, why: str) -> None:
    text = f"internal error: {why}"
    run.over(Result(ok=False, duration=0.0, reason=Reason.INTERNAL, error=text))


def wait_after(quick_deaths: int) -> float:
    """Seconds until the next process is started, after so many that died soon, in a row."""
    if quick_deaths < 2:
        return 0.0
    return min(LONGEST_WAIT, SHORTEST_WAIT * 2.0 ** min(quick_deaths - 1, 16))
