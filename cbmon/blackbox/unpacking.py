"""Compressed bodies, unpacked while they come.

Rule: a module that names a compression takes every body for packed that way, whatever the answer
says. ``deflate`` is raw, without zlib's wrapper.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final, Protocol

from cbmon.errors import MissingExtraError
from cbmon.model import Reason
from cbmon.probes.failure import ProbeError

STEP: Final = 32 * 1024


class Unpacker(Protocol):
    """Takes packed pieces, gives unpacked ones."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the piece unpacks to, at most :data:`STEP` bytes at once."""
        ...

    def end(self) -> None:
        """No more will come; ProbeError when that is too early."""
        ...


def unpacker(compression: str) -> Unpacker | None:
    """The one for a module's compression; None when nothing is packed, ProbeError if unknown."""
    name = compression.lower()
    if name in {"", "identity"}:
        return None
    if name not in _MAKERS:
        raise ProbeError(Reason.CONFIG, f"unsupported compression algorithm {compression[:40]}")
    return _MAKERS[name]()


class _Zlib:
    """gzip of any number of members, or one raw deflate stream."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._member = zlib.decompressobj(wbits)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        full = False  # what zlib has taken may yield more than fits into a step
        try:
            while data or full:
                if self._member.eof:
                    if self._wbits < 0:  # what follows a deflate stream is left unread
                        return
                    self._member = zlib.decompressobj(self._wbits)
                self._begun = True
                spare = self._member.copy()
                try:
                    piece = self._member.decompress(data, STEP)
                except zlib.error:
                    yield from _sound_part(spare, data)
                    raise
                del spare  # as large as the window, and others have their turn now
                yield piece
                data = self._member.unconsumed_tail or self._member.unused_data
                full = len(piece) == STEP and not self._member.eof
        except zlib.error as error:
            raise ProbeError(Reason.PROTOCOL, f"cannot decompress: {error}") from error

    def end(self) -> None:
        if not (self._begun and self._member.eof):
            raise ProbeError(Reason.PROTOCOL, "cannot decompress: unexpected EOF")


def _sound_part(member: Any, data: bytes) -> Iterator[bytes]:
    """What can be unpacked before the damage, which counts as much as Go's client lets it."""
    for byte in data:
        try:
            piece = member.decompress(bytes([byte]))
        except zlib.error:
            return
        if piece:
            yield piece


class _Brotli:
    """One brotli stream."""

    def __init__(self) -> None:
        try:
            brotli: Any = import_module("brotli")
        except ImportError as error:
            raise MissingExtraError("compression: br", "brotli") from error
        self._error: type[Exception] = brotli.error
        self._stream: Any = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            piece = self._stream.process(data, output_buffer_limit=STEP)
            while piece:
                yield piece
                if self._stream.is_finished():
                    return
                piece = self._stream.process(b"", output_buffer_limit=STEP)
        except self._error as error:
            raise ProbeError(Reason.PROTOCOL, f"cannot decompress: {error}") from error

    def end(self) -> None:
        if not self._stream.is_finished():
            raise ProbeError(Reason.PROTOCOL, "cannot decompress: unexpected EOF")


_MAKERS: Final[dict[str, Callable[[], Unpacker]]] = {
    "gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "deflate": lambda: _Zlib(-zlib.MAX_WBITS),
    "br": _Brotli,
}
