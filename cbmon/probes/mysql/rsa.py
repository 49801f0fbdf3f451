"""Encryption under a server's public RSA key (RSAES-OAEP with SHA-1, RFC 8017).

Rule: only what a client needs; the key is read from PEM (``PUBLIC KEY``, ``RSA PUBLIC KEY``) and
ValueError says what is wrong with it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from typing import Final, NamedTuple

LARGEST_PEM: Final = 16 * 1024
_SEQUENCE, _INTEGER, _BITS = 0x30, 0x02, 0x03
_HASH: Final = 20
"""Bytes of a SHA-1."""


class PublicKey(NamedTuple):
    """Modulus and exponent."""

    modulus: int
    exponent: int

    @property
    def size(self) -> int:
        """Bytes of what it encrypts to."""
        return (self.modulus.bit_length() + 7) // 8


def public_key(pem: bytes) -> PublicKey:
    """The key in a PEM text; ValueError if there is none that can be used."""
    body, wrapped = _pem_body(pem)
    try:
        data = base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        raise ValueError("the public key is damaged") from None
    if wrapped:  # the algorithm, and the key as the bits of another structure
        _, rest = _part(_part(data, _SEQUENCE)[0], _SEQUENCE)
        bits, _ = _part(rest, _BITS)
        data = bits[1:]
    inside, _ = _part(data, _SEQUENCE)
    modulus, rest = _part(inside, _INTEGER)
    exponent, _ = _part(rest, _INTEGER)
    found = PublicKey(int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big"))
    if not 1024 <= found.modulus.bit_length() <= 16384 or not 3 <= found.exponent < 2**32:
        raise ValueError("the public key is no RSA key of 1024 to 16384 bits")
    return found


def encrypted(key: PublicKey, message: bytes) -> bytes:
    """The message as only the owner of the key can read it; ValueError if it is too long."""
    room = key.size - 2 * _HASH - 2
    if len(message) > room:
        raise ValueError(f"a message of {len(message)} bytes is longer than {room}")
    padding = bytes(room - len(message)) + b"\x01"
    block = hashlib.sha1(b"", usedforsecurity=False).digest() + padding + message
    seed = secrets.token_bytes(_HASH)
    masked = _xor(block, _mask(seed, len(block)))
    whole = b"\0" + _xor(seed, _mask(masked, _HASH)) + masked
    number = pow(int.from_bytes(whole, "big"), key.exponent, key.modulus)
    return number.to_bytes(key.size, "big")


def _pem_body(pem: bytes) -> tuple[bytes, bool]:
    """What stands between the lines, and whether the key is wrapped in its algorithm."""
    for name in (b"PUBLIC KEY", b"RSA PUBLIC KEY"):
        _, found, rest = pem[:LARGEST_PEM].partition(b"-----BEGIN %b-----" % name)
        body, end, _ = rest.partition(b"-----END %b-----" % name)
        if found and end:
            return body, name == b"PUBLIC KEY"
    raise ValueError("expected a public key as PEM")


def _part(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """What the first DER value holds, and what follows it."""
    if len(data) < 2 or data[0] != tag:
        raise ValueError("the public key is no RSA key")
    size, at = data[1], 2
    if size & 0x80:
        at += size & 0x7F
        size = int.from_bytes(data[2:at], "big")
    if at + size > len(data):
        raise ValueError("the public key is damaged")
    return data[at : at + size], data[at + size :]


def _mask(seed: bytes, size: int) -> bytes:
    """MGF1."""
    blocks = (
        hashlib.sha1(seed + number.to_bytes(4, "big"), usedforsecurity=False).digest()
        for number in range(-(-size // _HASH))
    )
    return b"".join(blocks)[:size]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
