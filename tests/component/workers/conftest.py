"""Workers with their real processes, and targets on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from cbmon.metrics.workers import WorkerRecord
from cbmon.model import Result
from cbmon.probes import probe_type
from cbmon.probes.run import ONCE, Plan
from cbmon.workers.pool import Workers
from cbmon.workers.runs import Delegate

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Bench:
    """One pool, and who is looked at."""

    records: list[WorkerRecord]
    pool: Workers
    servers: list[asyncio.Server] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def check(self, kind: str, name: str = "check", /, **options: Any) -> Delegate:
        """What runs a check."""
        made = self.pool.runner(name, kind, probe_type(kind).options.model_validate(options))
        assert made is not None
        return made

    async def serve(self, handler: Handler) -> str:
        """Put up a target; its address."""

        async def serving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.writers.append(writer)
            await handler(reader, writer)

        server = await asyncio.start_server(serving, "127.0.0.1", 0)
        self.servers.append(server)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Leave no connection to whoever died last."""
        for server in self.servers:
            server.close()
        for writer in self.writers:
            writer.close()
        await self.pool.stop()
        await asyncio.gather(*(one.wait_closed() for one in self.writers), return_exceptions=True)

    @property
    def pid(self) -> int:
        """Of the first worker."""
        return self.pool.processes[0]


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


class Silent:
    """Accepts, and says something once it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.accepted = 0
        self.left = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        going = asyncio.create_task(self.go.wait())
        leaving = asyncio.create_task(reader.read(1))
        await asyncio.wait([going, leaving], return_when=asyncio.FIRST_COMPLETED)
        self.left += leaving.done()
        going.cancel()
        leaving.cancel()
        writer.write(b"hello\r\n")
        writer.close()


async def look(check: Delegate, timeout: float = 5.0, plan: Plan = ONCE) -> Result:
    """One run, as the monitor does it."""
    found: list[Result | None] = []
    await check.begin(timeout, plan, found.append)
    if found[0] is None:
        raise asyncio.CancelledError
    return found[0]


async def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for what other processes do."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.01)


async def _benches() -> AsyncIterator[Bench]:
    records = [WorkerRecord("1")]
    made = Bench(records, Workers(records, log_level="warning"))
    await made.pool.start()
    await made.pool.ready()
    yield made
    await made.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A pool of one worker for a test that harms it."""
    async for made in _benches():
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared() -> AsyncIterator[Bench]:
    """A pool of one worker for tests that only look; it takes a second to start one."""
    async for made in _benches():
        yield made
