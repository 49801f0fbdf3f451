"""The messages of grpc.health.v1, and gRPC's frames around them.

Rule: pure. Both messages have one field, so that they are written and read by hand.
"""

from __future__ import annotations

from typing import Final

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError

PATH: Final = "/grpc.health.v1.Health/Check"
SERVING: Final = 1
STATUSES: Final = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


def request(service: str) -> bytes:
    """A framed HealthCheckRequest."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def status(data: bytes) -> int:
    """The status in a framed HealthCheckResponse; ProbeError (``protocol``) when it is none."""
    if len(data) < 5 or len(data) != 5 + int.from_bytes(data[1:5], "big"):
        raise ProbeError(Reason.PROTOCOL, "the answer is not one whole message")
    if data[0] != 0:
        raise ProbeError(Reason.PROTOCOL, "the answer is compressed, though nobody offered to")
    found, at = 0, 5
    while at < len(data):
        key, at = _read_varint(data, at)
        if key & 7 == 0:
            value, at = _read_varint(data, at)
            found = value if key >> 3 == 1 else found
        elif key & 7 in _SIZES:
            at += _SIZES[key & 7]
        elif key & 7 == 2:
            size, at = _read_varint(data, at)
            at += size
        else:
            raise _malformed()
    if at != len(data):
        raise _malformed()
    return found


_SIZES: Final = {1: 8, 5: 4}


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _malformed()
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _malformed()


def _malformed() -> ProbeError:
    return ProbeError(Reason.PROTOCOL, "the answer is not a HealthCheckResponse")
