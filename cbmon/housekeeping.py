"""What the daemon does for itself every so often: save, prune, look at settings, be alive.

Rule: on the scheduler's own timeline, apart from the runs; what fails is said and tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cbmon.breaker import State
from cbmon.config import Config
from cbmon.errors import StoreError
from cbmon.exports.base import ExportEnvironment
from cbmon.interfaces import Clock, Store
from cbmon.logs import fields
from cbmon.monitor import Monitor
from cbmon.scheduler import Scheduler
from cbmon.sdnotify import Notifier as Systemd
from cbmon.store import Journal
from cbmon.tuning import Tuning

log = logging.getLogger(__name__)

STUCK: Final = 30.0
"""Seconds overdue at which the timeline counts as standing still, and the watchdog starves."""
SAVE_EVERY: Final = 5.0
PRUNE_EVERY: Final = 3600.0
LOOK_EVERY: Final = 1.0
"""Seconds after which settings that were edited in the database are noticed."""
CHANCES_EVERY: Final = 5.0
SLOW_RETRY: Final = "slow retry"
"""Who gives another chance to what disabled itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    """The daemon's own jobs."""

    clock: Clock
    config: Callable[[], Config]
    scheduler: Scheduler
    monitor: Monitor
    store: Store
    journal: Journal
    tuning: Tuning
    exporting: ExportEnvironment
    systemd: Systemd

    def schedule(self) -> None:
        """Put every job on the timeline."""
        every = self.scheduler.every
        every("save", SAVE_EVERY, self.save)
        every("prune", PRUNE_EVERY, self.prune)
        every("spools", PRUNE_EVERY, self.sweep)
        every("settings", LOOK_EVERY, self.tuning.look)
        every("chances", CHANCES_EVERY, self.give_chances)
        if (watchdog := self.systemd.watchdog_interval) is not None:
            every("watchdog", watchdog, self.feed_watchdog)

    def save(self) -> None:
        """Counters between moves."""
        self.journal.refresh(self.monitor.unsaved())

    async def prune(self) -> None:
        """History that is older than it is to be kept."""
        storage, now = self.config().storage, self.clock.time()
        kept = {level: now - seconds for level, seconds in storage.results.levels.items()}
        try:
            rows = await self.store.prune(before=now - storage.retention)
            rows += await self.store.results.prune(kept)
        except StoreError as error:
            log.warning("history was not pruned", extra=fields(error=str(error)))
        else:
            log.debug("history pruned", extra=fields(rows=rows))

    async def sweep(self) -> None:
        """Spools of exports that are gone."""
        await self.exporting.sweep(export.name for export in self.config().exports)

    def give_chances(self) -> None:
        """One more trial for breakers that disabled themselves long enough ago."""
        give_chances(self.monitor, self.config().retry_disabled, self.clock.time())

    def feed_watchdog(self) -> None:
        """Only while work goes on: a timeline that stands still is what the watchdog is for."""
        overdue = self.scheduler.overdue()
        if overdue < STUCK:
            self.systemd.watchdog()
        else:
            log.error("timeline stands still", extra=fields(overdue=overdue))


def give_chances(monitor: Monitor, after: float | None, now: float) -> list[str]:
    """Try again what disabled itself at least ``after`` seconds before ``now`` (Unix time).

    Whoever a person took out of service stays out; None gives nobody a chance. The cycles are
    kept, so one more failure disables it again. The names of those that got one.
    """
    if after is None:
        return []
    disabled = [one.name for one in monitor if one.breaker.state is State.DISABLED]
    chosen = [name for name in disabled if _is_due(monitor, name, after, now)]
    for name in chosen:
        reason = f"disabled for {after:g} s: one more trial"
        monitor.act(name, "enable", actor=SLOW_RETRY, reason=reason, reset_counters=False)
    return chosen


def _is_due(monitor: Monitor, name: str, after: float, now: float) -> bool:
    its = monitor.component(name).breaker.get_state()
    since = its["disabled_at"]
    return bool(its["auto_disabled"]) and since is not None and now - since >= after
