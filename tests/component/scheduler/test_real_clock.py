"""The scheduler on real loops and a really stepped clock: no stall, no storm, no spinning core.

Rule: seconds, not minutes; the wall clock is stepped for one child process only.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from cbmon.scheduler import Scheduler

ROOT = Path(__file__).parents[3]
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


class RealClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


def uvloop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    uvloop = pytest.importorskip("uvloop")
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_no_timer_spins_and_every_run_is_on_time(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = AsyncIOScheduler._process_jobs

    def counted(self: object) -> object:
        nonlocal looks
        looks += 1
        return look(self)

    monkeypatch.setattr(AsyncIOScheduler, "_process_jobs", counted)
    factory = asyncio.new_event_loop if kind == "asyncio" else uvloop_factory()
    lateness: list[float] = []
    ticks: list[float] = []
    took: list[float] = []

    async def main() -> None:
        scheduler = Scheduler(RealClock(), lateness=lateness.append)
        for number in range(20):
            scheduler.add(f"check-{number}", 0.5, lambda *_: None)
        scheduler.every("fast", 0.0317, lambda: ticks.append(time.monotonic()))
        scheduler.start()
        begun = time.monotonic()
        await asyncio.sleep(1.5)
        await scheduler.stop()
        took.append(time.monotonic() - begun)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    assert looks < 60 * took[0]
    assert 20 * (took[0] / 0.5 - 1) <= len(lateness) <= 20 * (took[0] / 0.5 + 1)
    assert min(lateness) >= 0.0
    assert sorted(lateness)[len(lateness) // 2] < 0.1
    assert len(ticks) in range(10, 48)


CHILD = textwrap.dedent(
    """
    import asyncio, sys, time
    from cbmon.scheduler import Scheduler

    class Clock:
        monotonic = staticmethod(time.monotonic)
        time = staticmethod(time.time)

    def say(*words):
        print(*words, flush=True)

    async def main():
        scheduler = Scheduler(Clock())
        scheduler.add("check", 0.25, lambda name, due, missed: say("run", time.monotonic(), missed))
        scheduler.every("house", 0.5, lambda: say("house", time.monotonic(), time.time()))
        scheduler.start()
        await asyncio.sleep(float(sys.argv[1]))
        await scheduler.stop()

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("step", ["+3600", "-3600"])
def test_a_really_stepped_wall_clock_neither_stalls_nor_storms(step: str, tmp_path: Path) -> None:
    if LIBRARY is None:
        if os.environ.get("CI") == "true":
            pytest.fail("libfaketime is not installed")
        pytest.skip("libfaketime is not installed")
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, "5"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": str(ROOT),
        },
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    time.sleep(2.0)  # the child lives in real time: only its wall clock can be moved
    offset.write_text(f"{step}\n")
    rest, _ = child.communicate(timeout=30)
    lines = [line.split() for line in (first + rest).splitlines()]
    runs = [float(words[1]) for words in lines if words[0] == "run"]
    house = [float(words[1]) for words in lines if words[0] == "house"]
    walls = [float(words[2]) for words in lines if words[0] == "house"]
    assert child.returncode == 0
    assert max(abs(b - a) for a, b in itertools.pairwise(walls)) > 3500
    assert len(runs) in range(15, 22)
    assert max(b - a for a, b in itertools.pairwise(runs)) < 1.5
    assert len(house) in range(6, 11)
    assert max(b - a for a, b in itertools.pairwise(house)) < 2.0
