"""What a look costs: cbmon beside blackbox_exporter, at the same servers, in turns.

Counted is the processor time of the process that looks, in milliseconds for each probe (or
seconds for 1,000), each over a new connection. cbmon runs its general path: deadline, address
policy, phases, facts and breaker; blackbox_exporter is asked on /probe over connections that stay
open, as Prometheus asks it. Rounds alternate and their median counts, so that a machine that gets
slower meanwhile slows both.

    python benchmarks/probing.py [--rounds 7] [--probes 2000] [--check]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import _targets as targets

BARS = {"http": 0.6, "tls": 1.1, "tcp": 0.5, "dns": 0.35}
"""What cbmon may cost at most, as a ratio to blackbox_exporter."""
AT_ONCE = 10


@dataclass(frozen=True)
class Ports:
    plain: int
    secure: int
    dns: int
    blackbox: int


def checks(ports: Ports, ca: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """By kind: the type of check and its options."""
    trusted = {"ca_file": str(ca)}
    return {
        "http": ("http", {"url": f"http://127.0.0.1:{ports.plain}/"}),
        "tls": ("http", {"url": f"https://127.0.0.1:{ports.secure}/", "tls": trusted}),
        "tcp": ("tcp", {"address": f"127.0.0.1:{ports.plain}"}),
        "dns": ("dns", {"server": f"127.0.0.1:{ports.dns}", "name": targets.NAME}),
    }


def modules(ca: Path) -> dict[str, Any]:
    """The same for blackbox_exporter."""
    web = {"preferred_ip_protocol": "ip4", "fail_if_not_ssl": False}
    secure = {**web, "tls_config": {"ca_file": str(ca)}}
    dns = {"query_name": targets.NAME, "query_type": "A", "preferred_ip_protocol": "ip4"}
    found = {
        "http": {"prober": "http", "http": web},
        "tls": {"prober": "http", "http": secure},
        "tcp": {"prober": "tcp", "tcp": {"preferred_ip_protocol": "ip4"}},
        "dns": {"prober": "dns", "dns": dns},
    }
    return {"modules": {name: {**module, "timeout": "5s"} for name, module in found.items()}}


def places(ports: Ports) -> dict[str, str]:
    return {
        "http": f"http://127.0.0.1:{ports.plain}/",
        "tls": f"https://127.0.0.1:{ports.secure}/",
        "tcp": f"127.0.0.1:{ports.plain}",
        "dns": f"127.0.0.1:{ports.dns}",
    }


class Ours:
    """A process that looks when it is told to, and says what it took."""

    def __init__(self, ports: Ports, ca: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", json.dumps(checks(ports, ca))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def look(self, kind: str, probes: int) -> float:
        """Seconds of a processor for so many probes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{kind} {probes}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Theirs:
    """blackbox_exporter, asked as Prometheus asks."""

    def __init__(self, pid: int, ports: Ports) -> None:
        self._clock = (~pid << 3) | 2  # clock_getcpuclockid(3): the process's own clock
        self._port = ports.blackbox
        self._places = places(ports)

    def look(self, kind: str, probes: int) -> float:
        """Seconds of a processor for so many probes."""
        before = time.clock_gettime(self._clock)
        asyncio.run(self._ask(kind, probes))
        return time.clock_gettime(self._clock) - before

    async def _ask(self, kind: str, probes: int) -> None:
        path = f"/probe?module={kind}&target={quote(self._places[kind], safe='')}"
        request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        await asyncio.gather(
            *(self._ask_in_turn(request, share) for share in _shares(probes)),
        )

    async def _ask_in_turn(self, request: bytes, times: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        for _ in range(times):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await body_of(reader, head)
            if b"\nprobe_success 1\n" not in body:
                raise SystemExit(f"blackbox_exporter failed:\n{body.decode()}")
        writer.close()


async def body_of(reader: asyncio.StreamReader, head: bytes) -> bytes:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return await reader.readexactly(int(line.split(b":")[1]))
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    await reader.readline()
    return b"".join(parts)


def _shares(probes: int) -> list[int]:
    return [probes // AT_ONCE] * AT_ONCE


async def _work(options: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """The other side of :class:`Ours`."""
    from cbmon.breaker import CircuitBreaker, SystemClock
    from cbmon.probes import ProbeEnvironment, probe_type
    from cbmon.probes.run import run_planned

    clock = SystemClock()
    environment = ProbeEnvironment(clock=clock)

    async def in_turn(kind: str, times: int) -> None:
        name, given = options[kind]
        found = probe_type(name)
        probe = found.build(found.options.model_validate(given), environment)
        breaker = CircuitBreaker(kind, clock=clock, category="check")
        for _ in range(times):
            permit = breaker.try_acquire()
            result = await run_planned(probe, 5.0, clock)
            if permit is None or not result.ok:
                raise SystemExit(f"cbmon failed: {result.error}")
            breaker.record(permit, failed=False, duration=result.duration)

    for line in sys.stdin:
        kind, probes = line.split()
        before = time.process_time()
        await asyncio.gather(*(in_turn(kind, share) for share in _shares(int(probes))))
        print(time.process_time() - before, flush=True)
    await environment.close()


@contextlib.contextmanager
def servers() -> Iterator[tuple[Ports, Path, int]]:
    """All that is looked at, and blackbox_exporter; its process id."""
    names = "prometheus-blackbox-exporter", "blackbox_exporter"
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        ca = targets.certificates(directory)
        ports = Ports(*(targets.free_port() for _ in range(4)))
        stack.enter_context(
            targets.running(targets.nginx(directory, ports.plain, ports.secure), ports.secure)
        )
        stack.enter_context(targets.running(targets.dnsmasq(ports.dns), ports.dns))
        config = directory / "blackbox.yml"
        config.write_text(yaml.safe_dump(modules(ca)))
        command: list[str | Path] = [
            targets.program(*names),
            f"--config.file={config}",
            f"--web.listen-address=127.0.0.1:{ports.blackbox}",
            "--log.level=error",
        ]
        yield ports, ca, stack.enter_context(targets.running(command, ports.blackbox))


def measured(rounds: int, probes: int) -> dict[str, tuple[list[float], list[float]]]:
    """By kind: milliseconds for each probe in each round, cbmon's and blackbox_exporter's."""
    found: dict[str, tuple[list[float], list[float]]] = {kind: ([], []) for kind in BARS}
    with servers() as (ports, ca, pid):
        ours, theirs = Ours(ports, ca), Theirs(pid, ports)
        sides: list[Callable[[str, int], float]] = [ours.look, theirs.look]
        for kind in BARS:
            for look in sides:
                look(kind, max(AT_ONCE, probes // 4))
        for number in range(rounds):
            for kind, columns in found.items():
                for side in (0, 1) if number % 2 else (1, 0):
                    columns[side].append(sides[side](kind, probes) / probes * 1000)
        ours.end()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds, at least 5")
    parser.add_argument("--probes", type=int, default=2000, help="probes of each kind in a round")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is not held")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        import uvloop

        uvloop.run(_work(json.loads(given.worker)))
        return 0
    found = measured(max(5, given.rounds), given.probes)
    print(f"CPU ms per probe, median of {max(5, given.rounds)} rounds of {given.probes} probes")
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors\n")
    print(f"{'':6}{'cbmon':>9}{'blackbox':>10}{'ratio':>8}{'bar':>7}")
    held = True
    for kind, (ours, theirs) in found.items():
        ratio = median(ours) / median(theirs)
        held = held and ratio <= BARS[kind]
        verdict = "" if ratio <= BARS[kind] else "  over"
        print(
            f"{kind:6}{median(ours):9.3f}{median(theirs):10.3f}{ratio:8.2f}{BARS[kind]:7.2f}{verdict}"
        )
    return 0 if held or not given.check else 1


if __name__ == "__main__":
    sys.exit(main())
