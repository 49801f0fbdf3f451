"""Many checks on one core: start, load, reload, a steady while with scrapes, stop.

Run: python benchmarks/scale.py [--checks 10000] [--interval 10] [--seconds 60]
     python benchmarks/scale.py --checks 50000 --interval 60
     python benchmarks/scale.py --minutes 30      (the slope of the memory, and nothing else)

Local servers in a process of their own answer on the other core; of one check in twenty the
target accepts and never answers. Lateness is the daemon's own histogram; lag is how late it
answers /-/healthy, asked ten times a second from outside; a scrape is read without compression
every 5 s, by a client that only takes the bytes. Wall-clock figures (lateness, lag, scrape, ready,
reload, stop) need a machine that does nothing else: its load is told with them.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import fmean, median
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.daemon import await_ready, cpu, free_port, histogram, quantile, resident, total

BARS = {
    "ready with 100 checks, s": 1.0,
    "load of the configuration, CPU s": 3.0,
    "share of a core": 0.15,
    "lateness p99, s": 0.050,
    "lag p99, s": 0.020,
    "missed runs": 0.0,
    "failed scrapes": 0.0,
    "resident, MB": 150.0,
    "scrape, s": 0.100,
    "reload of one changed check, s": 0.200,
    "stop with runs in flight, s": 10.0,
    "slope of the memory, MB/h": 1.0,
}
SETTLING: Final = 600.0
"""Seconds of a long run after which its memory should not grow any more."""
LOAD = """
import sys, time
from pathlib import Path
from cbmon.build import config_types
from cbmon.config import load_config
types = config_types()
load_config(Path(sys.argv[2]), types=types)
before = time.process_time()
load_config(Path(sys.argv[1]), types=types)
print(time.process_time() - before)
"""


@dataclass
class Place:
    """Where it all happens: a directory, and the ports of those who answer and do not."""

    home: Path
    good: int = field(default_factory=free_port)
    silent: int = field(default_factory=free_port)
    daemon: int = field(default_factory=free_port)

    def configure(self, name: str, checks: int, interval: int, silent: int = 20) -> Path:
        """A configuration in which one check of every ``silent`` hangs."""
        lines = [
            f"storage: {{url: 'sqlite://{self.home}/{name}.db'}}",
            f"web: {{listen: ['127.0.0.1:{self.daemon}']}}",
            f"defaults: {{interval: {interval}s, timeout: {min(5, interval)}s}}",
            "checks:",
        ]
        for number in range(checks):
            port = self.silent if silent and number % silent == 0 else self.good
            url = f"http://127.0.0.1:{port}/health"
            lines.append(f"  - {{name: check-{number:05d}, http: {{url: '{url}'}}}}")
        path = self.home / f"{name}.yml"
        path.write_text("\n".join(lines) + "\n")
        return path

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """The targets."""
        here = Path(__file__).resolve().parent
        serving = f"serve({self.good}, {self.silent})"
        source = f"import asyncio; from daemon import serve; asyncio.run({serving})"
        child = subprocess.Popen([sys.executable, "-c", source], cwd=here)
        os.sched_setaffinity(child.pid, {max(os.sched_getaffinity(0))})
        try:
            yield
        finally:
            child.terminate()
            child.wait(10)

    @contextlib.contextmanager
    def watching(self, path: Path) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
        """A daemon on one core, and the seconds after which it was ready."""
        command = [sys.executable, "-m", "cbmon", "run", "--config.file", path.name]
        environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        with (self.home / "log").open("wb") as log:
            child = subprocess.Popen(command, cwd=self.home, stderr=log, env=environ)
        os.sched_setaffinity(child.pid, {min(os.sched_getaffinity(0))})
        try:
            yield child, await_ready(child, self.daemon, 90)
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                child.wait(60)

    def scrape(self) -> float:
        """Seconds to the last byte, for a client to whom they are nothing but bytes."""
        begun, size = time.perf_counter(), 0
        for part in self._metrics():
            size += len(part)
        if size < 10_000:
            raise ConnectionError(f"only {size} bytes of metrics")
        return time.perf_counter() - begun

    def numbers(self) -> str:
        """What a scrape says."""
        return b"".join(map(bytes, self._metrics())).decode()

    def _metrics(self) -> Iterator[memoryview]:
        """The answer as it comes, its head included; each piece is gone at the next one."""
        asked = f"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:{self.daemon}\r\n\r\n"
        taken = memoryview(bytearray(1 << 20))
        with socket.create_connection(("127.0.0.1", self.daemon), timeout=60) as connection:
            connection.sendall(asked.encode())
            while got := connection.recv_into(taken):
                yield taken[:got]


class Lag(threading.Thread):
    """Asks /-/healthy every so many seconds over one connection; how long the answers took."""

    def __init__(self, port: int, every: float = 0.1) -> None:
        super().__init__(daemon=True)
        self._every = every
        self.took: list[float] = []
        self.ended = threading.Event()
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def run(self) -> None:
        while not self.ended.wait(self._every):
            begun = time.perf_counter()
            self._connection.request("GET", "/-/healthy")
            self._connection.getresponse().read()
            self.took.append(time.perf_counter() - begun)

    def stop(self) -> list[float]:
        """Every answer's seconds, the quickest first."""
        self.ended.set()
        self.join(30)
        return sorted(self.took)


def loading(place: Place, checks: int) -> float:
    """CPU seconds to read and judge a configuration, imports left out."""
    large, small = place.configure("large", checks, 10), place.configure("small", 1, 10)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(large), str(small)],
        capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    return float(done.stdout)


