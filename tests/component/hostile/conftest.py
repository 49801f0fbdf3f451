"""Targets that misbehave, and healthy neighbours that must not notice."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import struct
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from cbmon.interfaces import Probe
from cbmon.model import Result
from cbmon.probes import ProbeEnvironment, ProgramPolicy, probe_type
from cbmon.probes.run import run_once

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TIMEOUT = 5.0
NEIGHBOURS = 20

PROGRAMS = ("/bin/*", "/usr/bin/*", sys.executable)


class SystemClock:
    """The real time."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops: they differ in how they end, cancel and report connections."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """asyncio's own loop and the general way of HTTP take their turn in the long tier.

    The daemon runs on uvloop, and its checks go the short way.
    """
    here = Path(__file__).parent
    for item in items:
        seldom = "[asyncio" in item.name or "general" in item.name
        if item.path.parent == here and seldom:
            item.add_marker(pytest.mark.long)


@dataclass
class Authority:
    """A certificate authority that the probes are told to trust."""

    ca: trustme.CA
    file: Path

    def server(self, *names: str, **dates: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names, **dates).configure_cert(context)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    ca = trustme.CA()
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(file)
    return Authority(ca, file)


@dataclass
class Range:
    """Where targets are put up and looked at."""

    environment: ProbeEnvironment
    clock: SystemClock
    servers: list[asyncio.Server] = field(default_factory=list)
    conversations: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, handler: Handler, tls: ssl.SSLContext | None = None) -> int:
        """Listen on the loopback with ``handler``; the port."""

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self.conversations.add(task)
            try:
                await handler(reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                self.conversations.discard(task)
                writer.transport.abort()

        server = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=tls)
        self.servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def probe(
        self, kind: str, environment: ProbeEnvironment | None = None, **options: Any
    ) -> Probe:
        found = probe_type(kind)
        return found.build(found.options.model_validate(options), environment or self.environment)

    async def look(self, probe: Probe, timeout: float = TIMEOUT) -> Result:
        return await run_once(probe, timeout, self.clock)

    async def http(self, port: int, timeout: float = TIMEOUT, **options: Any) -> Result:
        options.setdefault("url", f"http://127.0.0.1:{port}/")
        return await self.look(self.probe("http", **options), timeout)

    async def tcp(self, port: int, timeout: float = TIMEOUT, **options: Any) -> Result:
        return await self.look(self.probe("tcp", address=f"127.0.0.1:{port}", **options), timeout)

    async def close(self) -> None:
        for server in self.servers:
            server.close()
        for task in tuple(self.conversations):
            task.cancel()
        await asyncio.gather(*self.conversations, return_exceptions=True)
        await self.environment.close()


@pytest.fixture
def direct() -> bool:
    """Whether HTTP goes the short way; files about HTTP go both ways."""
    return True


@pytest.fixture
async def targets(direct: bool) -> AsyncIterator[Range]:
    clock = SystemClock()
    programs = ProgramPolicy(PROGRAMS)
    made = Range(ProbeEnvironment(clock=clock, programs=programs, direct=direct), clock)
    yield made
    await made.close()


@pytest.fixture
async def neighbours(targets: Range) -> AsyncIterator[list[Result]]:
    """Twenty healthy checks that run again and again beside the test; their results."""

    async def healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    port = await targets.serve(healthy)
    results: list[Result] = []
    warm = asyncio.Event()

    async def check() -> None:
        probe = targets.probe(
            "http", url=f"http://127.0.0.1:{port}/", expect={"body": {"matches": "^ok$"}}
        )
        while True:
            results.append(await targets.look(probe, 2.0))
            if len(results) >= NEIGHBOURS:
                warm.set()
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(check()) for _ in range(NEIGHBOURS)]
    await warm.wait()
    yield results
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [one.error for one in results if not one.ok] == []


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """Bytes allocated at most since the beginning of the test."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    yield lambda: tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """How many files and sockets the process has open."""
    return lambda: sum(1 for _ in Path("/proc/self/fd").iterdir())


def reset(writer: asyncio.StreamWriter) -> None:
    """Hang up with a reset instead of an orderly end."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.fixture
def hang_up() -> Callable[[asyncio.StreamWriter], None]:
    return reset
