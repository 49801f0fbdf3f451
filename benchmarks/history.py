"""Results over time: what a run costs to keep, how large it gets, how fast a chart is read.

Run: python benchmarks/history.py [--checks 10000] [--interval 10] [--minutes 15]

A day of one shard is made in full and copied to all others, so that reads and writes meet a
database of the size that so many checks give. Then the sampler works on a clock that the benchmark
moves, minute by minute, and a task beside it tells how late the event loop is while it writes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import platform
import random
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import text

from cbmon.interfaces import Store
from cbmon.results.chunks import SHARD
from cbmon.results.store import LEVELS, RAW, Batch
from cbmon.results.tracks import Shard, Track
from cbmon.store import open_store
from cbmon.store.sampler import TICK, Sampler
from cbmon.testing import ManualClock

DAY = 86_400.0
NOW = 20_000 * DAY + DAY / 2
BARS = {
    "recording a run, us of CPU": 2.0,
    "writing a run, us of CPU": 4.0,
    "memory per check, bytes": 200.0,
    "chart of 24 h, ms": 50.0,
    "chart of 1 h, ms": 50.0,
    "chart of 90 d, ms": 50.0,
    "days of 300 checks, ms": 500.0,
    "lag while writing p99, ms": 20.0,
    "single results of a day, ms of CPU": 500.0,
}
COPY = """INSERT INTO results (level, shard, at, data)
SELECT level, :shard, at, data FROM results WHERE shard = 0"""
SIZES = "SELECT level, sum(length(data) + 24) FROM results WHERE shard = 0 GROUP BY level"


class Hooks:
    def __init__(self) -> None:
        self.stored = 0

    def results_stored(self, count: int) -> None:
        self.stored += count

    def results_dropped(self, count: int) -> None:
        raise SystemExit(f"{count} results were dropped")

    def store_failed(self) -> None:
        raise SystemExit("the store failed")


def look(track: Track, at: float, dice: random.Random) -> None:
    """One run: two of a hundred fail, the others take about 20 ms."""
    if dice.random() < 0.02:
        track.add(at, 5.0, 4)
    else:
        track.add(at, 0.02 * dice.lognormvariate(0.0, 0.4), 0)


async def a_day(store: Store, interval: float, shards: int) -> dict[int, float]:
    """A day of one shard; bytes of each level per check."""
    dice = random.Random(1)
    opened = await store.results.begin(NOW - DAY)
    shard = Shard(0, NOW - DAY)
    tracks = [Track(shard, slot, interval + 5) for slot in range(SHARD)]
    for minute in range(int(DAY / 60)):
        begun = NOW - DAY + 60 * minute
        for round_ in range(int(60 / interval)):
            for slot, track in enumerate(tracks):
                look(track, begun + interval * (round_ + slot / SHARD), dice)
        shard.turn(begun + 60)
        if minute % 5 == 4:
            merge = Batch(now=begun, run=opened.run, chunks=shard.take(), merge=[0])
            await store.results.save(merge)
    backend: Any = store
    with backend._backend.writing(durable=False) as connection:
        sizes = {level: size / SHARD for level, size in connection.execute(text(SIZES))}
        for other in range(1, shards):
            connection.execute(text(COPY), {"shard": other})
        mark = "INSERT INTO result_shards SELECT :shard, max(id) FROM results WHERE shard = :shard"
        for other in range(1, shards):
            connection.execute(text(mark), {"shard": other})
    return sizes


class Lag:
    """How late the loop is, by a task that wants to be woken every two milliseconds."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.002)
            self.late.append(time.perf_counter() - begun - 0.002)

    def close(self) -> None:
        self._task.cancel()


