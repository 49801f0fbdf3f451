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
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import _targets
from benchmarks.daemon import await_ready, cpu, histogram, quantile, resident

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


class Numbers:
    """The text of a scrape, of which only the families that are asked for are looked at.

    90 MB for 16,000 checks: to take them apart would need a processor for seconds.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text

    def lines(self, family: str) -> list[str]:
        """The samples of one family, which stand together."""
        start = self._text.find(f"\n# TYPE {family} ".encode())
        if start < 0:
            return []
        end = self._text.find(b"\n# ", start + 3)
        found = self._text[start + 1 : len(self._text) if end < 0 else end]
        return found.decode().splitlines()[1:]

    def total(self, family: str, having: str = "") -> float:
        """The sum of its samples, of those that have a text in them."""
        return sum(float(one.rsplit(" ", 1)[1]) for one in self.lines(family) if having in one)

    def buckets(self, family: str) -> list[tuple[float, float]]:
        """Its buckets, those of all series together."""
        found: dict[float, float] = {}
        for bound, count in histogram("\n".join(self.lines(family)), family):
            found[bound] = found.get(bound, 0.0) + count
        return sorted(found.items())


class Counted:
    """What was used, and counted, up to a moment; what it says is worked out when asked for."""

    def __init__(self, pid: int, port: int, target: int) -> None:
        self.at = time.monotonic()
        self.cpu = {each: cpu(each) for each in (pid, *children(pid), target)}
        self.numbers = scrape(port)
        self.scrape = time.monotonic() - self.at

    @cached_property
    def runs(self) -> float:
        return self.numbers.total("cbmon_check_runs_total")

    @cached_property
    def failures(self) -> float:
        return self.numbers.total("cbmon_check_failures_total")

    @cached_property
    def trips(self) -> float:
        return self.numbers.total("circuit_breaker_trips_total")

    @cached_property
    def repeated(self) -> float:
        return self.numbers.total("cbmon_worker_runs_repeated_total")

    @cached_property
    def skips(self) -> dict[str, float]:
        name = "cbmon_check_skipped_total"
        return {each: self.numbers.total(name, f'cause="{each}"') for each in ("missed", "overrun")}


def scrape(port: int) -> Numbers:
    """All metrics, by a client that only takes the bytes."""
    asked = f"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    text, taken = bytearray(), memoryview(bytearray(1 << 20))
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(asked.encode())
        while got := connection.recv_into(taken):
            text += taken[:got]
    if b"\n# TYPE cbmon_build_info " not in text:
        raise ConnectionError(f"a scrape of {len(text)} bytes was cut off")
    return Numbers(bytes(text))


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
    told("scrapes before and after, the slower", max(first.scrape, last.scrape), "s")
    for name, family in (
        ("lateness", "cbmon_scheduler_lateness_seconds"),
        ("of runs, duration", "circuit_breaker_call_duration_seconds"),
    ):
        between = first.numbers.buckets(family), last.numbers.buckets(family)
        told(f"{name} p99, at most", quantile(*between, 0.99), "s")


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
