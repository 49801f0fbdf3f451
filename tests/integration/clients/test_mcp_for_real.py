"""MCP clients behind breakers, against servers made with the SDK that are killed and frozen.

Rule: an error result is a living server's; a server that dies in the middle of a call has failed,
and the next one is asked; a tool that hangs takes neither the server nor its other tools with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError, StdioServerParameters
from mcp_types import REQUEST_TIMEOUT

from cbmon import BreakerRegistry
from cbmon.integrations.mcp import McpCircuitOpenError, McpClient
from cbmon.resilience import BulkheadFullError
from tests.integration.clients.conftest import listens, until
from tests.integration.harness import Process, eventually, free_port
from tests.integration.harness.processes import slowness

SCRIPT = Path(__file__).parents[1] / "probes" / "mcp_server.py"


class HttpServer:
    """A server over streamable HTTP, on a port that it keeps."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.process = Process("mcp", [sys.executable, str(SCRIPT), str(self.port)], directory)
        self.target: Any = f"http://127.0.0.1:{self.port}/mcp"

    def start(self) -> None:
        self.process.start()
        eventually(lambda: listens(self.port), "the MCP server to listen", 30)

    def kill(self) -> None:
        self.process.kill()

    def pause(self) -> None:
        self.process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.signal(signal.SIGCONT)

    def end(self) -> None:
        self.process.kill()


class StdioServer:
    """A server that the client starts; it leaves its process id in a file."""

    def __init__(self, directory: Path) -> None:
        self.note = directory / "pid"
        code = (
            f"import os, pathlib, runpy, sys; pathlib.Path({str(self.note)!r}).write_text("
            f"str(os.getpid())); sys.argv = ['server', 'stdio']; "
            f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
        )
        self.target: Any = StdioServerParameters(command=sys.executable, args=["-c", code])

    def start(self) -> None:
        """It starts with the connection."""

    def pid(self) -> int:
        return int(self.note.read_text())

    def kill(self) -> None:
        os.kill(self.pid(), signal.SIGKILL)

    def pause(self) -> None:
        os.kill(self.pid(), signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid(), signal.SIGCONT)

    def end(self) -> None:
        """It ends with the connection."""


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    made = HttpServer(tmp_path_factory.mktemp("mcp"))
    made.start()
    yield made
    made.end()


@pytest.fixture
def http_server(running_server: HttpServer) -> HttpServer:
    """It runs at the beginning of a test, whatever the one before did."""
    if running_server.process.alive:
        running_server.resume()
    else:
        running_server.start()
    return running_server


