"""PostgreSQL's messages, version 3 of the protocol: what a client says and hears to ask one query.

Rule: pure; a malformed message raises ProbeError (``protocol``) and none is larger than its limit.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, shown

LARGEST_MESSAGE: Final = 1024 * 1024
SSL_REQUEST: Final = struct.pack(">ii", 8, 80877103)

AT_LOGIN: Final = b"RENSKZv"
"""The kinds of messages that come before the first query."""

# What AuthenticationRequest asks for.
OK: Final = 0
CLEAR: Final = 3
MD5: Final = 5
SASL: Final = 10
SASL_CONTINUE: Final = 11
SASL_FINAL: Final = 12
OTHER_WAYS: Final[Mapping[int, str]] = {2: "Kerberos", 7: "GSSAPI", 8: "GSSAPI", 9: "SSPI"}


class Message(NamedTuple):
    """One message of the server: its type letter and what it holds."""

    kind: bytes
    body: bytes


class ServerError(NamedTuple):
    """What the server says is wrong: ``code`` is the SQLSTATE; a fatal one is its last word."""

    code: str
    text: str
    fatal: bool


def startup(parameters: Mapping[str, str]) -> bytes:
    """The first message of a session."""
    pairs = b"".join(_text(part) for pair in parameters.items() for part in pair)
    body = struct.pack(">i", 196608) + pairs + b"\0"
    return struct.pack(">i", len(body) + 4) + body


def query(text: str) -> bytes:
    """A simple query."""
    return message(b"Q", _text(text))


def password(text: str) -> bytes:
    """The password, or its MD5 form."""
    return message(b"p", _text(text))


def sasl_first(mechanism: str, data: bytes) -> bytes:
    """The beginning of a SASL exchange."""
    return message(b"p", _text(mechanism) + struct.pack(">i", len(data)) + data)


def sasl_next(data: bytes) -> bytes:
    """The rest of a SASL exchange."""
    return message(b"p", data)


def message(kind: bytes, body: bytes) -> bytes:
    """A message with its head."""
    return kind + struct.pack(">i", len(body) + 4) + body


def body_size(head: bytes, kinds: bytes | None = None) -> int:
    """How many bytes follow the five of a message's head; ``kinds`` are all that may come."""
    size = int(struct.unpack(">i", head[1:])[0]) - 4
    known = head[:1].isalpha() if kinds is None else head[0] in kinds
    if size < 0 or not known:
        raise ProbeError(Reason.PROTOCOL, "the target does not speak PostgreSQL's protocol")
    if size > LARGEST_MESSAGE:
        text = f"a message of {size} bytes is larger than {LARGEST_MESSAGE}"
        raise ProbeError(Reason.SIZE, text)
    return size


def authentication(body: bytes) -> tuple[int, bytes]:
    """What is asked for, and the data that goes with it."""
    if len(body) < 4:
        raise malformed()
    return int.from_bytes(body[:4], "big"), body[4:]


def md5(user: str, secret: str, salt: bytes) -> str:
    """The password as MD5 authentication wants it."""
    inner = hashlib.md5(f"{secret}{user}".encode(), usedforsecurity=False).hexdigest()
    return "md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest()


def error(body: bytes) -> ServerError:
    """What an ErrorResponse says; the text is fit for a message."""
    fields = {
        part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if len(part) > 1
    }
    code = fields.get(b"C", "")
    severity = fields.get(b"V") or fields.get(b"S", "ERROR")
    text = f"{severity[:20]} {code[:10]}: {shown(fields.get(b'M', ''))}"
    return ServerError(code, text, severity in {"FATAL", "PANIC"})


def parameter(body: bytes) -> tuple[str, str]:
    """Name and value of a ParameterStatus."""
    name, _, value = body.partition(b"\0")
    return name.decode(errors="replace"), value.rstrip(b"\0").decode(errors="replace")


def first_value(body: bytes) -> str | None:
    """The first column of a DataRow as text; None for NULL or no column."""
    for value in values(body):
        return value if value is None else str(value, errors="replace")
    return None


def values(body: bytes) -> Iterator[bytes | None]:
    """The columns of a DataRow."""
    if len(body) < 2:
        raise malformed()
    at = 2
    for _ in range(int.from_bytes(body[:2], "big")):
        size = int.from_bytes(body[at : at + 4], "big", signed=True)
        at += 4
        if size < -1 or at + max(size, 0) > len(body):
            raise malformed()
        yield None if size == -1 else body[at : at + size]
        at += max(size, 0)


def malformed() -> ProbeError:
    """For a message that is not what it should be."""
    return ProbeError(Reason.PROTOCOL, "the target sent a malformed message")


def _text(text: str) -> bytes:
    return text.encode() + b"\0"
