"""A conversation over TCP or a Unix socket, heard in lines or in bytes.

Rule: a line ends with a line feed, a carriage return before it does not count, and what comes
last needs neither. TLS can begin in the middle; what was heard before it is forgotten.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, words

LONGEST_LINE: Final = 64 * 1024


class Talk(asyncio.Protocol):
    """Collects what the target says."""

    def __init__(self) -> None:
        self._heard = bytearray()
        self._over = False
        self._trouble: Exception | None = None
        self._news = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    async def line(self) -> bytes | None:
        """The next line without its end; None when there are no more.

        ProbeError when it is too long or the connection breaks.
        """
        while (end := self._heard.find(b"\n")) < 0:
            if len(self._heard) >= LONGEST_LINE:
                raise ProbeError(Reason.SIZE, "a line is too long")
            if self._over:
                self._check()
                return self._rest()
            await self._more()
        if end >= LONGEST_LINE:
            raise ProbeError(Reason.SIZE, "a line is too long")
        found = bytes(self._heard[:end])
        del self._heard[: end + 1]
        return found.removesuffix(b"\r")

    async def exactly(self, count: int) -> bytes:
        """That many bytes; fewer when no more come. ProbeError when the connection breaks."""
        while len(self._heard) < count and not self._over:
            await self._more()
        if len(self._heard) < count:
            self._check()
        found = bytes(self._heard[:count])
        del self._heard[:count]
        return found

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """The target says something; one that never stops is made to wait."""
        self._heard += data
        if len(self._heard) > LONGEST_LINE and self._transport is not None:
            self._transport.pause_reading()
        self._news.set()

    def eof_received(self) -> bool:
        """The target says no more, but may still listen."""
        self._over = True
        self._news.set()
        return self._transport is None or self._transport.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._over = True
        self._trouble = self._trouble or exc
        self._news.set()

    def _rest(self) -> bytes | None:
        if not self._heard:
            return None
        found = bytes(self._heard)
        self._heard.clear()
        return found.removesuffix(b"\r")

    def _check(self) -> None:
        if self._trouble is not None:
            error = self._trouble
            how = words(error) if isinstance(error, OSError) else str(error)
            raise ProbeError(Reason.PROTOCOL, how)

    async def _more(self) -> None:
        if self._transport is not None and not self._over:
            self._transport.resume_reading()
        self._news.clear()
        await self._news.wait()