@pytest.fixture(params=["http", "stdio"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "http":
        return request.getfixturevalue("http_server")
    return StdioServer(tmp_path)


@pytest.fixture
def spare(tmp_path: Path) -> Any:
    (tmp_path / "spare").mkdir()
    return StdioServer(tmp_path / "spare")


@pytest.fixture
def registry() -> BreakerRegistry:
    return BreakerRegistry(failure_threshold=2, recovery_timeout=600)


def made(server: Any, registry: BreakerRegistry) -> McpClient:
    timeout = 20 * slowness()
    return McpClient(
        {"shelf": server.target}, registry, connect_timeout=timeout, tool_timeout=timeout,
        tool_timeouts={"hang": 0.3},
    )  # fmt: skip


@pytest.fixture
async def client(server: Any, registry: BreakerRegistry) -> AsyncIterator[McpClient]:
    async with made(server, registry) as one:
        yield one


@pytest.fixture
async def http_client(
    http_server: HttpServer, registry: BreakerRegistry
) -> AsyncIterator[McpClient]:
    async with made(http_server, registry) as one:
        yield one


async def adds(client: McpClient) -> str:
    result = await client.call_tool("add", {"left": 2, "right": 3})
    part: Any = result.content[0]
    return str(part.text)


async def test_a_call_is_counted_for_the_server_and_the_tool(
    http_client: McpClient, registry: BreakerRegistry
) -> None:
    assert await http_client.connect() == "shelf"
    assert await adds(http_client) == "the sum is 5"
    assert "hang" in {tool.name for tool in (await http_client.list_tools()).tools}
    assert registry.get("shelf").counts.successes == 3
    assert registry.get("shelf/add").counts.successes == 1


async def test_a_tool_that_fails_is_an_answer_of_a_living_server(
    http_client: McpClient, registry: BreakerRegistry
) -> None:
    for _ in range(4):
        assert (await http_client.call_tool("fail")).is_error
    for name in ("nothing", "nothing"):
        with suppress(MCPError):  # either is an answer: by the protocol, or as a result
            assert (await http_client.call_tool(name)).is_error
    assert registry.get("shelf/nothing").counts.failures == 0
    assert {str(state) for state in registry.states().values()} == {"closed"}


async def test_a_tool_that_hangs_is_alone_with_it(
    client: McpClient, registry: BreakerRegistry
) -> None:
    await adds(client)
    for _ in range(2):
        hanging = asyncio.create_task(client.call_tool("hang"))
        await asyncio.sleep(0.05)
        await adds(client)
        with pytest.raises(MCPError) as caught:
            await hanging
        assert caught.value.code == REQUEST_TIMEOUT
    assert registry.states()["shelf/hang"] == "open"
    assert registry.states()["shelf"] == "closed"
    with pytest.raises(MCPError) as refused:
        await client.call_tool("hang")
    assert isinstance(refused.value, McpCircuitOpenError)
    assert refused.value.name == "shelf/hang"
    assert await adds(client) == "the sum is 5"


async def test_a_server_that_is_killed_in_the_middle_of_a_call_has_failed(
    client: McpClient, registry: BreakerRegistry, server: Any
) -> None:
    await adds(client)
    call = asyncio.create_task(client.call_tool("hang", timeout=20 * slowness()))
    await until(lambda: registry.get("shelf").counts.in_flight, "the call to be sent")
    await asyncio.sleep(0.3)
    begun = time.monotonic()
    server.kill()
    with pytest.raises(MCPError):
        await call
    assert time.monotonic() - begun < 10 * slowness()
    assert registry.get("shelf").counts.failures == 1
    assert registry.get("shelf/hang").counts.failures == 1
    assert registry.get("shelf").counts.in_flight == 0
    server.start()
    assert await adds(client) == "the sum is 5"


async def test_a_server_that_is_frozen_opens_its_breaker(
    client: McpClient, registry: BreakerRegistry, server: Any
) -> None:
    await adds(client)
    server.pause()
    try:
        for _ in range(2):
            with pytest.raises(MCPError):
                await client.call_tool("add", {"left": 1, "right": 1}, timeout=0.2)
        assert registry.states()["shelf"] == "open"
    finally:
        server.resume()
    for key in registry.open_keys():
        registry.get(key).half_open()
    assert await adds(client) == "the sum is 5"
    assert registry.states()["shelf"] == "closed"


async def test_another_server_is_asked_while_the_first_may_not_be(
    http_server: HttpServer, spare: Any, registry: BreakerRegistry
) -> None:
    servers = {"shelf": http_server.target, "spare": spare.target}
    async with McpClient(servers, registry, connect_timeout=20 * slowness()) as client:
        assert await client.connect() == "shelf"
        registry.get("shelf").force_open()
        assert await client.connect() == "spare"
        assert await adds(client) == "the sum is 5"
        assert registry.get("spare/add").counts.successes == 1
        registry.get("spare").force_open()
        with pytest.raises(McpCircuitOpenError) as caught:
            await adds(client)
        assert caught.value.name == "shelf"


async def test_what_was_sent_goes_to_another_server_only_if_it_may(
    http_server: HttpServer, spare: Any, registry: BreakerRegistry
) -> None:
    servers = {"shelf": http_server.target, "spare": spare.target}
    limit = 20 * slowness()
    async with McpClient(
        servers, registry, connect_timeout=limit, tool_timeouts={"hang": 1.0}, resend=["hang"]
    ) as client:
        assert await client.connect() == "shelf"
        with pytest.raises(MCPError):
            await client.call_tool("hang")
        assert registry.get("spare/hang").counts.failures == 1
        registry.reset_all()
        http_server.pause()
        try:
            with pytest.raises(MCPError):
                await client.call_tool("add", {"left": 1, "right": 1}, timeout=0.2)
        finally:
            http_server.resume()
        assert "spare/add" not in registry


async def test_a_server_that_cannot_be_reached_is_passed_over(
    spare: Any, registry: BreakerRegistry
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/mcp"
    servers = {"nowhere": nowhere, "spare": spare.target}
    async with McpClient(servers, registry, connect_timeout=20 * slowness()) as client:
        for _ in range(3):
            assert await adds(client) == "the sum is 5"
    assert registry.get("nowhere").counts.failures == 2
    assert registry.states()["nowhere"] == "open"
    assert registry.get("nowhere/add").counts.failures == 0


async def test_a_full_bulkhead_says_nothing(
    http_server: HttpServer, registry: BreakerRegistry
) -> None:
    limit = 20 * slowness()
    async with McpClient(
        {"shelf": http_server.target}, registry, connect_timeout=limit, max_concurrent_calls=1,
        tool_timeouts={"hang": 0.5},
    ) as client:  # fmt: skip
        await adds(client)
        hanging = asyncio.create_task(client.call_tool("hang"))
        await asyncio.sleep(0.05)
        with pytest.raises(BulkheadFullError):
            await adds(client)
        with pytest.raises(MCPError):
            await hanging
    assert registry.get("shelf").counts.ignored >= 1
    assert registry.get("shelf/add").counts.failures == 0


async def test_a_cancelled_call_says_nothing(client: McpClient, registry: BreakerRegistry) -> None:
    await adds(client)
    task = asyncio.create_task(client.call_tool("hang", timeout=20 * slowness()))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for name in ("shelf", "shelf/hang"):
        counts = registry.get(name).counts
        assert (counts.cancelled, counts.failures, counts.in_flight) == (1, 0, 0)
    assert await adds(client) == "the sum is 5"
