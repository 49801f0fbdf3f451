"""What a run leaves behind.

Rule: nothing that only the garbage collector could find: at a thousand runs a second that would be
megabytes that wait for it, and its work.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from cbmon.breaker import SystemClock
from cbmon.probes import probe_type
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.run import ONCE, run_planned

RUNS = 8
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


class Server(asyncio.Protocol):
    """Answers what asks for it, and is silent otherwise."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        transport: Any = self.transport
        if data.startswith(b"GET /moved"):
            transport.write(ANSWER.replace(b"200 OK", b"302 Found\r\nLocation: /"))
        elif not data.startswith(b"GET /silent"):
            transport.write(ANSWER)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def environment() -> AsyncIterator[ProbeEnvironment]:
    made = ProbeEnvironment(clock=SystemClock())
    yield made
    await made.close()


@pytest.fixture
def quiet() -> Iterator[None]:
    """A collector that only comes when it is called."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("kind", "options", "good"),
    [
        ("http", {"url": "http://127.0.0.1:{port}/"}, True),
        ("http", {"url": "http://127.0.0.1:{port}/moved"}, True),
        ("http", {"url": "http://127.0.0.1:{port}/silent"}, False),
        ("http", {"url": "http://127.0.0.1:1/"}, False),
        ("tcp", {"address": "127.0.0.1:{port}"}, True),
        ("tcp", {"address": "127.0.0.1:1"}, False),
    ],
    ids=["answered", "moved", "silent", "refused", "connected", "unconnected"],
)
async def test_no_run_leaves_a_cycle_to_the_collector(
    port: int, environment: ProbeEnvironment, kind: str, options: dict[str, str], good: bool
) -> None:
    found, clock = probe_type(kind), SystemClock()
    texts = {name: text.format(port=port) for name, text in options.items()}
    probe = found.build(found.options.model_validate(texts), environment)
    timeout = 5.0 if good or ":1" in str(options) else 0.05

    async def runs() -> int:
        """How many objects of ours are alive after some runs."""
        for _ in range(RUNS):
            assert (await run_planned(probe, timeout, clock, ONCE)).ok is good
        await asyncio.sleep(0.01)  # lost connections are told in the loop's next turn
        return sum(str(type(one).__module__).startswith("cbmon.") for one in gc.get_objects())

    assert await runs() >= await runs()
