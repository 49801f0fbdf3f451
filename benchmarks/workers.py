"""Many checks by several processes: 16,000 every 2 s with two workers, one of which is killed.

Run: python benchmarks/workers.py [--checks 16000] [--interval 2] [--workers 2] [--kind tcp]

nginx answers. After a warm-up the processor time of every process and what the daemon counted are
taken over a while; then a worker is killed with SIGKILL, and what became of its runs is looked at.
With --workers 1 the daemon does it alone, for comparison.
"""

from __future__ import annotations

import argparse
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
from http.client import IncompleteRead
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import _targets
from benchmarks.daemon import await_ready, cpu, histogram, quantile, resident, total

OPTIONS = {
    "tcp": "tcp: {{address: '127.0.0.1:{port}'}}",
    "http": "http: {{url: 'http://127.0.0.1:{port}/'}}",
}


def configuration(given: argparse.Namespace, home: Path, daemon: int, target: int) -> str:
    option = OPTIONS[given.kind].format(port=target)
    timeout = given.timeout or given.interval / 2
    lines = [
        f"storage: {{url: 'sqlite://{home}/cbmon.db'}}",
        f"web: {{listen: ['127.0.0.1:{daemon}']}}",
        f"defaults: {{interval: {given.interval}s, timeout: {int(timeout * 1000)}ms}}",
        "checks:",
        *(f"  - {{name: check-{number:05d}, {option}}}" for number in range(given.checks)),
    ]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def daemon(home: Path, port: int, workers: int) -> Iterator[tuple[int, float]]:
    """A daemon and the seconds until it was ready."""
    command = [
        sys.executable, "-m", "cbmon", "run", "--config.file", "cbmon.yml",
        f"--workers={workers}",
    ]  # fmt: skip
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with (home / "log").open("wb") as log:
        child = subprocess.Popen(command, cwd=home, stderr=log, env=environ)
    try:
        yield child.pid, await_ready(child, port, 90)
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            child.wait(60)
            print(f"  stopped with {child.returncode} after {time.monotonic() - begun:.2f} s")


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def skipped(text: str, cause: str) -> float:
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith(f'cbmon_check_skipped_total{{cause="{cause}"')
    )


class Counted:
    """What was counted, and used, up to a moment."""

    def __init__(self, pid: int, port: int, target: int) -> None:
        self.at = time.monotonic()
        self.cpu = {each: cpu(each) for each in (pid, *children(pid), target)}
        self.text = scrape(port)
        self.runs = total(self.text, "cbmon_check_runs_total")
        self.failures = total(self.text, "cbmon_check_failures_total")
        self.trips = total(self.text, "circuit_breaker_trips_total")
        self.repeated = total(self.text, "cbmon_worker_runs_repeated_total")
        self.skips = {cause: skipped(self.text, cause) for cause in ("missed", "overrun")}


def scrape(port: int) -> str:
    """All metrics, 90 MB for 16,000 checks; again if the machine is too busy to be in time."""
    while True:
        with (
            contextlib.suppress(IncompleteRead),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer,
        ):
            return b"".join(iter(lambda: answer.read(1 << 20), b"")).decode()


def troubles(home: Path) -> list[str]:
    """What the daemon said that is more than information, the latest of it."""
    lines = (home / "log").read_text().splitlines(keepends=True)
    return [line for line in lines if " level=info " not in line][-10:]


def told(name: str, value: float, unit: str = "") -> None:
    print(f"  {name:38s} {value:12.3f} {unit}")


def compare(first: Counted, last: Counted, pid: int, target: int) -> None:
    passed, runs = last.at - first.at, last.runs - first.runs
    told("runs per second", runs / passed)
    told("failures", last.failures - first.failures)
    for cause, before in first.skips.items():
        told(f"skipped, {cause}", last.skips[cause] - before)
    names = {pid: "daemon", target: "target"}
    for each, before in first.cpu.items():
        used = last.cpu.get(each, before) - before
        name = names.get(each, "worker")
        told(f"{name}, share of a core", used / passed)
        told(f"{name}, µs of CPU per run of all", used / max(runs, 1.0) * 1e6)
    lateness = "cbmon_scheduler_lateness_seconds"
    late = quantile(histogram(first.text, lateness), histogram(last.text, lateness), 0.99)
    told("lateness p99, at most", late, "s")
    durations = "circuit_breaker_call_duration_seconds"
    told("of runs, duration p99, at most", spread(first.text, last.text, durations), "s")


def spread(first: str, last: str, name: str) -> float:
    """The 99th percentile's bucket of all checks together."""

    def summed(text: str) -> list[tuple[float, float]]:
        found: dict[float, float] = {}
        for bound, count in histogram(text, name):
            found[bound] = found.get(bound, 0.0) + count
        return sorted(found.items())

    return quantile(summed(first), summed(last), 0.99)


def started(home: Path) -> int:
    """How many workers have become ready so far."""
    return (home / "log").read_text().count('msg="worker ready"')


def killing(home: Path, pid: int, port: int, target: int, interval: float) -> bool:
    """End a worker under load; whether nothing but the delay was to be seen of it."""
    before = Counted(pid, port, target)
    ready, begun = started(home), time.monotonic()
    os.kill(children(pid)[0], signal.SIGKILL)
    while started(home) == ready:
        time.sleep(0.01)
    told("killed; another is at work after", time.monotonic() - begun, "s")
    time.sleep(3 * interval)
    after = Counted(pid, port, target)
    told("runs begun again", after.repeated - before.repeated)
    told("skipped, overrun", after.skips["overrun"] - before.skips["overrun"])
    told("skipped, missed", after.skips["missed"] - before.skips["missed"])
    told("failures", after.failures - before.failures)
    told("breakers that tripped", after.trips - before.trips)
    return (after.failures, after.trips) == (before.failures, before.trips)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--checks", type=int, default=16_000)
    parser.add_argument("--interval", type=int, default=2)
    parser.add_argument("--timeout", type=float)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kind", choices=sorted(OPTIONS), default="tcp")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--warm-up", type=float, default=10)
    given = parser.parse_args()
    print(
        f"{given.checks} {given.kind} checks every {given.interval} s, {given.workers} workers; "
        f"Python {platform.python_version()}, {os.cpu_count()} cores"
    )
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        port, plain, secure = (_targets.free_port() for _ in range(3))
        _targets.certificates(home)
        (home / "cbmon.yml").write_text(configuration(given, home, port, plain))
        with (
            _targets.running(_targets.nginx(home, plain, secure), plain) as target,
            daemon(home, port, given.workers) as (pid, ready),
        ):
            told("ready after", ready, "s")
            time.sleep(given.warm_up)
            first = Counted(pid, port, target)
            memory = [resident(each) for each in (pid, *children(pid))]
            time.sleep(given.seconds)
            last = Counted(pid, port, target)
            compare(first, last, pid, target)
            for each, mb in zip((pid, *children(pid)), memory, strict=True):
                told("resident, first and last, MB", mb)
                told("", resident(each))
                told("descriptors", descriptors(each))
            unseen = given.workers == 1 or killing(home, pid, port, target, given.interval)
        print("".join(each for each in troubles(home)))
    whole = last.skips == first.skips and last.failures == first.failures
    print("nothing missed, nothing failed" if whole and unseen else "MISSED")
    return 0 if whole and unseen else 1


if __name__ == "__main__":
    sys.exit(main())
