"""SCRAM-SHA-256 (RFC 5802, RFC 7677), the client's side.

Rule: pure but for the nonce. The server is believed only once it has proved that it knows the
password too. Channel binding is not used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata
from typing import Final

MOST_ITERATIONS: Final = 1_000_000
"""About half a second of computing; PostgreSQL's default is 4096."""
_FIRST: Final = re.compile(r"r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=([0-9]{1,9})(?:,.*)?")


class ScramError(Exception):
    """The server does not keep to the exchange; ``str()`` holds no secret."""


class Scram:
    """One exchange: :meth:`first`, :meth:`final`, :meth:`verify`."""

    mechanism: Final = "SCRAM-SHA-256"

    def __init__(self, password: str, nonce: str | None = None) -> None:
        self._password = prepared(password).encode()
        self._nonce = nonce or base64.b64encode(secrets.token_bytes(18)).decode()
        self._bare = f"n=,r={self._nonce}"
        self._signature = b""
        self.is_open = False
        """Whether the exchange has begun, and the server has not proved anything yet."""

    def first(self) -> bytes:
        """The client's first message."""
        self.is_open = True
        return f"n,,{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        """The answer to the server's first message; it takes time: call it in a thread."""
        text = challenge.decode("ascii", "replace")
        match = _FIRST.fullmatch(text)
        if match is None or not match[1].startswith(self._nonce) or match[1] == self._nonce:
            raise ScramError("the server's challenge is malformed")
        iterations = int(match[3])
        if not 1 <= iterations <= MOST_ITERATIONS:
            raise ScramError(f"the server asks for {iterations} rounds of hashing")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, _decoded(match[2]), iterations)
        bare = f"c=biws,r={match[1]}"
        signed = f"{self._bare},{text},{bare}".encode()
        key = _mac(salted, b"Client Key")
        self._signature = _mac(_mac(salted, b"Server Key"), signed)
        proof = _xor(key, _mac(hashlib.sha256(key).digest(), signed))
        return f"{bare},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, final: bytes) -> None:
        """ScramError unless the server's last message proves that it knows the password."""
        text = final.decode("ascii", "replace")
        if not text.startswith("v=") or not self._signature:
            raise ScramError("the server's last message is malformed")
        if not hmac.compare_digest(_decoded(text[2:].partition(",")[0]), self._signature):
            raise ScramError("the server does not know the password")
        self.is_open = False


def prepared(password: str) -> str:
    """By SASLprep (RFC 4013); as it is when that forbids it, which is what PostgreSQL does."""
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c)
    )
    found = unicodedata.normalize("NFKC", mapped)
    if not found or any(forbids(c) for c in found for forbids in _FORBIDDING) or _is_mixed(found):
        return password
    return found


_FORBIDDING: Final = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def _is_mixed(text: str) -> bool:
    """Whether it breaks the rules for texts that are written from right to left."""
    right = [stringprep.in_table_d1(c) for c in text]
    if not any(right):
        return False
    return not (right[0] and right[-1]) or any(map(stringprep.in_table_d2, text))


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ScramError("the server's message is malformed") from None
