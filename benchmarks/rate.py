"""The whole daemon at a rate of checks, beside blackbox_exporter asked at the same rate.

Run: python benchmarks/rate.py [--rate 1000] [--seconds 4] [--rounds 5] [--kinds http,tls,tcp,dns]

Everything of the daemon counts: timeline, breaker, probe over a new connection, record, store and
one scrape of /metrics in each measurement. The two take turns at the same nginx and dnsmasq:
while one is asked, the other is stopped (SIGSTOP). Counted is the processor time of the process
per probe; medians of the rounds. blackbox_exporter runs with GOMAXPROCS=1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import _targets as targets
from benchmarks import probing
from benchmarks.daemon import await_ready, cpu, histogram, total

BARS = {"http": 0.25, "tls": 0.8, "tcp": 0.35, "dns": 0.25}
"""What the daemon may cost at most, as a ratio to blackbox_exporter."""
CONNECTIONS = 32


class Daemon:
    """cbmon with checks of one kind, stopped unless it is measured."""

    def __init__(
        self,
        kind: str,
        ports: probing.Ports,
        ca: Path,
        rate: int,
        home: Path,
        *,
        interval: int = 0,
    ) -> None:
        name, options = probing.checks(ports, ca)[kind]
        self._port = targets.free_port()
        interval = interval or (2 if rate <= 2000 else 1)
        checks = [{"name": f"check-{n:05d}", name: options} for n in range(rate * interval)]
        config = {
            "storage": {"url": f"sqlite://{home}/{kind}-{rate}.db"},
            "web": {"listen": [f"127.0.0.1:{self._port}"]},
            "defaults": {"interval": f"{interval}s", "timeout": "1s"},
            "checks": checks,
        }
        (home / f"{kind}.yml").write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "cbmon", "run", "--config.file", f"{kind}.yml"]
        root = str(Path(__file__).parents[1])
        with (home / f"{kind}.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=home, stderr=log, env=os.environ | {"PYTHONPATH": root}
            )
        await_ready(self._process, self._port, 60)
        time.sleep(2 * interval)

    def look(self, seconds: float) -> tuple[float, float]:
        """Milliseconds of a processor for each probe, and probes per second."""
        self._process.send_signal(signal.SIGCONT)
        time.sleep(1.0)
        runs = self._runs()
        before, begun = cpu(self._process.pid), time.monotonic()
        time.sleep(seconds)
        made, took = self._runs() - runs, time.monotonic() - begun
        spent = cpu(self._process.pid) - before
        self._process.send_signal(signal.SIGSTOP)
        return spent / made * 1000, made / took

    def ninety_ninth(self) -> float:
        """The bucket of the 99th percentile of what checks took, in seconds."""
        self._process.send_signal(signal.SIGCONT)
        text = self.scraped()
        counts: dict[float, float] = {}
        for bound, count in histogram(text, "circuit_breaker_call_duration_seconds"):
            counts[bound] = counts.get(bound, 0.0) + count
        whole = max(counts.values())
        return min(bound for bound, count in counts.items() if count >= 0.99 * whole)

    def failures(self) -> float:
        return total(self.scraped(), "cbmon_check_failures_total")

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        self._process.wait(60)

    def _runs(self) -> float:
        return total(self.scraped(), "cbmon_check_runs_total")

    def scraped(self) -> str:
        url = f"http://127.0.0.1:{self._port}/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            text: str = answer.read().decode()
            return text


class Blackbox:
    """blackbox_exporter, asked on /probe over connections that stay open, as Prometheus asks."""

    def __init__(self, kind: str, pid: int, ports: probing.Ports, rate: int) -> None:
        self._clock = (~pid << 3) | 2  # clock_getcpuclockid(3): the process's own clock
        self._pid, self._port, self._rate = pid, ports.blackbox, rate
        target = quote(probing.places(ports)[kind], safe="")
        path = f"/probe?module={kind}&target={target}"
        self._request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()

    def look(self, seconds: float) -> tuple[float, float]:
        """Milliseconds of a processor for each probe, and probes per second."""
        os.kill(self._pid, signal.SIGCONT)
        asyncio.run(self._drive(1.0))
        before, begun = time.clock_gettime(self._clock), time.monotonic()
        made = asyncio.run(self._drive(seconds))
        spent, took = time.clock_gettime(self._clock) - before, time.monotonic() - begun
        os.kill(self._pid, signal.SIGSTOP)
        return spent / made * 1000, made / took

    async def _drive(self, seconds: float) -> int:
        begun = time.monotonic()
        number, made = iter(range(int(self._rate * seconds))), 0

        async def ask() -> None:
            nonlocal made
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
            for turn in number:
                await asyncio.sleep(begun + turn / self._rate - time.monotonic())
                writer.write(self._request)
                head = await reader.readuntil(b"\r\n\r\n")
                if b"\nprobe_success 1\n" not in await probing.body_of(reader, head):
                    raise SystemExit("blackbox_exporter failed")
                made += 1
            writer.close()

        await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
        return made


@contextlib.contextmanager
def servers() -> Iterator[tuple[probing.Ports, Path, int, Path]]:
    os.environ["GOMAXPROCS"] = "1"
    with probing.servers() as (ports, ca, pid), tempfile.TemporaryDirectory() as home:
        yield ports, ca, pid, Path(home)


def compared(kind: str, given: argparse.Namespace, place: Any) -> dict[str, float]:
    ports, ca, pid, home = place
    ours, theirs = Daemon(kind, ports, ca, given.rate, home), Blackbox(kind, pid, ports, given.rate)
    costs: tuple[list[float], list[float]] = ([], [])
    rates: list[float] = []
    sides = ours.look, theirs.look
    try:
        for number in range(max(5, given.rounds)):
            for side in (0, 1) if number % 2 else (1, 0):
                cost, rate = sides[side](given.seconds)
                costs[side].append(cost)
                rates.append(rate)
        p99, failed = ours.ninety_ninth(), ours.failures()
    finally:
        ours.end()
        os.kill(pid, signal.SIGCONT)  # what is stopped cannot be ended
    return {
        "ours": median(costs[0]),
        "theirs": median(costs[1]),
        "ratio": median(a / b for a, b in zip(*costs, strict=True)),
        "slowest rate": min(rates),
        "p99": p99,
        "failed": failed,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=int, default=1000, help="checks per second")
    parser.add_argument("--seconds", type=float, default=4, help="seconds of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, at least 5")
    parser.add_argument("--kinds", default="http,tls,tcp,dns")
    given = parser.parse_args()
    print(f"CPU ms per probe of the whole process at {given.rate}/s, medians")
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors\n")
    print(f"{'':6}{'cbmon':>9}{'blackbox':>10}{'ratio':>8}{'bar':>7}{'slowest':>10}{'p99':>9}")
    missed = 0
    with servers() as place:
        for kind in given.kinds.split(","):
            row = compared(kind, given, place)
            over = row["ratio"] > BARS[kind]
            missed += over
            print(
                f"{kind:6}{row['ours']:9.3f}{row['theirs']:10.3f}{row['ratio']:8.2f}"
                f"{BARS[kind]:7.2f}{row['slowest rate']:8.0f}/s{row['p99'] * 1000:6.0f} ms"
                f"{'  MISSED' if over else ''}{'  had failures' if row['failed'] else ''}",
                flush=True,
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
