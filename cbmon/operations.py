"""What the web may ask of the daemon (:class:`cbmon.web.services.Services`), answered by its rooms.

Rule: it reads what runs and passes orders on; what is configured and how a reload goes, only the
composition root knows, so it is told both by functions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from cbmon import __version__
from cbmon.apps import Apps
from cbmon.breaker import InvalidTransitionError
from cbmon.config import Config
from cbmon.config.statuspage import StatusPageSection
from cbmon.interfaces import Clock, Commit, Store
from cbmon.keeping import EVERY
from cbmon.logs import fields
from cbmon.metrics import Exposition, Metrics
from cbmon.model import Result, SkipCause
from cbmon.monitor import Monitor
from cbmon.notify.service import Notifying
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.heartbeat.heart import Beat
from cbmon.probes.heartbeat.probe import Hearts
from cbmon.scheduler import Scheduler
from cbmon.settings.sheet import Author
from cbmon.sources.watch import Watch
from cbmon.store import Journal
from cbmon.store.sampler import Sampler
from cbmon.web.administration import Record, Settings
from cbmon.web.services import ComponentView, Operation, Order, ReloadOutcome, ResetOutcome

log = logging.getLogger(__name__)

DURABLE: Final = 1.0
"""Seconds that an answer waits until what was done is on the disk; a broken store stops nobody."""
SLICE: Final = 200
"""Breakers that are moved before the loop may do something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The running parts that answers come from."""

    clock: Clock
    monitor: Monitor
    apps: Apps
    scheduler: Scheduler
    journal: Journal
    store: Store
    notifying: Notifying
    metrics: Metrics
    probing: ProbeEnvironment
    settings: Settings
    record: Record
    watch: Watch
    sampler: Sampler


class Operations:
    """Everything that the page, the API and the control socket read and order."""

    def __init__(
        self,
        rooms: Rooms,
        *,
        config: Callable[[], Config],
        not_ready: Callable[[], str],
        reload: Callable[[str, str | None], Awaitable[ReloadOutcome]],
    ) -> None:
        self.version = __version__
        self.clock = rooms.clock
        self.started_at = rooms.clock.time()
        self._rooms = rooms
        self._config = config
        self._not_ready = not_ready
        self._reload = reload

    # --- reading -------------------------------------------------------------------------

    @property
    def notifying(self) -> Notifying:
        """Messages and silences."""
        return self._rooms.notifying

    @property
    def settings(self) -> Settings:
        """Settings at run time."""
        return self._rooms.settings

    @property
    def record(self) -> Record:
        """Events and the audit log."""
        return self._rooms.record

    @property
    def results(self) -> Sampler:
        """What runs found, over time."""
        return self._rooms.sampler

    @property
    def kept(self) -> Mapping[int, float]:
        """For how long each level of results is kept."""
        return self._config().storage.results.levels

    @property
    def exposition(self) -> Exposition:
        """Renders the metrics."""
        return self._rooms.metrics.exposition

    @property
    def external_url(self) -> str | None:
        """Under which address users reach the page."""
        return self._config().external_url

    @property
    def status_page(self) -> StatusPageSection:
        """What of it is public."""
        return self._config().web.status_page

    def discoveries(self) -> list[dict[str, Any]]:
        """The sources of targets."""
        return self._rooms.watch.views()

    def components(self) -> Iterable[ComponentView]:
        """Every check and export, then the breakers of applications and of receiver lines."""
        return chain(self._rooms.monitor, self._rooms.apps, self._rooms.notifying.lines())

    def component(self, name: str) -> ComponentView:
        """The one of that name."""
        rooms = self._rooms
        if name in rooms.monitor:
            return rooms.monitor.component(name)
        if name in rooms.notifying.breakers:
            return rooms.notifying.line(name)
        return rooms.apps.component(name)

    def next_run_in(self, name: str) -> float | None:
        """Seconds until its next planned run."""
        due = self._rooms.scheduler.next_run(name)
        return None if due is None else max(0.0, due - self.clock.monotonic())

    def ready(self) -> Sequence[str]:
        """Why the daemon is not ready, in words."""
        reasons = [reason] if (reason := self._not_ready()) else []
        if not self._rooms.journal.healthy:
            reasons.append("the store cannot be written; transitions wait in memory")
        return reasons

    async def transitions(
        self, *, component: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[dict[str, Any]]:
        """Moves as the store has them, newest first."""
        return await self._rooms.store.transitions(component=component, limit=limit, before=before)

    async def incidents(
        self, *, open_only: bool = False, limit: int = 100, before: str | None = None
    ) -> list[dict[str, Any]]:
        """Incidents as the store has them, newest first."""
        return await self._rooms.store.incidents(open_only=open_only, limit=limit, before=before)

    # --- orders --------------------------------------------------------------------------

    async def reload(self, author: Author) -> ReloadOutcome:
        """Read the configuration again and bring it into force, or change nothing."""
        return await self._reload(author.actor, author.request)

    async def act(self, name: str, order: Order) -> None:
        """Carry out an operator's order."""
        action, options = order.operation.value, {}
        if order.hold and order.operation in {Operation.OPEN, Operation.CLOSE}:
            action = f"force_{action}"
        elif order.operation is Operation.OPEN:
            options["for_seconds"] = order.for_seconds
        elif order.operation is Operation.ENABLE:
            options["reset_counters"] = order.reset_counters
        if name in self._rooms.notifying.breakers:
            self._move_line(name, action, order, options)
            return
        if name not in self._rooms.monitor:
            self._rooms.apps.order(
                name,
                action,
                actor=order.actor,
                reason=order.reason or "",
                request=order.request,
                **options,
            )
            return
        try:
            self._rooms.monitor.act(
                name,
                action,
                actor=order.actor,
                reason=order.reason or "",
                request=order.request,
                **options,
            )
        finally:
            await self._rooms.journal.flush(DURABLE)

    def _move_line(self, name: str, action: str, order: Order, options: Mapping[str, Any]) -> None:
        """Move the breaker of a receiver line, and record who did."""
        line, refused = self._rooms.notifying.line(name), None
        try:
            getattr(line.breaker, action)(actor=order.actor, reason=order.reason or "", **options)
        except InvalidTransitionError as error:
            refused = str(error)
            raise
        finally:
            author = Author(actor=order.actor, reason=order.reason, request=order.request)
            given = {key: value for key, value in options.items() if value is not None}
            self.record.note(action, author, component=name, refused=refused, details=given)

    async def reset_all(self, author: Author) -> ResetOutcome:
        """Reset every breaker; applications are told to, where they accept it."""
        rooms, count, left = self._rooms, 0, dict[str, str]()
        for own in [*rooms.monitor, *rooms.notifying.lines()]:
            own.breaker.reset(actor=author.actor, reason=author.reason)
            count += 1
            if count % SLICE == 0:
                await asyncio.sleep(0)
        for app in rooms.apps:
            asked = {"actor": author.actor, "reason": author.reason or ""}
            if refused := rooms.apps.ask(app.name, "reset", **asked):
                left[app.name] = refused
            else:
                count += 1
        details = {"breakers": count, **({"left": len(left)} if left else {})}
        self.record.note("reset_all", author, component=EVERY, details=details)
        await rooms.journal.flush(DURABLE)
        return ResetOutcome(reset=count, left=left)

    async def run_component(self, name: str, author: Author) -> Result | SkipCause:
        """Run it now behind its breaker."""
        log.info("run asked for", extra=fields(component=name, actor=author.actor))
        self.record.note("check", author, component=name)
        return await self._rooms.monitor.run_now(name) or SkipCause.BREAKER

    async def heartbeat(
        self, token: str, signal: str, *, status: int | None = None, run_id: str = ""
    ) -> bool:
        """A job says that it lives; durable when this returns."""
        rooms = self._rooms
        probes = await rooms.probing.shared(Hearts).find(token)
        if not probes:
            return False
        beat = Beat(signal)
        for probe in probes:
            probe.hear(beat, run_id=run_id, exit_status=status)
        heard = [one for one in rooms.monitor if one.runner in probes]
        snapshots = {one.name: one.snapshot() for one in heard}
        rooms.journal.refresh(snapshots)  # an older one may wait there
        await rooms.store.commit(Commit(snapshots=snapshots))
        for component in heard:
            if beat is Beat.SUCCESS:
                rooms.monitor.nudge(component, actor="heartbeat", reason="the job has succeeded")
            elif beat is Beat.FAIL:
                rooms.monitor.start(component)
        return True
