"""A prober with targets on the loopback that behave, or do not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
import yaml

from cbmon.blackbox.file import ModuleFile, parse_modules
from cbmon.blackbox.prober import Outcome
from cbmon.blackbox.service import Inquiry, Probing
from cbmon.config.problems import Problems
from cbmon.config.sections import ProbeSection
from cbmon.probes import ProbeEnvironment

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class SystemClock:
    """The real time."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


@dataclass
class Bench:
    """Where targets are put up and probed."""

    environment: ProbeEnvironment
    probing: Probing
    servers: list[asyncio.Server] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    unknown: list[None] = field(default_factory=list)

    async def raw(self, converse: Converse) -> int:
        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await converse(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(guarded, "127.0.0.1", 0, limit=1 << 20)
        self.servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def answering(self, *answers: bytes) -> int:
        """A target that gives the next answer to every request, and keeps what it heard."""
        left = list(answers)

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            if b"content-length: " in lower:
                size = int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                head += await reader.readexactly(size)
            elif b"chunked" in lower:
                head += await reader.readuntil(b"0\r\n\r\n")
            self.heard.append(head)
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()

        return await self.raw(converse)

    def use(
        self,
        modules: dict[str, Any],
        **section: Any,
    ) -> None:
        text = yaml.safe_dump({"modules": modules}).encode()
        file = ModuleFile(Path("x"), parse_modules(text, "x", Problems()))
        made = ProbeSection(enabled=True, **section)
        self.probing.configure(made, file)

    async def probe(
        self, target: str, module: dict[str, Any] | None = None, **more: str
    ) -> Outcome:
        if module is not None:
            self.use({"m": module})
        return await self.probing.probe(Inquiry(target=target, module="m", **more))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    environment = ProbeEnvironment(clock=SystemClock())
    unknown: list[None] = []
    probing = Probing(environment, unknown_module=lambda: unknown.append(None))
    made = Bench(environment, probing, unknown=unknown)
    yield made
    for server in made.servers:
        server.close()
    await environment.close()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops: they differ in when they send and how they report connections."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """asyncio's own loop takes its turn with the crowds in the long tier."""
    for item in items:
        if item.path.name == "test_hostile_crowds.py" and "[asyncio" in item.name:
            item.add_marker(pytest.mark.long)
