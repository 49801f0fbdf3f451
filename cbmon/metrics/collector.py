"""Breakers of an application, for those who use prometheus_client.

Rule: the same names, labels and helps as the daemon's. What is no longer in the registry is no
longer in the scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cbmon.breaker.counts import Counts
from cbmon.breaker.states import State
from cbmon.metrics import families as f
from cbmon.metrics.records import BreakerLike
from cbmon.metrics.text import Family

_NUMBERS: Final[dict[Family, Callable[[Counts], float | None]]] = {
    f.FAILURES: lambda counts: counts.failures,
    f.SLOW_CALLS: lambda counts: counts.slow_calls,
    f.CALLS: lambda counts: counts.calls,
    f.REJECTIONS: lambda counts: counts.rejections,
    f.TRIPS: lambda counts: counts.trips,
    f.CONSECUTIVE_FAILURES: lambda counts: counts.consecutive_failures,
    f.FAILURE_RATIO: lambda counts: counts.failure_ratio,
    f.SLOW_RATIO: lambda counts: counts.slow_ratio,
    f.CYCLES: lambda counts: counts.cycles,
    f.IN_FLIGHT: lambda counts: counts.in_flight,
    f.OPEN_UNTIL: lambda counts: counts.open_until,
    f.LAST_TRANSITION: lambda counts: counts.last_transition_at or 0.0,
}


class BreakerCollector(Collector):
    """The ``circuit_breaker_*`` metrics of a registry of breakers, or of any iterable of them.

    It is asked anew at every scrape: a breaker that was added shows, one that was evicted is
    gone. Of two breakers with the same name and category the first is shown. The histogram of
    durations needs ``breaker.enable_duration_histogram()``.

        >>> from prometheus_client import CollectorRegistry
        >>> from cbmon import BreakerRegistry
        >>> users = BreakerRegistry(failure_threshold=3)
        >>> scraped = CollectorRegistry()
        >>> scraped.register(BreakerCollector(users))
    """

    def __init__(self, breakers: Iterable[BreakerLike]) -> None:
        self._breakers = tuple(breakers) if isinstance(breakers, Iterator) else breakers

    def describe(self) -> Iterator[Metric]:
        """The families without samples: registering asks no breaker anything."""
        return iter([_empty(family) for family in f.BREAKERS])

    def collect(self) -> Iterator[Metric]:
        """The numbers of this moment."""
        families = {family: _empty(family) for family in f.BREAKERS}
        seen: set[tuple[str, str]] = set()
        for breaker in self._breakers:
            labels = (str(breaker.category), breaker.name)
            if labels not in seen:
                seen.add(labels)
                _add(families, labels, breaker.state, breaker.counts)
        return iter(families.values())


def _empty(family: Family) -> Metric:
    name, text, labels, unit = family.name, family.help, family.labels, family.unit
    if family.type == "counter":
        return CounterMetricFamily(name, text, labels=labels, unit=unit)
    if family.type == "histogram":
        return HistogramMetricFamily(name, text, labels=labels, unit=unit)
    return GaugeMetricFamily(name, text, labels=labels, unit=unit)


def _add(
    families: dict[Family, Metric], labels: tuple[str, str], state: State, counts: Counts
) -> None:
    def put(family: Family, value: float, *more: str) -> None:
        metric = families[family]
        pairs = dict(zip(family.labels, (*labels, *more), strict=True))
        metric.add_sample(family.name, pairs, value)

    put(f.STATE, state.gauge)
    for other in f.STATES:
        put(f.STATUS, float(other is state), other)
    for family, read in _NUMBERS.items():
        value = read(counts)
        if value is not None:
            put(family, value)
    for source, target in sorted({*f.OWN_MOVES, *counts.transitions}):
        put(f.TRANSITIONS, counts.transitions.get((source, target), 0), source, target)
    if counts.histogram is not None:
        _add_histogram(families[f.CALL_DURATION], labels, counts)


def _add_histogram(metric: Metric, labels: tuple[str, str], counts: Counts) -> None:
    measured = counts.histogram
    if measured is None or not isinstance(metric, HistogramMetricFamily):
        return
    total, buckets = 0, []
    for bound, inside in zip((*measured.bounds, float("inf")), measured.counts, strict=True):
        total += inside
        buckets.append(("+Inf" if bound == float("inf") else repr(bound), float(total)))
    metric.add_metric(labels, buckets=buckets, sum_value=measured.sum)
