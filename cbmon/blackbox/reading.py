"""Bodies of answers: counted, unpacked, limited and kept while they come.

Rule: a body that nobody looks at is counted and never waits. What is kept is valid UTF-8, and all
probes together keep no more than :data:`MOST_KEPT`: when they would, the largest body is given up.
"""

from __future__ import annotations

import asyncio
import codecs
from typing import Final

from cbmon.blackbox.matching import clean
from cbmon.blackbox.unpacking import STEP, unpacker
from cbmon.blackbox.wire import Exchange
from cbmon.model import Reason
from cbmon.probes.failure import ProbeError

MOST_KEPT: Final = 8 * 1024 * 1024
"""Bytes that are kept of the bodies of all probes that go on at once."""
_BREATH: Final = 1024 * 1024


class Shelf:
    """What the probes of one daemon keep of bodies."""

    def __init__(self) -> None:
        self._bodies: set[Body] = set()
        self._size = 0

    async def close(self) -> None:
        """Nothing to give back."""

    def put(self, body: Body, size: int) -> None:
        """A body is kept and has grown by so much; one may be given up for that."""
        self._bodies.add(body)
        self._size += size
        while self._size > MOST_KEPT:
            largest = max(self._bodies, key=lambda one: len(one.content))
            self.take(largest)
            largest.give_up()

    def take(self, body: Body) -> None:
        """A body is needed no more."""
        if body in self._bodies:
            self._bodies.remove(body)
            self._size -= len(body.content)


class Body:
    """What comes of one body; ``limit`` in bytes counts after unpacking, 0 is none.

    With a ``shelf`` it is kept there, until :meth:`end`.
    """

    def __init__(self, compression: str, limit: int, shelf: Shelf | None = None) -> None:
        self.size = 0
        """Bytes after unpacking."""
        self.content = bytearray()
        """What was kept, as UTF-8; each byte that is none became a U+FFFD."""
        self.compression = compression
        """How the module says that it is packed."""
        self._limit = limit
        self._shelf = shelf
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._given_up = False

    @property
    def is_kept(self) -> bool:
        """Whether somebody wants to look at it."""
        return self._shelf is not None

    def take(self, piece: bytes) -> None:
        """One unpacked piece; ProbeError (``size``) when it is one too many."""
        if self._limit and self.size + len(piece) > self._limit:
            self._keep(piece[: self._limit - self.size])
            raise ProbeError(Reason.SIZE, f"the body is larger than {self._limit} bytes")
        self._keep(piece)

    def whole(self) -> None:
        """No more will come; ProbeError (``size``) when it was given up meanwhile."""
        self._keep(b"", final=True)

    def end(self) -> None:
        """Nobody looks at it any more."""
        if self._shelf is not None:
            self._shelf.take(self)
            self.content = bytearray()

    def give_up(self) -> None:
        """Keep nothing any more: it is the largest of too many."""
        self.content = bytearray()
        self._given_up = True

    def _keep(self, piece: bytes, *, final: bool = False) -> None:
        self.size += len(piece)
        if self._shelf is None:
            return
        if not self._given_up:
            before = len(self.content)
            self.content += self._as_text(piece, final=final)
            self._shelf.put(self, len(self.content) - before)
        if self._given_up:
            text = f"the bodies of all probes together are larger than {MOST_KEPT} bytes"
            raise ProbeError(Reason.SIZE, f"{text}, this one most; set body_size_limit")

    def _as_text(self, piece: bytes, *, final: bool) -> bytes:
        if piece.isascii() and not self._decoder.getstate()[0]:
            return piece
        return clean(self._decoder.decode(piece, final)).encode()


async def receive(exchange: Exchange, body: Body) -> None:
    """Read an answer to its end; ProbeError when it breaks off, is damaged or too large."""
    unpack = unpacker(body.compression)
    if unpack is None and not body.is_kept:
        await exchange.counted(body.take)
        return
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
    body.whole()
