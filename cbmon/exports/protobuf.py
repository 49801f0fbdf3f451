"""The few pieces of the protobuf encoding that the exports write, and read in answers.

Rule: only what is needed: a field is made of its tag and its bytes, a message is the joined bytes
of its fields. Reading trusts nothing.

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


def fields(message: bytes) -> dict[int, int | bytes]:
    """The fields of a message by number, the last one of each; ValueError when it is none."""
    found: dict[int, int | bytes] = {}
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        kind = tag & 7
        if kind == 0:
            found[tag >> 3], at = _read_varint(message, at)
            continue
        size = {_FIXED64: 8, 5: 4}.get(kind)
        if kind == _LENGTH:
            size, at = _read_varint(message, at)
        if size is None or at + size > len(message):
            raise ValueError("no protobuf message")
        found[tag >> 3] = message[at : at + size]
        at += size
    return found


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for index in range(at, min(at + 10, len(message))):
        byte = message[index]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, index + 1
        shift += 7
    raise ValueError("no protobuf message")
