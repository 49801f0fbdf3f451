"""A small daemon's worth of metrics, and the same numbers rendered by prometheus_client.

Rule: the reference is written from the records' plain numbers and shares no code with what it
judges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric

from cbmon.breaker.breaker import CircuitBreaker
from cbmon.metrics import ComponentRecord, Metrics
from cbmon.model import BreakerInfo, Category, Phases, Reason, Result, SkipCause
from cbmon.testing import ManualClock

GOOD = Result(ok=True, duration=0.25, phases=Phases(0.001, 0.002, 0.0, 0.24, 0.007))
BAD = Result(
    ok=False,
    duration=5.0,
    reason=Reason.TIMEOUT,
    error="no answer",
    certificate_expiry=1_800_000_000.0,
    domain_expiry=1_900_000_000.0,
)


class Daemon:
    """Metrics on a clock that the test moves, and how things come into being on them."""

    def __init__(self) -> None:
        self.clock = ManualClock(start=1000.0)
        self.metrics = Metrics(self.clock, version="1.2.3", suppressions=("silenced", "flapping"))

    def add(
        self, name: str, category: Category = Category.CHECK, **policy: Any
    ) -> tuple[ComponentRecord, CircuitBreaker]:
        info = BreakerInfo(
            name=name, category=category, group="shop", kind="http", target=f"https://{name}/"
        )
        breaker = CircuitBreaker(name, clock=self.clock, category=category, seed=1, **policy)
        return self.metrics.add_component(info, breaker), breaker

    def run(self, record: ComponentRecord, breaker: CircuitBreaker, result: Result) -> None:
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.record(permit, failed=not result.ok, duration=result.duration)
        record.observe(result, self.clock.time())

    def text(self) -> str:
        return self.metrics.exposition.text().decode()

    def value(self, series: str) -> float | None:
        name, _, labels = series.removesuffix("}").partition("{")
        if labels:
            series = f"{name}{{{','.join(sorted(labels.split(',')))}}}"
        found = [line for line in self.text().splitlines() if line.startswith(f"{series} ")]
        assert len(found) <= 1
        return float(found[0].rsplit(" ", 1)[1]) if found else None

    def series(self) -> set[str]:
        lines = self.text().splitlines()
        return {line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")}


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
def busy(daemon: Daemon) -> Daemon:
    """Checks, an export and receivers that something happened to."""
    names = ['quoted "name"', "back\\slash", "zwei Zeilen", "Größe ☃", "100 % {} sure", "plain"]
    made = [daemon.add(name) for name in names]
    for record, breaker in made:
        daemon.run(record, breaker, GOOD)
    for _ in range(5):
        daemon.run(*made[0], BAD)
    record, breaker = daemon.add("windowed", kind="percentage", slow_call_seconds=1.0)
    for _ in range(5):
        daemon.run(record, breaker, GOOD)
        daemon.run(record, breaker, BAD)
    assert breaker.try_acquire() is None
    record.skip(SkipCause.OVERRUN, 3)
    exported, gateway = daemon.add("gateway", Category.EXPORT)
    daemon.run(exported, gateway, GOOD)
    gateway.force_open(actor="someone")
    guard = CircuitBreaker("oncall", clock=daemon.clock, category="receiver")
    daemon.metrics.add_breaker(guard)
    guard.record(guard.try_acquire() or 0, failed=False, duration=0.3)
    for receiver in ("oncall", "hook"):
        daemon.metrics.add_receiver(receiver)
    daemon.metrics.notified("oncall", 0.7)
    daemon.metrics.notification_failed("oncall", Reason.CONNECT)
    daemon.metrics.notification_suppressed("oncall", "silenced")
    daemon.metrics.backlog("hook", 3, 1_767_225_000.5, 1)
    daemon.metrics.lateness(0.003)
    daemon.metrics.loop_lag(0.02)
    daemon.metrics.store_error()
    daemon.metrics.reloaded(ok=True, at=1_767_225_600.25, hash="00000000ffee99")
    due = daemon.clock.monotonic() + 7.5
    daemon.metrics.next_run = {"plain": due}.get
    return daemon


@pytest.fixture
def reference() -> Callable[[Daemon], CollectorRegistry]:
    def make(daemon: Daemon) -> CollectorRegistry:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Reference(daemon))
        return registry

    return make


class _Reference:
    """Checks and exports, the plain way."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def collect(self) -> Iterator[Metric]:
        for word, category in (("check", Category.CHECK), ("export", Category.EXPORT)):
            records = [
                record
                for record in self._daemon.metrics.records(category)
                if isinstance(record, ComponentRecord)
            ]
            yield from self._components(word, records)

    def _components(self, word: str, records: list[ComponentRecord]) -> Iterator[Metric]:
        info = InfoMetricFamily(f"cbmon_{word}", "x", labels=[word])
        up = GaugeMetricFamily(f"cbmon_{word}_up", "x", labels=[word])
        runs = CounterMetricFamily(f"cbmon_{word}_runs", "x", labels=[word])
        failed = CounterMetricFamily(f"cbmon_{word}_failures", "x", labels=[word, "reason"])
        skipped = CounterMetricFamily(f"cbmon_{word}_skipped", "x", labels=[word, "cause"])
        phases = GaugeMetricFamily(
            f"cbmon_{word}_phase_last_seconds", "x", labels=[word, "phase"], unit="seconds"
        )

        def seconds(name: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"cbmon_{word}_{name}", "x", labels=[word], unit="seconds")

        duration = seconds("last_duration_seconds")
        last, good = (
            seconds("last_run_timestamp_seconds"),
            seconds("last_success_timestamp_seconds"),
        )
        planned = seconds("next_run_timestamp_seconds")
        expiry = seconds("certificate_expiry_timestamp_seconds")
        domain = seconds("domain_expiry_timestamp_seconds")
        ahead = self._daemon.clock.time() - self._daemon.clock.monotonic()
        for record in records:
            name = [record.name]
            told = record.info
            info.add_metric(name, {"group": told.group, "kind": told.kind, "target": told.target})
            up.add_metric(name, record.up)
            runs.add_metric(name, record.runs)
            for reason in Reason:
                failed.add_metric([*name, reason], (record.failures or {}).get(reason, 0))
            for index, cause in enumerate(SkipCause):
                skipped.add_metric([*name, cause], record.skips[index] if record.skips else 0)
            for phase, spent in record.phases._asdict().items():
                phases.add_metric([*name, phase], spent)
            duration.add_metric(name, record.duration)
            last.add_metric(name, record.last_run_at)
            good.add_metric(name, record.last_success_at)
            due = self._daemon.metrics.next_run(record.name)
            planned.add_metric(name, 0.0 if due is None else due + ahead)
            if record.certificate_expiry is not None:
                expiry.add_metric(name, record.certificate_expiry)
            if record.domain_expiry is not None:
                domain.add_metric(name, record.domain_expiry)
        yield from (info, up, runs, failed, skipped, phases, duration, last, good, planned, expiry)
        if word == "check":
            yield domain


@pytest.fixture
def breaker_reference() -> Callable[[Daemon], list[Metric]]:
    """Histograms of checks are the records', which the library's collector does not know."""

    def make(daemon: Daemon) -> list[Metric]:
        family = HistogramMetricFamily(
            "circuit_breaker_call_duration_seconds",
            "x",
            labels=["category", "component"],
            unit="seconds",
        )
        for category in (Category.CHECK, Category.EXPORT):
            for record in daemon.metrics.records(category):
                assert isinstance(record, ComponentRecord)
                limits = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5"]
                total, buckets = 0, []
                for limit, inside in zip(
                    [*limits, "5.0", "10.0", "+Inf"], record.counts, strict=True
                ):
                    total += inside
                    buckets.append((limit, total))
                family.add_metric([category, record.name], buckets, record.duration_sum)
        return [family]

    return make
