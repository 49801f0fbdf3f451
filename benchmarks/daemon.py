"""The whole daemon under load: 2,000 HTTP checks every 10 s, 5 % of them dead, on one core.

Run: python benchmarks/daemon.py [--seconds 300] [--checks 2000] [--interval 10]

A local server in a process of its own answers; half of the dead targets refuse, half accept and
never answer. /metrics is scraped every 5 s. Prints lateness and loop lag as the daemon's own
histograms tell them, memory over time, scrape times and CPU per check.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

BARS = {
    "lateness p99": (0.250, "s"),
    "loop lag, worst": (0.100, "s"),
    "slowest scrape": (1.0, "s"),
}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


class Answer(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(OK)
            self.transport.close()


class Silent(asyncio.Protocol):
    """Accepts and never answers."""


async def serve(good: int, silent: int) -> None:
    loop = asyncio.get_running_loop()
    first = await loop.create_server(Answer, "127.0.0.1", good, backlog=4096)
    second = await loop.create_server(Silent, "127.0.0.1", silent, backlog=4096)
    async with first, second:
        await asyncio.gather(first.serve_forever(), second.serve_forever())


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def configuration(args: argparse.Namespace, home: Path, ports: dict[str, int]) -> str:
    lines = [
        f"storage: {{url: 'sqlite://{home}/cbmon.db'}}",
        f"web: {{listen: ['127.0.0.1:{ports['daemon']}']}}",
        f"defaults: {{interval: {args.interval}s, timeout: {min(2, args.interval)}s}}",
        "checks:",
    ]
    for number in range(args.checks):
        kind = "good"
        if number % 20 == 0:
            kind = "silent" if number % 40 else "refused"
        url = f"http://127.0.0.1:{ports[kind]}/health"
        lines.append(f"  - {{name: check-{number:05d}, http: {{url: '{url}'}}}}")
    return "\n".join(lines) + "\n"


def scrape(port: int) -> tuple[float, str]:
    begun = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return time.perf_counter() - begun, text


def histogram(text: str, name: str) -> list[tuple[float, float]]:
    found = []
    for line in text.splitlines():
        if line.startswith(f"{name}_bucket{{"):
            bound = line.split('le="')[1].split('"')[0]
            found.append((float(bound.replace("+Inf", "inf")), float(line.rsplit(" ", 1)[1])))
    return found


def quantile(
    before: list[tuple[float, float]], after: list[tuple[float, float]], q: float
) -> float:
    """The upper bound of the bucket that holds the quantile of what came between two scrapes."""
    base = dict(before)
    counts = [(bound, count - base.get(bound, 0.0)) for bound, count in after]
    total = counts[-1][1]
    return next((bound for bound, count in counts if count >= q * total), float("nan"))


def total(text: str, name: str) -> float:
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith((f"{name}{{", f"{name} "))
    )


def resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def cpu(pid: int) -> float:
    parts = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def await_ready(child: subprocess.Popen[bytes], port: int, deadline: float) -> float:
    begun = time.monotonic()
    while time.monotonic() - begun < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2):
                return time.monotonic() - begun
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"the daemon was not ready within {deadline:.0f} s, or ended")


def watch(pid: int, port: int, seconds: float, warm_up: float) -> dict[str, float]:
    time.sleep(warm_up)
    _, first = scrape(port)
    cpu_before, scrapes, memory, lags = cpu(pid), [], [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(5)
        took, text = scrape(port)
        scrapes.append(took)
        memory.append(resident(pid))
        lags.append(total(text, "cbmon_event_loop_lag_seconds"))
    lateness = "cbmon_scheduler_lateness_seconds"
    late = quantile(histogram(first, lateness), histogram(text, lateness), 0.99)
    runs = total(text, "cbmon_check_runs_total") - total(first, "cbmon_check_runs_total")
    third = max(1, len(memory) // 3)
    return {
        "runs": runs,
        "runs per second": runs / seconds,
        "cpu per run, ms": (cpu(pid) - cpu_before) / max(1.0, runs) * 1000,
        "cpu, share of a core": (cpu(pid) - cpu_before) / seconds,
        "lateness p99": late,
        "loop lag, worst": max(lags),
        "slowest scrape": max(scrapes),
        "median scrape": statistics.median(scrapes),
        "memory, first third, MB": statistics.mean(memory[:third]),
        "memory, last third, MB": statistics.mean(memory[-third:]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--warm-up", type=float, default=20)
    parser.add_argument("--checks", type=int, default=2000)
    parser.add_argument("--interval", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    ports = {name: free_port() for name in ("daemon", "good", "silent", "refused")}
    children: list[subprocess.Popen[bytes]] = []
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "cbmon.yml").write_text(configuration(args, home, ports))
        serving = f"serve({ports['good']}, {ports['silent']})"
        source = f"import asyncio; from daemon import serve; asyncio.run({serving})"
        here = Path(__file__).resolve().parent
        try:
            children.append(subprocess.Popen([sys.executable, "-c", source], cwd=here))
            os.sched_setaffinity(children[0].pid, {cores[-1]})
            command = [sys.executable, "-m", "cbmon", "run", "--config.file", "cbmon.yml"]
            with (home / "log").open("wb") as log:
                children.append(subprocess.Popen(command, cwd=home, stderr=log))
            os.sched_setaffinity(children[1].pid, {cores[0]})
            ready = await_ready(children[1], ports["daemon"], 60)
            figures = {"ready after": ready} | watch(
                children[1].pid, ports["daemon"], args.seconds, args.warm_up
            )
        except (SystemExit, OSError):
            print((home / "log").read_text()[-3000:], file=sys.stderr)
            raise
        finally:
            for child in reversed(children):
                child.send_signal(signal.SIGTERM)
                child.wait(30)
    print(
        f"{args.checks} checks every {args.interval} s for {args.seconds:.0f} s, 5 % dead; "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, daemon on one"
    )
    if args.json:
        print(json.dumps(figures, indent=2))
    missed = 0
    for name, value in figures.items():
        bar, unit = BARS.get(name, (None, ""))
        verdict = ""
        if bar is not None:
            missed += not value < bar
            verdict = f"  (bar: < {bar} {unit})" + ("" if value < bar else "  MISSED")
        print(f"  {name:26s} {value:10.4f}{verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
