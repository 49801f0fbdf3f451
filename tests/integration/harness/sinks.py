"""Servers in a thread of the test itself: targets that do as they are told, a webhook's end.

Rule: an event loop of its own, so that a test that waits does not hold them up; a request that
cannot be answered any more is counted, not raised.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

MAX_HEAD: Final = 64 * 1024


@dataclass
class Request:
    """What came in. ``at`` is Unix time."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.time)


@dataclass
class Reply:
    """What goes out, after ``delay`` seconds."""

    status: int = 200
    body: bytes = b"ok\n"
    delay: float = 0.0


class Server:
    """HTTP/1.1, one request per connection, on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._connections: set[asyncio.Task[Any]] = set()
        self._server = self._call(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.broken_off = 0
        """Connections that the other side left before it had its answer."""

    def reply(self, request: Request) -> Reply:
        """What to answer; called on the server's thread."""
        raise AssertionError(f"no reply to {request.path}")

    def close(self) -> None:
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=512)

    async def _shut(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            self.broken_off += 1
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        pairs = (line.split(":", 1) for line in head[1:] if ":" in line)
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        reply = self.reply(Request(method, path, headers, body))
        if reply.delay and await self._left_within(reader, reply.delay):
            self.broken_off += 1
            return
        writer.write(
            b"HTTP/1.1 %d x\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%s" % (reply.status, len(reply.body), reply.body)
        )
        await writer.drain()

    @staticmethod
    async def _left_within(reader: asyncio.StreamReader, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return not await reader.read(1)
        except TimeoutError:
            return False


class Targets(Server):
    """Targets by path. ``behave`` decides on each request, ``hits`` counts them by path."""

    def __init__(self, behave: Callable[[Request], Reply] | None = None) -> None:
        self.hits: Counter[str] = Counter()
        self.behave = behave or (lambda _: Reply())
        super().__init__()

    def reply(self, request: Request) -> Reply:
        self.hits[request.path] += 1
        return self.behave(request)


class Hooks(Server):
    """The end of a webhook: keeps every request that it has acknowledged, oldest first."""

    def __init__(self) -> None:
        self.taken: list[Request] = []
        self.status = 200
        super().__init__()

    def reply(self, request: Request) -> Reply:
        if 200 <= self.status < 300:
            self.taken.append(request)
        return Reply(self.status)

    @property
    def ids(self) -> list[str]:
        """The messages' ids in the order they came, repetitions included."""
        return [request.headers["webhook-id"] for request in self.taken]

    def alerts(self) -> list[tuple[str, str, str]]:
        """Status, component and incident of each message, in the order they came."""
        return [
            (alert["status"], alert["labels"]["component"], alert["annotations"]["incident"])
            for request in self.taken
            for alert in json.loads(request.body)["alerts"]
        ]
