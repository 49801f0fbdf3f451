"""Firing schedules: the monotonic timeline against one APScheduler job per check.

Run: python benchmarks/scheduling.py [--seconds 5] [--rounds 3]
CPU seconds of the process per firing, callbacks that do nothing; runs alternate.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from cbmon.scheduler import Scheduler
from cbmon.timeline import Timeline


class SystemClock:
    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


Run = tuple[float, int, list[float]]


def nothing(*_: object) -> None:
    """A run that costs nothing."""


async def timeline(checks: int, interval: float, seconds: float) -> Run:
    late: list[float] = []
    scheduler = Scheduler(SystemClock(), lateness=late.append)
    for number in range(checks):
        scheduler.add(f"check-{number}", interval, nothing)
    scheduler.start()
    before = time.process_time()
    await asyncio.sleep(seconds)
    spent = time.process_time() - before
    await scheduler.stop()
    return spent, len(late), late


async def job_per_check(checks: int, interval: float, seconds: float) -> Run:
    fired = 0

    async def run() -> None:
        nonlocal fired
        fired += 1

    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    scheduler = AsyncIOScheduler(timezone="UTC")
    for _ in range(checks):
        scheduler.add_job(run, "interval", seconds=interval, jitter=interval / 2)
    scheduler.start()
    before = time.process_time()
    await asyncio.sleep(seconds)
    spent = time.process_time() - before
    scheduler.shutdown(wait=False)
    await asyncio.sleep(0)
    return spent, max(1, fired), []


def loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    found: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        return found
    return {**found, "uvloop": uvloop.new_event_loop}


def measured(
    what: Callable[[int, float, float], object],
    factory: Callable[[], asyncio.AbstractEventLoop],
    arguments: tuple[int, float, float],
) -> Run:
    with asyncio.Runner(loop_factory=factory) as runner:
        found: Run = runner.run(what(*arguments))  # type: ignore[arg-type]
    return found


def live(seconds: float, rounds: int) -> None:
    for name, factory in loops().items():
        for checks, interval in ((1_000, 10.0), (10_000, 10.0), (50_000, 10.0)):
            runs = [measured(timeline, factory, (checks, interval, seconds)) for _ in range(rounds)]
            spent = statistics.median(cpu / fired for cpu, fired, _ in runs)
            late = sorted(each for _, _, every in runs for each in every)
            share = statistics.median(cpu for cpu, _, _ in runs) / seconds
            print(
                f"{name:<8} {checks:>6,} checks every {interval:.0f} s: {spent * 1e6:6.1f} µs per "
                f"firing, {share:6.1%} of a core, late p50 {late[len(late) // 2] * 1e3:.2f} "
                f"p99 {late[len(late) * 99 // 100] * 1e3:.2f} max {late[-1] * 1e3:.2f} ms"
            )
        spent, fired, _ = measured(job_per_check, factory, (1_000, 2.0, seconds))
        print(
            f"{name:<8}  1,000 APScheduler jobs every 2 s: {spent / fired * 1e6:6.1f} µs per firing"
        )


def pure(checks: int = 10_000) -> None:
    def timed(work: Callable[[], object], each: int) -> float:
        gc.collect()
        before = time.perf_counter()
        work()
        return (time.perf_counter() - before) / each * 1e6

    line = Timeline()
    names = [f"check-{number}" for number in range(checks)]

    def fire_all() -> int:
        fired = 0
        for cell in range(5_000):
            while line.pop(100.0 + (cell + 1) * 0.002) is not None:
                fired += 1
        return fired

    def add_all() -> None:
        for name in names:
            line.add(name, 10.0, nothing, now=100.0)

    def move_all() -> None:
        for name in names:
            line.at(name, 500.0, now=110.0)

    def remove_all() -> None:
        for name in names:
            line.remove(name)

    for what, work in (
        ("add", add_all),
        ("fire", fire_all),
        ("move", move_all),
        ("remove", remove_all),
    ):
        print(f"{what:<8}{timed(work, checks):6.2f} µs for one of {checks:,}")
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for name in names:
        line.add(name, 10.0, nothing, now=0.0)
    held = tracemalloc.get_traced_memory()[0] - before
    print(f"memory  {held / checks:6.0f} bytes per check")
    tracemalloc.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}")
    pure()
    live(options.seconds, options.rounds)


if __name__ == "__main__":
    main()
