"""A scrape: rendered from slotted records against prometheus_client's generate_latest.

Run: python benchmarks/exposition.py [--checks 10000] [--rounds 5]
Both sides hold the same series with the same values; runs alternate; medians of CPU seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import gzip
import platform
import statistics
import time
import timeit
import tracemalloc
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.parser import text_string_to_metric_families

from cbmon.breaker import BreakerPolicy, CircuitBreaker
from cbmon.metrics import ComponentRecord, Metrics
from cbmon.model import BreakerInfo, Category, Phases, Reason, Result

PEER_SERIES = 100_000
POLICY = BreakerPolicy()
GOOD = Result(ok=True, duration=0.012345, phases=Phases(0.001, 0.002, 0.0, 0.009, 0.0003))
BAD = Result(ok=False, duration=5.0, reason=Reason.TIMEOUT, error="no answer")


class SystemClock:
    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


def build(checks: int) -> tuple[Metrics, list[ComponentRecord]]:
    """So many checks, each run three times; one in twenty failed the last time."""
    metrics, records = Metrics(SystemClock()), []
    for number in range(checks):
        name = f"shop-api-{number:05}"
        info = BreakerInfo(
            name=name,
            category=Category.CHECK,
            group="shop",
            kind="http",
            target=f"https://shop-{number}.example.net/health",
        )
        breaker = CircuitBreaker(name, POLICY, category=Category.CHECK)
        records.append(metrics.add_component(info, breaker))
        results = (GOOD, GOOD, GOOD if number % 20 else BAD)
        for result in results:
            permit = breaker.try_acquire()
            assert permit is not None
            breaker.record(permit, failed=not result.ok, duration=result.duration)
            records[-1].observe(result, time.time())
    return metrics, records


def peer(text: str) -> CollectorRegistry:
    """The same series as prometheus_client's own metrics, which is how a daemon would hold them."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry(auto_describe=False)
    kinds: dict[str, type[Counter | Gauge]] = {"counter": Counter, "gauge": Gauge}
    for family in text_string_to_metric_families(text):
        names = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        if not names or family.name.startswith(("process_", "python_")):
            continue
        if family.type == "histogram":
            bounds = sorted({float(s.labels["le"]) for s in family.samples if "le" in s.labels})
            histogram = Histogram(
                family.name, family.documentation, names, buckets=bounds, registry=registry
            )
            for sample in family.samples:
                if sample.name.endswith("_count"):
                    one = histogram.labels(**sample.labels)
                    for _ in range(int(sample.value)):
                        one.observe(GOOD.duration)
            continue
        metric = kinds[family.type](family.name, family.documentation, names, registry=registry)
        for sample in family.samples:
            child = metric.labels(**sample.labels)
            child.inc(sample.value) if isinstance(child, Counter) else child.set(sample.value)
    return registry


def cpu(work: Callable[[], object]) -> float:
    gc.collect()
    before = time.process_time()
    work()
    return time.process_time() - before


def series(text: bytes) -> int:
    return sum(1 for line in text.splitlines() if not line.startswith(b"#"))


def against_peer(rounds: int) -> None:
    metrics, _ = build(PEER_SERIES // 70)
    text = metrics.exposition.text()
    registry = peer(text.decode())
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(cpu(metrics.exposition.text))
        theirs.append(cpu(lambda: generate_latest(registry)))
    mine, other = statistics.median(ours), statistics.median(theirs)
    count = series(text)
    print(f"series                       {count:>10,}   peer {series(generate_latest(registry)):,}")
    print(
        f"cbmon text()                 {mine * 1e3:>10.1f} ms  {mine / count * 1e9:.0f} ns/series"
    )
    print(
        f"prometheus_client            {other * 1e3:>10.1f} ms  {other / count * 1e9:.0f} ns/series"
    )
    print(f"ratio                        {other / mine:>10.1f} x")


async def stalls(metrics: Metrics, how: str) -> tuple[float, float, int]:
    """Seconds to the last byte, the longest time the loop was held, bytes."""
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        seen = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            worst, seen = max(worst, now - seen - 0.001), now

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0.01)
    worst = 0.0
    begun, size = time.perf_counter(), 0
    if how == "stream":
        async for chunk in metrics.exposition.stream():
            size += len(chunk)
    else:
        size = len(await getattr(metrics.exposition, how)())
    took = time.perf_counter() - begun
    watcher.cancel()
    return took, worst, size


def large(checks: int, rounds: int) -> None:
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    breakers = [CircuitBreaker(f"shop-api-{n:05}", POLICY, category="check") for n in range(1000)]
    between = tracemalloc.get_traced_memory()[0]
    metrics = Metrics(SystemClock())
    for breaker in breakers:
        info = BreakerInfo(name=breaker.name, category=Category.CHECK)
        metrics.add_component(info, breaker).observe(GOOD, time.time())
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    print(f"record, with its labels      {(after - between) / 1000:>10.0f} bytes per check")
    print(f"breaker                      {(between - before) / 1000:>10.0f} bytes per check")

    metrics, records = build(checks)
    gc.collect()
    gc.freeze()
    size = len(metrics.exposition.text())
    took = statistics.median(cpu(metrics.exposition.text) for _ in range(rounds))
    print(f"{checks:,} checks, text()       {took * 1e3:>10.1f} ms CPU, {size / 1e6:.1f} MB")
    for how in ("stream", "render", "render_gzip"):
        runs = [asyncio.run(stalls(metrics, how)) for _ in range(rounds)]
        last, worst = statistics.median(r[0] for r in runs), max(r[1] for r in runs)
        print(
            f"{checks:,} checks, {how:<13}{last * 1e3:>10.1f} ms to the last byte, "
            f"longest stall {worst * 1e3:.1f} ms, {runs[0][2] / 1e6:.1f} MB"
        )
    packed = gzip.compress(metrics.exposition.text(), 1)
    print(f"compressed                   {len(packed) / 1e6:>10.1f} MB")
    record = records[0]
    each = min(timeit.repeat(lambda: record.observe(GOOD, 1.0), number=50_000, repeat=5)) / 50_000
    print(f"observe one run              {each * 1e6:>10.2f} µs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}")
    against_peer(options.rounds)
    large(options.checks, options.rounds)


if __name__ == "__main__":
    main()