async def sampled(store: Store, given: argparse.Namespace) -> tuple[Sampler, dict[str, float]]:
    """Some minutes of all checks."""
    clock, hooks, dice = ManualClock(wall=NOW), Hooks(), random.Random(2)
    sampler = Sampler(store.results, clock=clock, hooks=hooks, sleep=lambda _: asyncio.sleep(1e6))
    await sampler.start()
    names = [f"check-{n:05}" for n in range(given.checks)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracks = [sampler.track(name, given.interval + 5) for name in names]
    for track in tracks * int(60 / given.interval):
        look(track, NOW, dice)
    await sampler.tick()
    gc.collect()
    memory = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    lag, recording, writing, ticks = Lag(), 0.0, 0.0, []
    await asyncio.sleep(2)
    idle, lag.late = sorted(lag.late), [0.0]
    written, hooks.stored = bytes_written(), 0
    looks = [(dice.random() < 0.02, 0.02 * dice.lognormvariate(0.0, 0.4)) for _ in range(5000)]
    per_tick = int(given.checks * TICK / given.interval)
    place = runs = 0
    for _ in range(int(given.minutes * 60 / TICK)):
        begun = time.thread_time()
        for number in range(per_tick):
            bad, seconds = looks[number % 5000]
            tracks[(place + number) % given.checks].add(
                clock.time() + TICK * number / per_tick, 5.0 if bad else seconds, 4 if bad else 0
            )
        recording += time.thread_time() - begun
        place, runs = place + per_tick, runs + per_tick
        clock.advance(TICK)
        await asyncio.sleep(0.01)
        lag.late.pop()  # that was the recording of five seconds at once
        wall, cpu = time.perf_counter(), time.process_time()
        await sampler.tick()
        writing += time.process_time() - cpu
        ticks.append(time.perf_counter() - wall)
    lag.close()
    late = sorted(lag.late)
    return sampler, {
        "recording a run, us of CPU": recording / runs * 1e6,
        "writing a run, us of CPU": writing / runs * 1e6,
        "share of a core": (recording + writing) / (given.minutes * 60),
        "memory per check, bytes": memory / given.checks,
        "one write, ms": median(ticks) * 1000,
        "longest write, ms": max(ticks) * 1000,
        "lag without writing p99, ms": idle[int(len(idle) * 0.99)] * 1000,
        "lag while writing p99, ms": late[int(len(late) * 0.99)] * 1000,
        "lag while writing max, ms": late[-1] * 1000,
        "bytes on the disk per run": (bytes_written() - written) / runs,
    }


def bytes_written() -> int:
    """What this process has made the kernel write."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


async def read(sampler: Sampler, checks: int, rounds: int = 40) -> dict[str, float]:
    dice, found = random.Random(3), {}
    now = NOW + 900
    for label, width, span in (("1 h", 60, 3600.0), ("24 h", 900, DAY), ("90 d", 86_400, 90 * DAY)):
        took, cpu = [], time.process_time()
        for _ in range(rounds):
            begun = time.perf_counter()
            name = f"check-{dice.randrange(checks):05}"
            series = await sampler.series(name, width, now - span, now + width)
            took.append(time.perf_counter() - begun)
            if not series:
                raise SystemExit(f"nothing is known of {name}")
        found[f"chart of {label}, ms"] = median(took) * 1000
        found[f"chart of {label}, ms of CPU"] = (time.process_time() - cpu) / rounds * 1000
    begun = time.process_time()
    raw = await sampler.samples("check-00007", now - DAY, now, 100_000)
    found["single results of a day, ms of CPU"] = (time.process_time() - begun) * 1000
    found["that is results"] = float(len(raw))
    begun = time.perf_counter()
    names = [f"check-{number:05}" for number in range(300)]  # as many as the status page shows
    await sampler.days(names, now - 30 * DAY)
    found["days of 300 checks, ms"] = (time.perf_counter() - begun) * 1000
    return found


async def measured(path: Path, given: argparse.Namespace) -> dict[str, float]:
    store = open_store(f"sqlite://{path}")
    await store.open()
    shards = given.checks // SHARD + 1
    sizes = await a_day(store, given.interval, shards)
    words = ("single results", *(f"sums of {level} s" for level in LEVELS))
    found = {
        f"bytes per check and day: {word}": sizes[level]
        for word, level in zip(words, (RAW, *LEVELS), strict=True)
    }
    sampler, more = await sampled(store, given)
    found |= more | await read(sampler, given.checks)
    await sampler.stop(30)
    await store.close()
    return found


def show(found: dict[str, float], bars: dict[str, float]) -> int:
    over = 0
    for name, value in found.items():
        bar = bars.get(name)
        bad = bar is not None and value > bar
        over += bad
        told = "" if bar is None else f"   bar {bar:g}{'   MISSED' if bad else ''}"
        print(f"  {name:44}{value:12.3f}{told}")
    return over


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checks", type=int, default=10_000)
    parser.add_argument("--interval", type=float, default=10.0)
    parser.add_argument("--minutes", type=float, default=15.0)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.db"
        found = asyncio.run(measured(path, given))
        found["database of a day, MB"] = path.stat().st_size / 1e6
    print(f"{given.checks:,} checks every {given.interval:g} s, SQLite")
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors")
    return 1 if show(found, BARS) else 0


if __name__ == "__main__":
    sys.exit(main())
