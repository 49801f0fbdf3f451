"""What the daemon's rooms tell their numbers to.

Rule: every series exists from the moment its check, export or receiver is added and is gone at the
next scrape after it is removed. Only the event loop calls in here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final
from zlib import crc32

from cbmon import __version__
from cbmon.interfaces import Clock
from cbmon.metrics.apps import AppNumbers
from cbmon.metrics.exposition import COMPONENTS, Exposition
from cbmon.metrics.lines import Moment
from cbmon.metrics.own import Itself, discovery_sections, export_sections, receiver_sections
from cbmon.metrics.perfdata import PerfdataRecord, perfdata_sections
from cbmon.metrics.records import (
    BreakerRecord,
    ComponentRecord,
    DaemonBreaker,
    DiscoveryRecord,
    ReceiverRecord,
)
from cbmon.metrics.text import Family
from cbmon.metrics.workers import WorkerRecord, worker_sections
from cbmon.model import BreakerInfo, Category, Unit

_HASH_DIGITS: Final = 12
"""Hexadecimal digits of a digest that a float holds exactly."""


def _never(_name: str) -> float | None:
    return None


class Metrics:
    """The numbers of one daemon.

    ``suppressions`` are the reasons for which messages are held back: their series exist from
    the start. ``next_run`` gives the monotonic moment of a component's next run, or None; it may
    be set later, as the scheduler is made after the metrics.
    """

    def __init__(
        self, clock: Clock, *, version: str = __version__, suppressions: Iterable[str] = ()
    ) -> None:
        self._clock = clock
        self._itself = Itself(version)
        self._apps = AppNumbers()
        self._suppressions = tuple(suppressions)
        self._records: dict[Category, dict[str, BreakerRecord]]
        self._records = {category: {} for category in Category}
        self._sorted: dict[Category, Sequence[BreakerRecord]] = {}
        self._receivers: dict[str, ReceiverRecord] = {}
        self._perfdata: dict[str, PerfdataRecord] = {}
        self._workers: list[WorkerRecord] = []
        self.discoveries: dict[str, DiscoveryRecord] = {}
        """The sources of targets, by name."""
        self.next_run: Callable[[str], float | None] = _never
        self.exposition: Final = Exposition(self)

    # --- what there is -------------------------------------------------------------------

    def add_component(self, info: BreakerInfo, breaker: DaemonBreaker) -> ComponentRecord:
        """A check or an export and its breaker. The record is what its runs are told to.

        Raises ValueError for another category.
        """
        if info.category not in COMPONENTS:
            raise ValueError(f"{info.name!r} is neither a check nor an export: {info.category}")
        record = ComponentRecord(info, breaker)
        self._add(info.category, info.name, record)
        return record

    def remove_component(self, name: str) -> None:
        """Forget a check or export; an unknown one is no error."""
        self._remove(Category.CHECK, name)
        self._remove(Category.EXPORT, name)

    def add_perfdata(self, check: str, units: Mapping[str, Unit]) -> PerfdataRecord:
        """Labels of a check's performance data, instead of those it had; the record is told."""
        record = self._perfdata[check] = PerfdataRecord(check, units)
        return record

    def remove_perfdata(self, record: PerfdataRecord) -> None:
        """Forget it; one that was replaced meanwhile is no error."""
        if self._perfdata.get(record.check) is record:
            del self._perfdata[record.check]

    def add_workers(self, workers: int) -> list[WorkerRecord]:
        """So many worker processes; each tells its record."""
        self._workers = [WorkerRecord(str(number)) for number in range(1, workers + 1)]
        return self._workers

    def add_breaker(self, breaker: DaemonBreaker) -> None:
        """Another breaker, such as a receiver's; it measures durations from now on.

        Raises ValueError for the breaker of a check or an export.
        """
        if breaker.category in COMPONENTS:
            raise ValueError(f"{breaker.name!r} belongs to a component: {breaker.category}")
        breaker.enable_duration_histogram()
        self._add(Category(breaker.category), breaker.name, BreakerRecord(breaker))

    def remove_breaker(self, breaker: DaemonBreaker) -> None:
        """Forget it; an unknown one is no error."""
        self._remove(Category(breaker.category), breaker.name)

    def add_receiver(self, name: str) -> None:
        """A receiver of messages; one that is there keeps its numbers."""
        self._receivers.setdefault(name, ReceiverRecord(name))

    def remove_receiver(self, name: str) -> None:
        """Forget it; an unknown one is no error."""
        self._receivers.pop(name, None)

    # --- what happens --------------------------------------------------------------------

    def notified(self, receiver: str, latency: float) -> None:
        """A message was delivered, so many seconds after it was made."""
        if record := self._receivers.get(receiver):
            record.attempts += 1
            record.latency.observe(max(0.0, latency))

    def notification_failed(self, receiver: str, reason: str) -> None:
        """An attempt to deliver a message failed; ``reason`` is a :class:`~cbmon.model.Reason`."""
        if record := self._receivers.get(receiver):
            record.attempts += 1
            record.failures[reason] = record.failures.get(reason, 0) + 1

    def notification_suppressed(self, receiver: str, reason: str) -> None:
        """A message was not sent on purpose; ``reason`` is one of a closed set."""
        if record := self._receivers.get(receiver):
            record.suppressed[reason] = record.suppressed.get(reason, 0) + 1

    def backlog(self, receiver: str, waiting: int, oldest: float | None, dead: int) -> None:
        """How many messages wait, the Unix time the oldest was made, and the dead letters."""
        if record := self._receivers.get(receiver):
            record.queue, record.oldest, record.dead = waiting, oldest or 0.0, dead

    def app(self, application: str, process: str, *, up: bool, heard_at: float) -> None:
        """Whether a process of an application is heard of, and the Unix time it last was."""
        self._apps.heard(application, process, up=up, at=heard_at)

    def remove_app(self, application: str, process: str) -> None:
        """Forget it; an unknown one is no error."""
        self._apps.forget(application, process)

    def app_report(self, *, refused: bool) -> None:
        """An application has reported, or what it said was refused."""
        self._apps.reports += 1
        self._apps.refused += refused

    def store_error(self) -> None:
        """An access to the store failed."""
        self._itself.store_errors += 1

    def results_stored(self, count: int) -> None:
        """So many results of runs are in the store now."""
        self._itself.results_stored += count

    def results_dropped(self, count: int) -> None:
        """So many results of runs were given up."""
        self._itself.results_dropped += count

    def store_failed(self) -> None:
        """An attempt to write results failed."""
        self.store_error()

    def unknown_module(self) -> None:
        """/probe was asked for a module that does not exist."""
        self._itself.unknown_modules += 1

    def reloaded(self, ok: bool, at: float, hash: str) -> None:  # noqa: A002
        """A configuration came into force at the Unix time ``at``, or was refused (``ok``).

        ``hash`` is the digest of the one in force.
        """
        self._itself.reload_ok = int(ok)
        self._itself.hash = _as_number(hash)
        if ok:
            self._itself.reload_at = at

    def lateness(self, seconds: float) -> None:
        """A run was started so late."""
        self._itself.lateness.observe(seconds)

    def loop_lag(self, seconds: float) -> None:
        """The event loop came so late."""
        self._itself.lag.add(seconds, self._clock.monotonic())

    # --- for the exposition --------------------------------------------------------------

    def records(self, category: Category) -> Sequence[BreakerRecord]:
        """Those of one category, sorted by name."""
        known = self._sorted.get(category)
        if known is None:
            known = sorted(self._records[category].values(), key=attrgetter("encoded"))
            self._sorted[category] = known
        return known

    def moment(self) -> Moment:
        """The present time on both axes."""
        return Moment(self._clock.monotonic(), self._clock.time(), self.next_run)

    def own(self) -> Iterator[tuple[Family, bytes]]:
        """The families of what exports keep, of notifications and of the daemon itself."""
        yield from perfdata_sections(one for _, one in sorted(self._perfdata.items()))
        exports = self.records(Category.EXPORT)
        yield from export_sections(one for one in exports if isinstance(one, ComponentRecord))
        yield from discovery_sections(one for _, one in sorted(self.discoveries.items()))
        receivers = [self._receivers[name] for name in sorted(self._receivers)]
        yield from receiver_sections(receivers, self._suppressions)
        yield from self._itself.sections(self._clock.monotonic())
        yield from worker_sections(self._workers)
        yield from self._apps.sections()

    def _add(self, category: Category, name: str, record: BreakerRecord) -> None:
        self._records[category][name] = record
        self._sorted.pop(category, None)

    def _remove(self, category: Category, name: str) -> None:
        if self._records[category].pop(name, None) is not None:
            self._sorted.pop(category, None)


def _as_number(digest: str) -> int:
    try:
        return int(digest[:_HASH_DIGITS], 16)
    except ValueError:
        return crc32(digest.encode())
