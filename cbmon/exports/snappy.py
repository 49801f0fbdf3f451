"""Snappy's block format, written piece by piece.

Rule: whoever writes knows where the text repeats itself (labels do, samples do not), so a piece is
told as one that may come again or as one that does not. Finding that out byte by byte is what makes
a general compressor slow in Python; this one costs a dictionary's look-up per piece.

Source: https://github.com/google/snappy/blob/main/format_description.txt
"""

from __future__ import annotations

from typing import Final

from cbmon.exports.protobuf import varint

FARTHEST: Final = 0xFFFF
"""Bytes that a copy with an offset of two bytes reaches back."""
LONGEST: Final = 64
"""Bytes that one copy makes."""
_COPY: Final = 0b10
_SHORT: Final = 60
"""Literals up to this long carry their length in the tag."""


class Snappy:
    """One block in the making."""

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}
        self._made = bytearray()
        self._literal = bytearray()
        self._size = 0

    def once(self, piece: bytes) -> None:
        """A piece that is not expected again."""
        self._literal += piece
        self._size += len(piece)

    def again(self, piece: bytes) -> None:
        """A piece of at least four bytes that may have come before."""
        at, size = self._size, len(piece)
        before = self._seen.get(piece)
        self._seen[piece] = at
        self._size = at + size
        if before is None or at - before > FARTHEST:
            self._literal += piece
            return
        self._flush()
        offset = (at - before).to_bytes(2, "little")
        while size > 0:
            length = min(size, LONGEST)
            self._made.append(length - 1 << 2 | _COPY)
            self._made += offset
            size -= length

    def finish(self) -> bytes:
        """The whole block."""
        self._flush()
        return varint(self._size) + bytes(self._made)

    def _flush(self) -> None:
        literal = self._literal
        if not literal:
            return
        last = len(literal) - 1
        if last < _SHORT:
            self._made.append(last << 2)
        else:
            width = (last.bit_length() + 7) // 8
            self._made.append(_SHORT + width - 1 << 2)
            self._made += last.to_bytes(width, "little")
        self._made += literal
        self._literal = bytearray()
