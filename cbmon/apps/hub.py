"""Takes reports in and tells what they mean: new breakers, moves, silence, the end.

Rule: runs on the event loop and never waits. Every move is told once, in its order, as the event
that a breaker of the daemon would have caused; a breaker that left its state without a move that
was reported gets one all the same, so that no incident stays open for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cbmon.apps import moves
from cbmon.apps.fields import ReportError
from cbmon.apps.members import Process, Reported, component_name, from_snapshot
from cbmon.apps.orders import NoOrdersError, PendingOrder
from cbmon.apps.permission import why_not
from cbmon.apps.remote import RemoteBreaker
from cbmon.apps.report import BreakerReport, Refusal, Report
from cbmon.events import Action, Event, new_id
from cbmon.interfaces import Clock
from cbmon.logs import fields
from cbmon.metrics.records import DaemonBreaker
from cbmon.model import BreakerInfo

log = logging.getLogger(__name__)

LONGEST_POLL: Final = 60.0
"""Seconds that a request for orders may wait for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much is taken in from all applications together."""

    processes: int = 500
    breakers: int = 10_000
    kept: float = 3600.0
    """Seconds for which a silent breaker is shown before it is forgotten."""


class Numbers(Protocol):
    """The metrics, as far as applications are in them."""

    def add_breaker(self, breaker: DaemonBreaker) -> None:
        """Its series exist from now on."""
        ...

    def remove_breaker(self, breaker: DaemonBreaker) -> None:
        """They are gone."""
        ...

    def app(self, application: str, process: str, *, up: bool, heard_at: float) -> None:
        """Whether a process is heard of, and when it last was."""
        ...

    def remove_app(self, application: str, process: str) -> None:
        """Its series are gone."""
        ...

    def app_report(self, *, refused: bool) -> None:
        """A report came, or was refused."""
        ...


class Apps:
    """The breakers of applications.

    ``publish`` takes events, ``forget`` what is gone for good, ``taken`` says whether a name is
    that of a check or export already, ``labels`` are the daemon's own.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        metrics: Numbers,
        publish: Callable[[Event], None],
        forget: Callable[[Sequence[BreakerInfo]], None],
        taken: Callable[[str], bool] = lambda _: False,
        labels: Callable[[], Mapping[str, str]] = dict,
        bounds: Bounds | None = None,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._publish = publish
        self._forget = forget
        self._taken = taken
        self._labels = labels
        self._bounds = bounds or Bounds()
        self._processes: dict[tuple[str, str], Process] = {}
        self._breakers: dict[str, Reported] = {}
        self._closed = False

    # --- reading -------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Reported]:
        return iter(list(self._breakers.values()))

    def __len__(self) -> int:
        return len(self._breakers)

    def __contains__(self, name: object) -> bool:
        return name in self._breakers

    def component(self, name: str) -> Reported:
        """The breaker of that component name; KeyError."""
        return self._breakers[name]

    @property
    def processes(self) -> Sequence[Process]:
        """Every process that is known."""
        return list(self._processes.values())

    # --- reports -------------------------------------------------------------------------

    def takeable(self, report: Report) -> Report:
        """The report without the breakers whose names mean something else here already.

        ReportError when none is left.
        """
        seen: dict[str, str] = {}
        kept, refused = [], []
        for number, told in enumerate(report.breakers):
            name = component_name(report.application, report.process, told.name)
            if name not in seen and not self._taken(name):
                seen[name] = told.name
                kept.append(told)
                continue
            what = seen.get(name, "a check or export")
            text = f"{name!r} is {what!r} already"
            path = f"breakers[{number}].name"
            refused.append(Refusal(name=told.name, path=path, message=text, code="conflict"))
        return report.without(refused, kept) if refused else report

    def take(self, report: Report, owner: str) -> list[PendingOrder]:
        """Take a report of ``owner`` in; the orders that wait for the process.

        ReportError refuses it as a whole: nothing of it is taken in. What :meth:`takeable` leaves
        out is told in the log.
        """
        try:
            report = self.takeable(report)
            process = self._admit(report, owner)
        except ReportError as error:
            self._metrics.app_report(refused=True)
            log.warning(
                "report refused",
                extra=fields(application=report.application, owner=owner, error=str(error)),
            )
            raise
        self._metrics.app_report(refused=False)
        for one in report.refused:
            log.warning(
                "breaker of a report refused",
                extra=fields(application=report.application, path=one.path, error=one.message),
            )
        for order_id in report.done:
            process.orders.done(order_id)
        for told in report.breakers:
            self._hear(process, told)
        if report.final:
            self._end(process)
            return []
        self._metrics.app(*process.key, up=True, heard_at=process.heard_at)
        return process.orders.waiting(self._clock.time())

    def _admit(self, report: Report, owner: str) -> Process:
        key = (report.application, report.process)
        process = self._processes.get(key)
        if process is None:
            self._check_room(report)
            process = self._processes[key] = self._begin(report, owner)
            log.info("application reports", extra=fields(application=key[0], process=key[1]))
            return process
        if process.owner not in {owner, ""}:
            raise ReportError(
                "application",
                f"{report.application!r} is reported with the token of {process.owner!r}",
                "not_yours",
            )
        if _is_older(report, process.report) and not process.silent:
            raise ReportError(
                "process",
                "a process that started later reports under this name; "
                "give each process a name of its own",
                "superseded",
            )
        self._check_room(report)
        if process.silent:
            log.info("application is back", extra=fields(application=key[0], process=key[1]))
        process.report, process.owner, process.silent = report, owner, False
        process.common = self._labels()
        process.heard, process.heard_at = self._clock.monotonic(), self._clock.time()
        return process

    def _begin(self, report: Report, owner: str) -> Process:
        return Process(
            application=report.application,
            process=report.process,
            owner=owner,
            report=report,
            common=self._labels(),
            heard=self._clock.monotonic(),
            heard_at=self._clock.time(),
        )

    def _check_room(self, report: Report) -> None:
        new = sum(
            component_name(report.application, report.process, told.name) not in self._breakers
            for told in report.breakers
        )
        most, known = self._bounds, (report.application, report.process) in self._processes
        if not known and len(self._processes) >= most.processes:
            raise ReportError("application", f"{most.processes} processes report", "too_many")
        if len(self._breakers) + new > most.breakers:
            raise ReportError(
                "breakers", f"applications may have {most.breakers} breakers", "too_many"
            )

    def _hear(self, process: Process, told: BreakerReport) -> None:
        name = component_name(process.application, process.process, told.name)
        found = self._breakers.get(name)
        if found is None:
            remote = RemoteBreaker(name, told, process.heard, self._clock.monotonic)
            found = self._breakers[name] = Reported(name, process, remote)
            self._metrics.add_breaker(remote)
            before = None
        else:
            before = found.breaker.state
            if found.breaker.silent:
                self._metrics.add_breaker(found.breaker)
            found.breaker.hear(told, process.heard)
        found.heard_at = process.heard_at
        for event in moves.told_by(found, before, process, self._clock.time()):
            self._publish(event)

    # --- silence -------------------------------------------------------------------------

    def tick(self) -> None:
        """Look who has fallen silent, and forget whom nobody has heard of for long."""
        now = self._clock.monotonic()
        gone = []
        for found in self:
            breaker, ttl = found.breaker, found.process.report.ttl
            if not breaker.silent and now - breaker.heard > ttl:
                breaker.silent = True
                self._metrics.remove_breaker(breaker)
            if breaker.silent and now - breaker.heard > ttl + self._bounds.kept:
                gone.append(found)
        self._drop(gone)
        for process in self.processes:
            if not process.silent and now - process.heard > process.report.ttl:
                process.silent = True
                self._metrics.app(*process.key, up=False, heard_at=process.heard_at)
                log.warning(
                    "application is silent",
                    extra=fields(
                        application=process.application,
                        process=process.process,
                        seconds=round(now - process.heard, 1),
                    ),
                )
            if process.silent and now - process.heard > process.report.ttl + self._bounds.kept:
                self._remove(process)

    def _end(self, process: Process) -> None:
        """It said that it ends: its breakers go with it."""
        log.info(
            "application has ended",
            extra=fields(application=process.application, process=process.process),
        )
        self._drop([found for found in self if found.process is process])
        self._remove(process)

    def _remove(self, process: Process) -> None:
        self._processes.pop(process.key, None)
        self._metrics.remove_app(*process.key)
        process.ordered.set()

    def _drop(self, gone: Sequence[Reported]) -> None:
        for found in gone:
            del self._breakers[found.name]
            self._metrics.remove_breaker(found.breaker)
        if gone:
            self._forget([found.info for found in gone])

    # --- orders --------------------------------------------------------------------------

    def order(
        self,
        name: str,
        action: str,
        *,
        actor: str,
        reason: str = "",
        request: str | None = None,
        **options: Any,
    ) -> None:
        """Ask an application to act on its breaker, and tell the audit log.

        ``request`` is the id of the HTTP request that asked.

        KeyError; NoOrdersError when the application is silent, has not opted in to this move, or
        the move is impossible.
        """
        refused = self.ask(name, action, actor=actor, reason=reason, **options)
        now = self._clock.time()
        self._publish(
            Action(
                id=new_id(now),
                at=now,
                component=name,
                action=action,
                actor=actor,
                text=reason,
                refused=refused,
                request=request,
            )
        )
        if refused is not None:
            raise NoOrdersError(refused)

    def ask(
        self, name: str, action: str, *, actor: str, reason: str = "", **options: Any
    ) -> str | None:
        """Pass an order on without a word to the audit log; why not, if it is not. KeyError."""
        found = self._breakers[name]
        refused = why_not(found, action)
        if refused is not None:
            return refused
        now = self._clock.time()
        order = PendingOrder(
            id=new_id(now),
            breaker=found.breaker.report.name,
            action=action,
            actor=actor,
            reason=reason,
            options={key: value for key, value in options.items() if value is not None},
            at=now,
        )
        try:
            found.process.orders.add(order)
        except NoOrdersError as error:
            return str(error)
        found.process.ordered.set()
        return None

    async def orders(
        self, application: str, process: str, owner: str, wait: float
    ) -> list[PendingOrder]:
        """The orders of a process, as soon as there is one, at most ``wait`` seconds from now.

        KeyError for a process that has not reported, or that is not the owner's.
        """
        found = self._processes[application, process]
        if found.owner != owner:
            raise KeyError((application, process))
        waiting = found.orders.waiting(self._clock.time())
        if not waiting and wait > 0 and not self._closed:
            found.ordered.clear()
            try:
                async with asyncio.timeout(min(wait, LONGEST_POLL)):
                    await found.ordered.wait()
            except TimeoutError:
                return []
            waiting = found.orders.waiting(self._clock.time())
        return waiting

    # --- life ----------------------------------------------------------------------------

    def restore(self, snapshots: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Take up what the store knows of applications; the names that are none of them.

        They count as just heard of: each has its time to report again.
        """
        others = []
        for name, row in snapshots.items():
            known = from_snapshot(row)
            if known is None:
                others.append(name)
                continue
            report, run, number, breaker, heard_at, owner = known
            key = (report.application, report.process)
            process = self._processes.get(key)
            if process is None:
                process = self._processes[key] = self._begin(report, owner)
                self._metrics.app(*key, up=True, heard_at=heard_at)
            told = report.breakers[0]
            remote = RemoteBreaker(name, told, process.heard, self._clock.monotonic)
            found = self._breakers[name] = Reported(name, process, remote)
            found.run, found.last_number, found.heard_at = run, number, heard_at
            incident, began = row.get("incident"), row.get("incident_started_at")
            found.incident = incident if isinstance(incident, str) else None
            found.incident_started_at = float(began) if isinstance(began, int | float) else None
            self._metrics.add_breaker(remote)
            log.debug("application restored", extra=fields(component=name, breaker=breaker))
        return others

    def close(self) -> None:
        """Let those who wait for orders go."""
        self._closed = True
        for process in self.processes:
            process.ordered.set()


def _is_older(report: Report, known: Report) -> bool:
    return report.run != known.run and report.started_at < known.started_at
