"""Bodies, counted and unpacked while they come.

Rule: neither the packed nor the unpacked size ever passes the limit by more than one step, and
the event loop is let go between steps.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from typing import Final

import aiohttp

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError

STEP: Final = 64 * 1024
BREATH: Final = 1024 * 1024
"""Unpacked bytes after which the event loop is let go."""


class Body:
    """Takes the pieces of one body; ProbeError (``size``, ``protocol``) for a bad one.

    ``limit`` is in bytes, for the packed and for the unpacked size. The content is gathered only
    when it is ``kept``.
    """

    def __init__(self, *, limit: int, kept: bool, encoding: str = "") -> None:
        self.size = 0
        """Bytes as they came."""
        self.unpacked = 0
        """Bytes after decompression."""
        self._limit = limit
        self._content = bytearray() if kept else None
        self._unpacker = _unpacker(encoding)

    @property
    def content(self) -> bytes:
        """What was kept."""
        return bytes(self._content or b"")

    def feed(self, data: bytes) -> Iterator[None]:
        """Take a piece, one step per iteration."""
        self.size += len(data)
        self._check(self.size, "the body")
        if self._unpacker is None:
            self._take(data)
            yield
            return
        for piece in self._unpacker.feed(data):
            self._take(piece)
            yield

    def end(self) -> None:
        """No more will come."""
        if self._unpacker is not None and self.size and not self._unpacker.complete:
            raise ProbeError(Reason.PROTOCOL, "the compressed body ends too early")

    def _take(self, piece: bytes) -> None:
        self.unpacked += len(piece)
        self._check(self.unpacked, "the unpacked body")
        if self._content is not None:
            self._content += piece

    def _check(self, size: int, what: str) -> None:
        if size > self._limit:
            raise ProbeError(Reason.SIZE, f"{what} is larger than {self._limit} bytes")


class _Unpacker:
    """gzip (of any number of members) and deflate (with and without the zlib wrapper)."""

    def __init__(self, encoding: str) -> None:
        self._wbits = 16 + zlib.MAX_WBITS if encoding == "gzip" else 0
        self._member: zlib._Decompress | None = None

    @property
    def complete(self) -> bool:
        """Whether what came so far is whole."""
        return self._member is not None and self._member.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        full = False  # what zlib has taken may yield more than fits into a step
        try:
            while data or full:
                member = self._begun(data)
                piece = member.decompress(data, STEP)
                yield piece
                data = member.unconsumed_tail or member.unused_data
                full = len(piece) == STEP and not member.eof
        except zlib.error as error:
            raise ProbeError(Reason.PROTOCOL, "the compressed body is damaged") from error

    def _begun(self, data: bytes) -> zlib._Decompress:
        if self._wbits == 0:  # deflate: the first nibble of a zlib wrapper is always 8
            self._wbits = zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS
        if self._member is None or (self._member.eof and self._wbits > zlib.MAX_WBITS):
            self._member = zlib.decompressobj(self._wbits)
        elif self._member.eof:
            raise ProbeError(Reason.PROTOCOL, "the compressed body goes on after its end")
        return self._member


def _unpacker(encoding: str) -> _Unpacker | None:
    if encoding in {"", "identity"}:
        return None
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        text = f'the body is encoded as "{encoding[:40]}", expected gzip, deflate or nothing'
        raise ProbeError(Reason.PROTOCOL, text)
    return _Unpacker(encoding.removeprefix("x-"))


async def receive(stream: aiohttp.StreamReader, body: Body) -> None:
    """Read a response to its end into ``body``."""
    breath = BREATH
    async for data in stream.iter_any():
        breath = await swallow(body, data, breath)
    body.end()


async def swallow(body: Body, data: bytes, breath: int) -> int:
    """Take a piece, letting others run when ``breath`` (bytes) is used up; what is left of it."""
    for _ in body.feed(data):
        breath -= STEP
        if breath < 0:
            breath = BREATH
            await asyncio.sleep(0)
    return breath
