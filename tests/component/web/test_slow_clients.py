"""Slow, idle and too many clients: closed by our own deadlines, and nobody else notices.

Rule: the deadlines are shortened, never the number of clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from cbmon.web.connections import Limits

SHORT = Limits(header=0.5, body=0.5, idle=0.6, write=0.5, linger=0.2, handler=1.0)


class Client:
    """A connection that does as badly as it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def drip(self, data: bytes, every: float = 0.02) -> None:
        with contextlib.suppress(ConnectionError):
            for byte in data:
                self.writer.write(bytes([byte]))
                await asyncio.sleep(every)

    async def closed_after(self, patience: float = 5.0) -> float:
        """Seconds until the server closed it."""
        begun = time.monotonic()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(patience):
                while await self.reader.read(65_536):
                    pass
        return time.monotonic() - begun

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
async def connect() -> AsyncIterator[Any]:
    """Opens connections to a port and closes them afterwards."""
    opened: list[Client] = []

    async def open_one(port: int) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", port, limit=1024))
        opened.append(client)
        return client

    yield open_one
    for client in opened:
        client.close()
    for client in opened:
        with contextlib.suppress(ConnectionError):
            await client.writer.wait_closed()


async def test_who_says_nothing_is_closed(daemon: Any, serve: Any, connect: Any) -> None:
    async with serve(daemon, limits=SHORT) as web:
        client = await connect(web.port)
        assert await client.closed_after() == pytest.approx(SHORT.header, abs=0.3)


async def test_who_drips_a_header_is_closed_however_busy(
    daemon: Any, serve: Any, connect: Any
) -> None:
    async with serve(daemon, limits=SHORT) as web:
        client = await connect(web.port)
        async with asyncio.TaskGroup() as group:
            dripping = group.create_task(client.drip(b"GET / HTTP/1.1\r\nX: " + b"x" * 500))
            assert await client.closed_after() == pytest.approx(SHORT.header, abs=0.3)
            dripping.cancel()
        assert web.server.connections.expired == 1


async def test_who_drips_a_body_gets_a_408_and_is_closed(
    daemon: Any, serve: Any, connect: Any, tokens: Any
) -> None:
    async with serve(daemon, limits=SHORT, tokens=tokens) as web:
        client = await connect(web.port)
        client.writer.write(
            b"POST /api/v1/breakers/api/reset HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer operator-token\r\nContent-Length: 1000\r\n\r\n"
        )
        async with asyncio.TaskGroup() as group:
            dripping = group.create_task(client.drip(b" " * 500))
            assert (await client.reader.readline()).startswith(b"HTTP/1.1 408 ")
            assert await client.closed_after() < 1.5
            dripping.cancel()
        assert daemon.orders == []


async def test_a_connection_between_requests_is_closed_when_idle(
    daemon: Any, serve: Any, connect: Any
) -> None:
    async with serve(daemon, limits=SHORT) as web:
        client = await connect(web.port)
        for _ in range(3):  # each request begins the time anew
            client.writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200" in await client.reader.readline()
            await client.reader.readuntil(b"healthy.\n")
            await asyncio.sleep(SHORT.idle / 2)
        assert await client.closed_after() == pytest.approx(SHORT.idle / 2, abs=0.3)


async def ask_once(client: Client) -> None:
    client.writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await client.reader.readuntil(b"healthy.\n")


async def test_a_second_request_has_to_come_as_quickly_as_the_first(
    daemon: Any, serve: Any, connect: Any
) -> None:
    async with serve(daemon, limits=Limits(header=0.4, idle=5.0)) as web:
        client = await connect(web.port)
        await ask_once(client)
        client.writer.write(b"GET")
        assert await client.closed_after() == pytest.approx(0.4, abs=0.3)


async def test_between_requests_only_the_idle_time_counts(
    daemon: Any, serve: Any, connect: Any
) -> None:
    async with serve(daemon, limits=Limits(header=0.2, write=0.2, idle=1.2)) as web:
        client = await connect(web.port)
        await ask_once(client)
        await asyncio.sleep(0.7)
        await ask_once(client)
        assert await client.closed_after() == pytest.approx(1.2, abs=0.3)


async def test_who_does_not_take_the_answer_is_closed(
    daemon: Any, serve: Any, connect: Any
) -> None:
    class Huge:
        async def stream(self, *, openmetrics: bool = False) -> AsyncIterator[bytes]:
            for _ in range(1000):
                yield b"x" * 64_000

    daemon.exposition = Huge()
    async with serve(daemon, limits=SHORT) as web:
        client = await connect(web.port)
        client.writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.sleep(SHORT.write + 0.4)
        assert len(web.server.connections) == 0
        assert web.server.connections.expired == 1


