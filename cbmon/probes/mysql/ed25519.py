"""The answer of MariaDB's ``client_ed25519``: a signature by a key that is made of the password.

Rule: Ed25519 as RFC 8032 has it, with the password in place of the 32 random bytes; that is why no
library's key can be used. It is counted with Python's integers, not in constant time: a signature
takes about a millisecond once every run.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Final, NamedTuple

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D2: Final = 2 * -121665 * pow(121666, -1, _P) % _P


class _Point(NamedTuple):
    """Extended coordinates: x = X/Z, y = Y/Z, xy = T/Z."""

    x: int
    y: int
    z: int
    t: int


_BASE_Y: Final = 4 * pow(5, -1, _P) % _P
_BASE_X: Final = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BASE: Final = _Point(_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)
_ZERO: Final = _Point(0, 1, 1, 0)


def sign(password: bytes, message: bytes) -> bytes:
    """The 64 bytes that prove to the server that one knows the password."""
    digest = hashlib.sha512(password).digest()
    key = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    nonce = _number(digest[32:] + message)
    commitment = _encoded(_times(nonce))
    challenge = _number(commitment + _encoded(_times(key)) + message)
    answer = (nonce + challenge * key) % _ORDER
    return commitment + answer.to_bytes(32, "little")


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.sha512(data).digest(), "little") % _ORDER


def _add(one: _Point, other: _Point) -> _Point:
    """RFC 8032, 5.1.4; right for equal points, too."""
    a = (one.y - one.x) * (other.y - other.x) % _P
    b = (one.y + one.x) * (other.y + other.x) % _P
    c = one.t * _D2 * other.t % _P
    d = 2 * one.z * other.z % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return _Point(e * f % _P, g * h % _P, f * g % _P, e * h % _P)


@cache
def _doublings() -> tuple[_Point, ...]:
    """The base point times each power of two."""
    found = [_BASE]
    for _ in range(254):
        found.append(_add(found[-1], found[-1]))
    return tuple(found)


def _times(factor: int) -> _Point:
    """The base point so many times."""
    total = _ZERO
    for place, point in enumerate(_doublings()):
        if factor >> place & 1:
            total = _add(total, point)
    return total


def _encoded(point: _Point) -> bytes:
    inverse = pow(point.z, -1, _P)
    x, y = point.x * inverse % _P, point.y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")
