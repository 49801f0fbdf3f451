"""A proxy that lets a server say so many bytes and then cuts it off.

Rule: it runs in the loop of the test, and what it does at the cut is one of :data:`CUTS`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Literal, Self

Cut = Literal["close", "reset", "half-close"]
CUTS: Final[tuple[Cut, ...]] = ("close", "reset", "half-close")
_STEP: Final = 65536


class Cutter:
    """Stands before the server on ``port``; ``async with`` it.

    ``after`` is how many bytes of the server's pass on each connection, None for all; ``said``
    how many the last one had, ``lost`` how many more were there and did not pass.
    """

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self.port = 0
        self.after: int | None = None
        self.cut: Cut = "close"
        self.said = self.lost = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._conversations):
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        self.said = self.lost = 0
        try:
            await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._conversations.discard(task)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.after == 0:
            await self._end(reader, writer)
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._upstream)
        asking = asyncio.create_task(_pump(reader, back))
        try:
            while data := await there.read(_STEP):
                if self.after is not None and self.said + len(data) >= self.after:
                    self.lost = self.said + len(data) - self.after
                    data = data[: self.after - self.said]
                writer.write(data)
                await writer.drain()
                self.said += len(data)
                if self.said == self.after:
                    asking.cancel()
                    await asyncio.wait([asking])
                    await self._end(reader, writer)
                    return
        finally:
            asking.cancel()
            back.transport.abort()

    async def _end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut == "reset":
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self.cut == "half-close":
            writer.write_eof()
            while await reader.read(_STEP):
                pass


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_STEP):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


def points(total: int, *, most: int = 40) -> Sequence[int]:
    """Where to cut a conversation of ``total`` bytes: its first bytes, some of all, its last."""
    step = max(1, total // most)
    return sorted({*range(min(total, 8)), *range(0, total, step), *range(max(0, total - 4), total)})
