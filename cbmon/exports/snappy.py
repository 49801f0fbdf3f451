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
        self._copied = 0
        self._offset = 0
        self._size = 0

    def once(self, piece: bytes) -> None:
        """A piece that is not expected again."""
        if self._copied:
            self._copy()
        self._literal += piece
        self._size += len(piece)

    def again(self, piece: bytes) -> None:
        """A piece of at least four bytes that may have come before."""
        at, size = self._size, len(piece)
        before = self._seen.get(piece, -1)
        self._seen[piece] = at
        self._size = at + size
        offset = at - before
        if before < 0 or offset > FARTHEST:
            if self._copied:
                self._copy()
            self._literal += piece
        elif self._copied and offset == self._offset:
            self._copied += size  # it follows what was just copied, there as here
        else:
            self._flush()
            self._offset, self._copied = offset, size

    def finish(self) -> bytes:
        """The whole block."""
        self._flush()
        return varint(self._size) + bytes(self._made)

    def _flush(self) -> None:
        if self._copied:
            self._copy()
        elif self._literal:
            self._tell_literal()

    def _copy(self) -> None:
        offset, left = self._offset.to_bytes(2, "little"), self._copied
        while left > 0:
            length = min(left, LONGEST)
            self._made.append(length - 1 << 2 | _COPY)
            self._made += offset
            left -= length
        self._copied = 0

    def _tell_literal(self) -> None:
        last = len(self._literal) - 1
        if last < _SHORT:
            self._made.append(last << 2)
        else:
            width = (last.bit_length() + 7) // 8
            self._made.append(_SHORT + width - 1 << 2)
            self._made += last.to_bytes(width, "little")
        self._made += self._literal
        self._literal.clear()