async def test_what_nobody_takes_is_kept_no_longer(daemon: Any, serve: Any, connect: Any) -> None:
    given_up = asyncio.Event()

    class Huge:
        async def stream(self, *, openmetrics: bool = False) -> AsyncGenerator[bytes, None]:
            try:
                for _ in range(1000):
                    yield b"x" * 64_000
            finally:
                given_up.set()

    daemon.exposition = Huge()
    gc.disable()  # it is not the collector that frees it
    try:
        async with serve(daemon, limits=Limits()) as web:
            client = await connect(web.port)
            client.writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200" in await client.reader.readline()
            client.writer.transport.abort()
            await asyncio.wait_for(given_up.wait(), 5)
    finally:
        gc.enable()


async def test_an_answer_that_takes_its_time_is_not_cut_off(
    daemon: Any, serve: Any, connect: Any, tokens: Any
) -> None:
    async def slow(name: str, actor: str) -> Any:
        await asyncio.sleep(0.8)  # longer than every connection deadline
        return daemon.run_result

    daemon.run_component = slow
    async with serve(daemon, limits=SHORT, tokens=tokens) as web:
        reply = await web.post("/api/v1/checks/api/run", token="operator-token")
        assert reply.status == 200


async def test_a_handler_without_an_answer_is_a_503(daemon: Any, serve: Any, tokens: Any) -> None:
    async def never(name: str, actor: str) -> Any:
        await asyncio.Event().wait()

    daemon.run_component = never
    async with serve(daemon, limits=SHORT, tokens=tokens) as web:
        reply = await web.post("/api/v1/checks/api/run", token="operator-token")
        assert (reply.status, reply.code) == (503, "timeout")


async def test_at_the_cap_the_idlest_makes_room(daemon: Any, serve: Any, connect: Any) -> None:
    limits = Limits(connections=20)
    async with serve(daemon, limits=limits) as web:
        crowd = [await connect(web.port) for _ in range(60)]
        await asyncio.sleep(0.05)
        assert len(web.server.connections) <= 20
        begun = time.monotonic()
        assert (await web.get("/metrics")).status == 200
        assert time.monotonic() - begun < 1.0
        assert await crowd[0].closed_after() < 0.5


async def test_at_the_cap_nobody_who_is_served_is_closed_for_a_newcomer(
    daemon: Any, serve: Any, connect: Any, tokens: Any
) -> None:
    gate, running = asyncio.Event(), asyncio.Queue[str]()

    async def gated(name: str, author: Any) -> Any:
        running.put_nowait(name)
        await gate.wait()
        return daemon.run_result

    daemon.run_component = gated
    async with serve(daemon, limits=Limits(connections=3), tokens=tokens) as web:
        runs = [
            asyncio.create_task(web.post("/api/v1/checks/api/run", token="operator-token"))
            for _ in range(3)
        ]
        for _ in runs:
            await asyncio.wait_for(running.get(), 5)
        newcomer = await connect(web.port)
        assert await newcomer.closed_after() < 0.5
        gate.set()
        assert [reply.status for reply in await asyncio.gather(*runs)] == [200, 200, 200]
        assert web.server.connections.refused == 1


async def test_a_hundred_drips_and_five_hundred_idle_ones_harm_nobody(
    daemon: Any, serve: Any, connect: Any
) -> None:
    limits = Limits(header=1.5, idle=1.5)
    async with serve(daemon, limits=limits) as web:
        idle = [await connect(web.port) for _ in range(500)]
        drips = [await connect(web.port) for _ in range(100)]
        dripping = [asyncio.create_task(c.drip(b"GET /" + b"a" * 1000, every=0.1)) for c in drips]
        for _ in range(5):
            begun = time.monotonic()
            assert (await web.get("/metrics")).status == 200
            assert time.monotonic() - begun < 1.0
        waits = await asyncio.gather(*(client.closed_after() for client in idle + drips))
        for task in dripping:
            task.cancel()
        await asyncio.gather(*dripping, return_exceptions=True)
        assert max(waits) < limits.header + 1.0
        assert len(web.server.connections) <= 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(500)) + b"\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nxx",
    ],
)
async def test_what_is_not_http_is_closed_in_time(
    daemon: Any, serve: Any, connect: Any, garbage: bytes
) -> None:
    async with serve(daemon, limits=SHORT) as web:
        client = await connect(web.port)
        client.writer.write(garbage)
        assert await client.closed_after() < 1.5
        assert (await web.get("/-/healthy")).status == 200


async def test_a_stop_lets_an_answer_out_and_closes_the_idle(
    daemon: Any, serve: Any, connect: Any, tokens: Any
) -> None:
    running, gate = asyncio.Event(), asyncio.Event()

    async def gated(name: str, author: Any) -> Any:
        running.set()
        await gate.wait()
        return daemon.run_result

    daemon.run_component = gated
    async with serve(daemon, tokens=tokens) as web:
        idle = await connect(web.port)
        run = asyncio.create_task(web.post("/api/v1/checks/api/run", token="operator-token"))
        await asyncio.wait_for(running.wait(), 5)
        begun = time.monotonic()
        asyncio.get_running_loop().call_later(0.05, gate.set)
        await web.server.stop(2.0)
        assert (await run).status == 200
        assert await idle.closed_after() < 0.2
        assert time.monotonic() - begun < 2.0
