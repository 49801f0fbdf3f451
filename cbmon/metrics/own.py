"""The daemon's metrics about its messages and about itself: a few lines, rendered plainly.

Rule: every series exists from the start at 0; every label value comes from a closed set or from
the configuration.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from cbmon.backlog import Backlog
from cbmon.metrics import families as f
from cbmon.metrics import result_families as r
from cbmon.metrics.records import ComponentRecord, DiscoveryRecord, Distribution, ReceiverRecord
from cbmon.metrics.text import (
    END_OF_OPENMETRICS,
    Family,
    fill,
    histogram,
    histogram_template,
    labelled,
    lines,
    number,
    opening,
    optional,
    template,
)

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

LAG_WINDOW: Final = 60.0
"""Seconds for which a lag of the event loop is remembered, at least."""


class Itself:
    """What the daemon counts about itself."""

    __slots__ = (
        "hash",
        "lag",
        "lateness",
        "reload_at",
        "reload_ok",
        "results_dropped",
        "results_stored",
        "store_errors",
        "unknown_modules",
        "version",
    )

    def __init__(self, version: str) -> None:
        self.version = version
        self.reload_ok = 0
        self.reload_at = 0.0
        self.hash = 0
        self.lateness = Distribution(f.LATENESS_BOUNDS)
        self.lag = Recent(LAG_WINDOW)
        self.store_errors = 0
        self.results_stored = 0
        self.results_dropped = 0
        self.unknown_modules = 0

    def sections(self, now: float) -> Iterator[tuple[Family, bytes]]:
        """Each family with its lines; ``now`` is monotonic."""
        versions = {"version": self.version, "python_version": platform.python_version()}
        lateness, lag = self.lateness, self.lag.worst(now)
        yield f.BUILD, lines([labelled(f.BUILD.name, versions)], "1")
        yield f.RELOAD_OK, lines([f.RELOAD_OK.name], number(self.reload_ok))
        yield f.RELOAD_AT, lines([f.RELOAD_AT.name], f"{self.reload_at:.3f}")
        yield f.HASH, lines([f.HASH.name], number(self.hash))
        yield f.LATENESS, histogram(_LATENESS, b"", lateness.counts, lateness.sum)
        yield f.LAG, lines([f.LAG.name], f"{lag:.6f}")
        yield f.STORE_ERRORS, lines([f.STORE_ERRORS.name], number(self.store_errors))
        yield r.RESULTS_STORED, lines([r.RESULTS_STORED.name], number(self.results_stored))
        yield r.RESULTS_DROPPED, lines([r.RESULTS_DROPPED.name], number(self.results_dropped))
        yield f.UNKNOWN_MODULES, lines([f.UNKNOWN_MODULES.name], number(self.unknown_modules))


class Recent:
    """The largest value of the last one to two ``seconds``, in two numbers."""

    __slots__ = ("_before", "_now", "_since", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._since = 0.0
        self._before = self._now = 0.0

    def add(self, value: float, at: float) -> None:
        """One value at a monotonic moment."""
        self._turn(at)
        self._now = max(self._now, value)

    def worst(self, at: float) -> float:
        """The largest value that is remembered; 0 if there is none."""
        self._turn(at)
        return max(self._before, self._now)

    def _turn(self, at: float) -> None:
        age = at - self._since
        if age >= self.seconds:
            self._before = self._now if age < 2 * self.seconds else 0.0
            self._now, self._since = 0.0, at


def export_sections(records: Iterable[ComponentRecord]) -> Iterator[tuple[Family, bytes]]:
    """The families of what exports keep, with the lines of every export."""
    records = list(records)
    labels = [record.encoded.decode() for record in records]

    def plain(
        family: Family, value: Callable[[Backlog], float], form: Callable[[float], str] = number
    ) -> tuple[Family, bytes]:
        values = [value(record.backlog) for record in records]
        return family, optional(opening(family.name, "export"), labels, values, form)

    def dropped(record: ComponentRecord) -> bytes:
        counts = [record.backlog.dropped.get(cause, 0) for cause in f.DROP_CAUSES]
        pattern = template(f.EXPORT_DROPPED.name, "export", "cause", f.DROP_CAUSES)
        return fill(pattern, record.encoded, tuple(counts))

    yield f.EXPORT_DROPPED, b"".join(map(dropped, records))
    yield plain(f.EXPORT_SAMPLES, attrgetter("samples"))
    yield plain(f.EXPORT_QUEUE, attrgetter("queue"))
    yield plain(f.EXPORT_QUEUE_BYTES, attrgetter("bytes"))
    yield plain(f.EXPORT_OLDEST, attrgetter("oldest"), "{:.3f}".format)


def discovery_sections(records: Iterable[DiscoveryRecord]) -> Iterator[tuple[Family, bytes]]:
    """The families of discovered targets, with the lines of every source."""
    records = list(records)
    labels = [record.label for record in records]

    def plain(
        family: Family, name: str, form: Callable[[float], str] = number
    ) -> tuple[Family, bytes]:
        values = map(attrgetter(name), records)
        return family, optional(opening(family.name, "discovery"), labels, values, form)

    yield plain(f.DISCOVERED, "targets")
    yield plain(f.DISCOVERY_REJECTED, "rejected")
    yield plain(f.DISCOVERY_FAILURES, "failures")
    yield plain(f.DISCOVERY_SUCCESS, "last_success_at", "{:.3f}".format)


def receiver_sections(
    records: Iterable[ReceiverRecord], suppressions: Iterable[str]
) -> Iterator[tuple[Family, bytes]]:
    """The families of notifications with the lines of every receiver."""
    records, suppressions = list(records), list(suppressions)

    def plain(family: Family, value: Callable[[ReceiverRecord], float]) -> tuple[Family, bytes]:
        start = opening(family.name, "receiver")
        return family, optional(start, [r.label for r in records], map(value, records), number)

    def by_reason(
        family: Family, value: Callable[[ReceiverRecord], dict[str, int]], known: Iterable[str]
    ) -> tuple[Family, bytes]:
        def told(record: ReceiverRecord) -> bytes:
            counts = dict.fromkeys(known, 0) | value(record)
            pattern = template(family.name, "receiver", "reason", counts)
            return fill(pattern, record.label.encode(), tuple(counts.values()))

        return family, b"".join(map(told, records))

    def latency(record: ReceiverRecord) -> bytes:
        return histogram(_LATENCY, record.label.encode(), record.latency.counts, record.latency.sum)

    yield by_reason(f.NOTIFICATIONS_FAILED, attrgetter("failures"), f.REASONS)
    yield plain(f.NOTIFICATIONS, attrgetter("attempts"))
    yield by_reason(f.NOTIFICATIONS_SUPPRESSED, attrgetter("suppressed"), suppressions)
    yield f.NOTIFICATION_LATENCY, b"".join(map(latency, records))
    yield plain(f.NOTIFICATION_QUEUE, attrgetter("queue"))
    yield plain(f.NOTIFICATION_OLDEST, attrgetter("oldest"))
    yield plain(f.NOTIFICATION_DEAD, attrgetter("dead"))


_LATENESS: Final = histogram_template(f.LATENESS.name, "", f.LATENESS_BOUNDS)
_LATENCY: Final = histogram_template(f.NOTIFICATION_LATENCY.name, "receiver", f.LATENCY_BOUNDS)


@cache
def _collectors() -> CollectorRegistry:
    from prometheus_client import (  # noqa: PLC0415 - costs 30 ms, for who renders only
        CollectorRegistry,
        GCCollector,
        PlatformCollector,
        ProcessCollector,
    )

    registry = CollectorRegistry(auto_describe=False)
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


def process_section(*, openmetrics: bool) -> bytes:
    """process_* and python_* as prometheus_client has them."""
    from prometheus_client import generate_latest  # noqa: PLC0415
    from prometheus_client.openmetrics import exposition  # noqa: PLC0415

    if not openmetrics:
        text: bytes = generate_latest(_collectors())
        return text
    text = exposition.generate_latest(_collectors())  # type: ignore[no-untyped-call]
    return text.removesuffix(END_OF_OPENMETRICS.encode())