def steady(place: Place, pid: int, given: argparse.Namespace) -> dict[str, float]:
    """A while of it, after a turn of every check."""
    time.sleep(2.0 * given.interval)
    lag = Lag(place.daemon)
    first = place.numbers()
    lag.start()
    before, begun, scrapes, memory = cpu(pid), time.monotonic(), [], []
    while time.monotonic() - begun < given.seconds:
        time.sleep(5)
        scrapes.append(place.scrape())
        memory.append(resident(pid))
    spent, passed = cpu(pid) - before, time.monotonic() - begun
    lags, text = lag.stop(), place.numbers()
    lateness = "cbmon_scheduler_lateness_seconds"
    runs = total(text, "cbmon_check_runs_total") - total(first, "cbmon_check_runs_total")
    return {
        "runs per second": runs / passed,
        "missed runs": missed(text) - missed(first),
        "share of a core": spent / passed,
        "CPU ms per run": spent / runs * 1000,
        "lateness p99, s": quantile(histogram(first, lateness), histogram(text, lateness), 0.99),
        "lag p99, s": lags[int(len(lags) * 0.99)],
        "resident, MB": max(memory),
        "scrape, s": median(scrapes),
    }


def missed(text: str) -> float:
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith('cbmon_check_skipped_total{cause="missed"')
    )


def slope(seconds: list[float], values: list[float]) -> float:
    """Of the line of least squares, per hour."""
    early, low = fmean(seconds), fmean(values)
    pairs = [(at - early, value - low) for at, value in zip(seconds, values, strict=True)]
    return 3600 * sum(x * y for x, y in pairs) / sum(x * x for x, _ in pairs)


def long_run(place: Place, given: argparse.Namespace) -> dict[str, float]:
    """How its memory goes over many minutes of checks and scrapes."""
    moments, sizes, failed = [], [], 0
    with place.watching(place.configure("long", given.checks, given.interval)) as (child, _):
        begun, before = time.monotonic(), cpu(child.pid)
        while (passed := time.monotonic() - begun) < 60 * given.minutes:
            time.sleep(5)
            try:
                place.scrape()
            except OSError as error:
                failed += 1
                print(f"  after {passed / 60:4.1f} min {error}", flush=True)
            moments.append(passed)
            sizes.append(resident(child.pid))
            if len(sizes) % 60 == 0:
                print(f"  after {passed / 60:4.1f} min {sizes[-1]:7.1f} MB", flush=True)
        text, spent = place.numbers(), cpu(child.pid) - before
    settled = next((i for i, at in enumerate(moments) if at >= SETTLING), len(moments) // 2)
    return {
        "resident, MB": max(sizes),
        "slope of the memory, MB/h": slope(moments[settled:], sizes[settled:]),
        "missed runs": missed(text),
        "failed scrapes": failed,
        "share of a core, scrapes included": spent / passed,
    }


def reloading(place: Place, path: Path, pid: int) -> dict[str, float]:
    """From a changed file to the answer that it is in force, and whom that holds up."""
    lag, text = Lag(place.daemon, every=0.005), path.read_text()
    lag.start()
    time.sleep(0.1)
    path.write_text(
        text.replace(
            "check-00001, http: {url: 'http", "check-00001, http: {method: HEAD, url: 'http"
        )
    )
    url = f"http://127.0.0.1:{place.daemon}/-/reload"
    before, begun = cpu(pid), time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=60) as answer:
        said = answer.read().decode()
    took, spent = time.perf_counter() - begun, cpu(pid) - before
    if "1 changed" not in said:
        raise SystemExit(f"one check should have changed: {said}")
    return {
        "reload of one changed check, s": took,
        "the same, CPU s of the daemon": spent,
        "longest lag meanwhile, s": max(lag.stop()),
    }


def compile_all() -> None:
    """Write the bytecode that an installed package has, whatever the environment says of it."""
    compileall.compile_dir(Path(__file__).parents[1] / "cbmon", quiet=1)


def measured(place: Place, given: argparse.Namespace) -> dict[str, float]:
    found = {"load of the configuration, CPU s": loading(place, given.checks)}
    with place.watching(place.configure("few", 100, 10)) as (child, ready):
        found["ready with 100 checks, s"] = ready
        found["the same, CPU s"] = cpu(child.pid)
    path = place.configure("many", given.checks, given.interval)
    with place.watching(path) as (child, ready):
        found["ready with all checks, s"] = ready
        found["the same with all checks, CPU s"] = cpu(child.pid)
        found |= steady(place, child.pid, given)
        found |= reloading(place, path, child.pid)
    with place.watching(place.configure("hung", 1000, 4, silent=1)) as (child, _):
        time.sleep(4.5)
        begun = time.perf_counter()
        child.send_signal(signal.SIGTERM)
        child.wait(60)
        found["stop with runs in flight, s"] = time.perf_counter() - begun
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checks", type=int, default=10_000)
    parser.add_argument("--interval", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--minutes", type=float, help="only the slope of the memory, so long")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    compile_all()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        with place.answering():
            found = long_run(place, given) if given.minutes else measured(place, given)
    if given.json:
        print(json.dumps(found, indent=2))
    print(f"{given.checks:,} checks every {given.interval} s, one in twenty hangs")
    load = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors, the daemon on one")
    print(f"load of the machine at the end, this included: {load:.1f}")
    over = 0
    for name, value in found.items():
        bar = BARS.get(name)
        bad = bar is not None and value > bar
        over += bad
        told = "" if bar is None else f"   bar {bar:g}{'   MISSED' if bad else ''}"
        print(f"  {name:34}{value:10.3f}{told}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
