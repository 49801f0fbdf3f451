"""Bodies of answers: counted, unpacked and limited while they come.

Rule: no body is gathered that nobody looks at, and none beyond :data:`MOST_KEPT`; the event loop
is let go between steps.
"""

from __future__ import annotations

import asyncio
from typing import Final

from cbmon.blackbox.unpacking import STEP, unpacker
from cbmon.blackbox.wire import Exchange
from cbmon.model import Reason
from cbmon.probes.failure import ProbeError

MOST_KEPT: Final = 16 * 1024 * 1024
"""Bytes of a body that patterns are looked for in, where the module sets no limit of its own."""
_BREATH: Final = 1024 * 1024


class Body:
    """What comes of one body; ``limit`` in bytes counts after unpacking, 0 is none."""

    def __init__(self, compression: str, limit: int, *, kept: bool) -> None:
        self.size = 0
        """Bytes after unpacking."""
        self._limit = limit
        self._compression = compression
        self._content = bytearray() if kept else None

    @property
    def content(self) -> bytes:
        """What was kept."""
        return bytes(self._content or b"")

    @property
    def compression(self) -> str:
        """How the module says that it is packed."""
        return self._compression

    def take(self, piece: bytes) -> None:
        """One unpacked piece; ProbeError (``size``) when it is one too many."""
        if self._limit and self.size + len(piece) > self._limit:
            piece = piece[: self._limit - self.size]
            self._keep(piece)
            raise ProbeError(Reason.SIZE, f"the body is larger than {self._limit} bytes")
        self._keep(piece)

    def _keep(self, piece: bytes) -> None:
        self.size += len(piece)
        if self._content is None:
            return
        self._content += piece
        if len(self._content) > MOST_KEPT:
            text = f"the body is larger than {MOST_KEPT} bytes; set body_size_limit"
            raise ProbeError(Reason.SIZE, text)


async def receive(exchange: Exchange, body: Body) -> None:
    """Read an answer to its end; ProbeError when it breaks off, is damaged or too large."""
    unpack = unpacker(body.compression)
    breath = _BREATH
    async for data in exchange.body():
        for piece in unpack.feed(data) if unpack else (data,):
            body.take(piece)
            breath -= max(len(piece), STEP // 16)
            if breath < 0:
                breath = _BREATH
                await asyncio.sleep(0)
    if unpack is not None:
        unpack.end()
