"""Instructions of the hot paths, against a budget: a slower commit shows without a quiet machine.

Run: python benchmarks/instructions.py [--check] [NAME ...]

Each path is run few and many times in a process under `valgrind --tool=callgrind` (or under
`perf stat`, where the machine lets a process count instructions); the difference is what one turn
costs, without imports and set-up. Budgets hold for CPython 3.11 on x86_64; elsewhere the figures
are printed and not judged. Without valgrind and perf it says so and judges nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
BUDGETS: Final = {
    "breaker": 7_300,
    "record": 2_950,
    "render, nothing new": 53_900,
    "render, all new": 87_300,
    "timeline": 10_100,
    "run": 97_500,
    "light run": 78_100,
}
"""Instructions of one turn: of one run, or of one check in a scrape."""
SLACK: Final = 1.1
"""How far above its budget a path may be."""
TURNS: Final = (200, 1200)
CHECKS: Final = 100


def breaker() -> Callable[[int], object]:
    from cbmon.breaker import CircuitBreaker

    one = CircuitBreaker("api", category="check")

    def work(turns: int) -> None:
        for _ in range(turns):
            permit = one.try_acquire()
            assert permit is not None
            one.record(permit, failed=False, duration=0.01)

    return work


def _fleet() -> tuple[Any, list[Any], Any]:
    from cbmon.breaker import CircuitBreaker, SystemClock
    from cbmon.metrics import Metrics
    from cbmon.model import BreakerInfo, Category, Phases, Result

    metrics, records = Metrics(SystemClock()), []
    for number in range(CHECKS):
        info = BreakerInfo(name=f"shop-api-{number:05}", category=Category.CHECK)
        made = CircuitBreaker(info.name, category=Category.CHECK)
        records.append(metrics.add_component(info, made))
    good = Result(ok=True, duration=0.012, phases=Phases(0.001, 0.002, 0.0, 0.009, 0.0))
    for record in records:
        record.observe(good, time.time())
    metrics.exposition.text()
    return metrics, records, good


def record() -> Callable[[int], object]:
    _, records, good = _fleet()

    def work(turns: int) -> None:
        for _ in range(turns):
            records[0].observe(good, 1.0)

    return work


def render() -> Callable[[int], object]:
    metrics, _, _ = _fleet()

    def work(turns: int) -> None:
        for _ in range(turns // CHECKS):
            metrics.exposition.text()

    return work


def render_all() -> Callable[[int], object]:
    metrics, records, good = _fleet()

    def work(turns: int) -> None:
        for turn in range(turns // CHECKS):
            for one in records:
                one.observe(good, float(turn))
            metrics.exposition.text()

    return work


def timeline() -> Callable[[int], object]:
    from cbmon.timeline import Timeline

    times = Timeline()
    for number in range(CHECKS):
        times.add(f"check-{number}", 10.0, lambda *_: None, now=0.0)

    def work(turns: int) -> None:
        now = times.next_due() or 0.0
        for _ in range(turns):
            now = times.next_due() or 0.0
            times.pop(now)

    return work


def run() -> Callable[[int], object]:
    import asyncio

    from cbmon.breaker import SystemClock
    from cbmon.interfaces import Attempt
    from cbmon.model import Phase, Result
    from cbmon.probes.run import run_planned

    class Probe:
        async def run(self, attempt: Attempt) -> Result:
            for phase in (Phase.RESOLVE, Phase.CONNECT, Phase.PROCESSING, Phase.TRANSFER):
                attempt.begin(phase)
            return attempt.passed()

        async def close(self) -> None:
            """Nothing is held."""

    async def rounds(turns: int) -> None:
        probe, clock = Probe(), SystemClock()
        for _ in range(turns):
            await run_planned(probe, 5.0, clock)
            await asyncio.sleep(0)

    return lambda turns: asyncio.run(rounds(turns))


def light_run() -> Callable[[int], object]:
    """A run without a task, which waits once, as for a connection."""
    import asyncio

    from cbmon.breaker import SystemClock
    from cbmon.interfaces import Attempt
    from cbmon.model import Phase, Result
    from cbmon.probes.steps import Bell, Deadlines, LightRun

    class Probe:
        light = True

        def __init__(self) -> None:
            self.bell = Bell()

        async def run(self, attempt: Attempt) -> Result:
            attempt.begin(Phase.RESOLVE)
            attempt.begin(Phase.CONNECT)
            await self.bell
            attempt.begin(Phase.PROCESSING)
            attempt.begin(Phase.TRANSFER)
            return attempt.passed()

        async def close(self) -> None:
            """Nothing is held."""

    async def rounds(turns: int) -> None:
        probe, deadlines = Probe(), Deadlines(SystemClock())
        for _ in range(turns):
            LightRun(probe, 5.0, deadlines, lambda _: None).step()
            probe.bell.ring()
            await asyncio.sleep(0)

    return lambda turns: asyncio.run(rounds(turns))


PATHS: Final[dict[str, Callable[[], Callable[[int], object]]]] = {
    "breaker": breaker,
    "record": record,
    "render, nothing new": render,
    "render, all new": render_all,
    "timeline": timeline,
    "run": run,
    "light run": light_run,
}


def counter() -> list[str] | None:
    """The command that counts another's instructions, None where there is none."""
    perf = ["perf", "stat", "-x,", "-e", "instructions:u"]
    if shutil.which("perf"):
        tried = subprocess.run([*perf, "true"], capture_output=True, text=True, check=False)
        if re.search(r"^\d+,", tried.stderr, re.MULTILINE):
            return perf
    if shutil.which("valgrind"):
        return ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    return None


def counted(command: list[str], name: str, turns: int) -> int:
    """Instructions of a process that goes through a path so many times."""
    child = [sys.executable, str(Path(__file__).resolve()), "--child", name, str(turns)]
    environ = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [*command, *child], capture_output=True, text=True, env=environ, check=False
    )
    found = re.search(r"Collected : (\d+)|^(\d+),", done.stderr, re.MULTILINE)
    if done.returncode or found is None:
        raise SystemExit(f"{name}: {done.stderr[-500:]}")
    return int(found[1] or found[2])


def each(command: list[str], name: str) -> int:
    """Instructions of one turn."""
    few, many = TURNS
    return (counted(command, name, many) - counted(command, name, few)) // (many - few)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="paths, all if none is named")
    parser.add_argument("--check", action="store_true", help="exit 1 when a budget is not held")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        name, turns = given.names
        PATHS[name]()(int(turns))
        return 0
    command = counter()
    if command is None:
        print("skipped: neither perf counters nor valgrind are there")
        return 0
    judged = sys.version_info[:2] == (3, 11) and platform.machine() == "x86_64"
    over = 0
    print(f"instructions per turn by {command[0]}, Python {platform.python_version()}")
    for name in given.names or PATHS:
        value, budget = each(command, name), BUDGETS[name]
        bad = judged and value > SLACK * budget
        over += bad
        print(f"  {name:22}{value:10,}   budget {budget:10,}{'   OVER' if bad else ''}", flush=True)
    if not judged:
        print("budgets are for CPython 3.11 on x86_64: not judged")
    return 1 if over and given.check else 0


if __name__ == "__main__":
    sys.exit(main())
