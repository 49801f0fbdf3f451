"""The few pieces of the protobuf encoding that the exports write.

Rule: writing only, and only what is needed: a field is made of its tag and its bytes, and a message
is the joined bytes of its fields.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from typing import Final

_LENGTH: Final = 2
_FIXED64: Final = 1
_SMALL: Final = tuple(bytes([number]) for number in range(128))

double_of: Final = struct.Struct("<d").pack
"""The eight bytes of a double."""
fixed64_of: Final = struct.Struct("<Q").pack
"""The eight bytes of a fixed64."""


def varint(value: int) -> bytes:
    """A number from 0 up, seven bits to a byte, the lowest first."""
    if value < 128:
        return _SMALL[value]
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)


def number(field: int, value: int) -> bytes:
    """A field of an integer, a boolean or an enumeration."""
    return varint(field << 3) + varint(value)


def nested(field: int, content: bytes) -> bytes:
    """A field of a message, or of bytes."""
    return varint(field << 3 | _LENGTH) + varint(len(content)) + content


def text(field: int, value: str) -> bytes:
    """A field of a string; what is no Unicode becomes a question mark."""
    return nested(field, value.encode("utf-8", "replace"))


def double(field: int, value: float) -> bytes:
    """A field of a double."""
    return varint(field << 3 | _FIXED64) + double_of(value)


def fixed64(field: int, value: int) -> bytes:
    """A field of a fixed64."""
    return varint(field << 3 | _FIXED64) + fixed64_of(value)
