"""Echo requests and replies as bytes (RFC 792, RFC 4443).

Rule: pure; whatever bytes come, they are the awaited reply or they are not.
"""

from __future__ import annotations

import struct
from typing import Final

HEAD: Final = 8
"""Bytes of an echo message before its payload."""
_TYPES: Final = {4: (8, 0), 6: (128, 129)}


def request(version: int, identifier: int, sequence: int, payload: bytes) -> bytes:
    """An echo request for IP ``version``; the kernel adds the checksum of one for IPv6."""
    kind = _TYPES[version][0]
    head = struct.pack(">BBHHH", kind, 0, 0, identifier, sequence)
    value = checksum(head + payload) if version == 4 else 0
    return struct.pack(">BBHHH", kind, 0, value, identifier, sequence) + payload


def is_reply(version: int, data: bytes, sent: bytes, *, identified: bool) -> bool:
    """Whether the data are the reply to what was sent.

    ``identified``: the kernel has not put in an identifier of its own.
    """
    if len(data) != len(sent) or data[0] != _TYPES[version][1] or data[1] != 0:
        return False
    start = 4 if identified else 6
    return data[start:] == sent[start:]


def without_ip(data: bytes) -> bytes:
    """What a raw IPv4 socket hands over, without the IP header; empty for nonsense."""
    size = (data[0] & 0x0F) * 4 if data else 0
    return data[size:] if size >= 20 else b""


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
