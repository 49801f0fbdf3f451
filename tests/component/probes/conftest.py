"""A loop, an environment and targets on the loopback that behave."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from cbmon.model import Result
from cbmon.probes import ProbeEnvironment, ProgramPolicy, probe_type
from cbmon.probes.run import run_once
from cbmon.probes.steps import Deadlines, LightRun

PROGRAMS = ("/bin/*", "/usr/bin/*", sys.executable)


class SystemClock:
    """The real time."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


@dataclass
class Asked:
    """A request as a target saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Asked], bytes | tuple[float, bytes]]


@dataclass
class Target:
    """An HTTP server that keeps what it was asked."""

    port: int
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Bench:
    """Where targets are put up and looked at."""

    environment: ProbeEnvironment
    clock: SystemClock
    stepped: bool = True
    """Whether probes that need no task get none, as in the daemon."""
    servers: list[asyncio.Server] = field(default_factory=list)
    conversations: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, answer: Answer, host: str = "127.0.0.1", port: int = 0) -> Target:
        target = Target(0)

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            target.asked.append(await _read(reader))
            said = answer(target.asked[-1])
            delay, data = said if isinstance(said, tuple) else (0.0, said)
            await asyncio.sleep(delay)
            writer.write(data)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(converse, host, port)
        self.servers.append(server)
        target.port = server.sockets[0].getsockname()[1]
        return target

    async def raw(
        self,
        handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        tls: ssl.SSLContext | None = None,
    ) -> int:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self.conversations.add(task)
            try:
                await handler(reader, writer)
            except (OSError, asyncio.CancelledError):
                pass
            finally:
                self.conversations.discard(task)
                writer.close()

        server = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=tls)
        self.servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        for server in self.servers:
            server.close()
        for task in tuple(self.conversations):
            task.cancel()
        await asyncio.gather(*self.conversations, return_exceptions=True)
        await self.environment.close()

    async def look(
        self, kind: str, environment: ProbeEnvironment | None = None, **options: Any
    ) -> Result:
        found = probe_type(kind)
        parsed = found.options.model_validate(options)
        probe = found.build(parsed, environment or self.environment)
        if self.stepped and getattr(probe, "light", False):
            return await stepped_run(probe, 5, self.clock)
        return await run_once(probe, 5, self.clock)


async def stepped_run(probe: Any, timeout: float, clock: SystemClock) -> Result:
    """A run without a task, as the monitor begins it."""
    results: list[Result | None] = []
    run = LightRun(probe, timeout, Deadlines(clock), results.append)
    run.step()
    try:
        await asyncio.wait([run])
    finally:
        run.cancel()
    assert results[0] is not None
    return results[0]


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers.get("Content-Length", 0)))
    return Asked(method, path, headers, body)


@pytest.fixture
def direct() -> bool:
    """Whether HTTP goes the short way; files about HTTP go both ways."""
    return True


@pytest.fixture
async def bench(direct: bool) -> AsyncIterator[Bench]:
    clock = SystemClock()
    programs = ProgramPolicy(PROGRAMS)
    made = Bench(ProbeEnvironment(clock=clock, programs=programs, direct=direct), clock)
    yield made
    await made.close()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops: they differ in when they send and how they report connections."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
