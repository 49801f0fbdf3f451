"""MySQL's packets: what a client says and hears to log in and to ask one query.

Rule: pure; a malformed packet raises ProbeError (``protocol``). Numbers are little-endian.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, shown

LARGEST_PACKET: Final = 1024 * 1024
OK: Final = 0x00
MORE: Final = 0x01
LOCAL_FILE: Final = 0xFB
EOF: Final = 0xFE
ERROR: Final = 0xFF

SSL: Final = 0x0800
_WITH_DATABASE: Final = 0x0008
# LONG_PASSWORD, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH
_WANTED: Final = 0x0001 | 0x0200 | 0x2000 | 0x8000 | 0x0008_0000
_UTF8MB4: Final = 45
_SALT: Final = 20
"""Bytes of a salt, but for ``client_ed25519``, whose last one may be any."""


class Greeting(NamedTuple):
    """What a server says first."""

    version: str
    capabilities: int
    plugin: str
    salt: bytes

    @property
    def is_mariadb(self) -> bool:
        """Whether it is MariaDB."""
        return "mariadb" in self.version.lower()


class ServerError(NamedTuple):
    """What the server says is wrong."""

    code: int
    state: str
    text: str


def size(begin: bytes) -> int:
    """How many bytes follow the four of a packet's head; ProbeError (``size``) for too many."""
    found = int.from_bytes(begin[:3], "little")
    if found > LARGEST_PACKET:
        text = f"a packet of {found} bytes is larger than {LARGEST_PACKET}"
        raise ProbeError(Reason.SIZE, text)
    return found


def packet(number: int, body: bytes) -> bytes:
    """A packet with its head."""
    return len(body).to_bytes(3, "little") + bytes([number & 0xFF]) + body


def greeting(body: bytes) -> Greeting:
    """The server's first packet, version 10 of the handshake."""
    version, end, rest = body[1:].partition(b"\0")
    if body[:1] != b"\x0a" or not end or len(rest) < 31:
        raise ProbeError(Reason.PROTOCOL, "the target does not speak MySQL's protocol")
    low, high = struct.unpack_from("<H", rest, 13)[0], struct.unpack_from("<H", rest, 18)[0]
    length = max(13, rest[20] - 8)
    salt = rest[4:12] + rest[31 : 31 + length]
    plugin = rest[31 + length :].partition(b"\0")[0]
    return Greeting(
        shown(version.removeprefix(b"5.5.5-"))[1:-1],
        low | high << 16,
        plugin.decode("ascii", "replace") or "mysql_native_password",
        salt.rstrip(b"\0"),
    )


def head(database: str, *, tls: bool) -> bytes:
    """What the client can do: the beginning of its login, and all that it says before TLS."""
    flags = _WANTED | (_WITH_DATABASE if database else 0) | (SSL if tls else 0)
    return struct.pack("<IIB23x", flags, LARGEST_PACKET, _UTF8MB4)


def login(user: str, response: bytes, database: str, plugin: str, *, tls: bool) -> bytes:
    """The client's part of the handshake."""
    return b"".join(
        (
            head(database, tls=tls),
            user.encode() + b"\0",
            bytes([len(response)]) + response,
            database.encode() + b"\0" if database else b"",
            plugin.encode() + b"\0",
        )
    )


def switch(body: bytes) -> tuple[str, bytes]:
    """The plug-in and the salt of a request to log in in another way."""
    name, _, salt = body[1:].partition(b"\0")
    if len(salt) == _SALT + 1:
        salt = salt.removesuffix(b"\0")
    return name.decode("ascii", "replace"), salt


def error(body: bytes) -> ServerError:
    """What an error says; the text is fit for a message."""
    if len(body) < 3:
        raise malformed()
    code, rest = int.from_bytes(body[1:3], "little"), body[3:]
    state = ""
    if rest[:1] == b"#":
        state, rest = rest[1:6].decode("ascii", "replace"), rest[6:]
    return ServerError(code, state, f"error {code} ({state or 'no state'}): {shown(rest)}")


def native(secret: str, salt: bytes) -> bytes:
    """The answer of ``mysql_native_password``."""
    if not secret:
        return b""
    once = _sha1(secret.encode())
    return _xor(once, _sha1(salt + _sha1(once)))


def caching_sha2(secret: str, salt: bytes) -> bytes:
    """The answer of ``caching_sha2_password``, which the server knows if it has cached it."""
    if not secret:
        return b""
    once = hashlib.sha256(secret.encode()).digest()
    twice = hashlib.sha256(once).digest()
    return _xor(once, hashlib.sha256(twice + salt).digest())


SCRAMBLES: Final[Mapping[str, Callable[[str, bytes], bytes]]] = {
    "mysql_native_password": native,
    "caching_sha2_password": caching_sha2,
}


def first_value(body: bytes) -> str | None:
    """The first column of a row as text; None for NULL."""
    if body[:1] == b"\xfb":
        return None
    length, at = _length(body)
    if at + length > len(body):
        raise malformed()
    return body[at : at + length].decode(errors="replace")


def column_count(body: bytes) -> int:
    """How many columns the answer to a query has."""
    count, at = _length(body)
    if at != len(body) or not 0 < count <= 4096:
        raise malformed()
    return count


def is_eof(body: bytes) -> bool:
    """Whether no more of its kind comes."""
    return body[0] == EOF and len(body) < 9


def malformed() -> ProbeError:
    """For a packet that is not what it should be."""
    return ProbeError(Reason.PROTOCOL, "the target sent a malformed packet")


def _length(body: bytes) -> tuple[int, int]:
    """A number in its short form, and where it ends."""
    first = body[0] if body else 0xFF
    if first < 0xFB:
        return first, 1
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
    if not width or len(body) <= width:
        raise malformed()
    return int.from_bytes(body[1 : 1 + width], "little"), 1 + width


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
