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
def test_a_second_of_work_costs_next_to_nothing_and_is_on_time(kind: str) -> None:
    factory = asyncio.new_event_loop if kind == "asyncio" else uvloop_factory()
    lateness: list[float] = []
    ticks: list[float] = []

    async def main() -> float:
        scheduler = Scheduler(RealClock(), lateness=lateness.append)
        for number in range(20):
            scheduler.add(f"check-{number}", 0.5, lambda *_: None)
        scheduler.every("fast", 0.25, lambda: ticks.append(time.monotonic()))
        scheduler.start()
        before = time.process_time()
        await asyncio.sleep(1.5)
        spent = time.process_time() - before
        await scheduler.stop()
        return spent

    with asyncio.Runner(loop_factory=factory) as runner:
        spent = runner.run(main())
    assert spent < 0.3
    assert len(lateness) in range(58, 61)
    assert min(lateness) >= 0.0
    assert sorted(lateness)[len(lateness) // 2] < 0.01
    assert len(ticks) in {4, 5, 6}


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
    assert len(runs) in range(18, 22)
    assert max(b - a for a, b in itertools.pairwise(runs)) < 0.75
    assert len(house) in range(7, 11)
    assert max(b - a for a, b in itertools.pairwise(house)) < 1.75
    assert all(words[2] == "0" for words in lines if words[0] == "run")
