"""Rule: whatever frames a WebSocket or a gRPC server sends, its check ends in time and says why."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import hpack
import pytest

from cbmon.model import Reason

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Converse = Callable[[Reader, Writer], Awaitable[None]]
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
HEADERS, RESET, SETTINGS, GOAWAY = 1, 3, 4, 7
MEGABYTE = 1024 * 1024


def frame(kind: int, data: bytes = b"", *, end: bool = True, length: int | None = None) -> bytes:
    """A frame of a WebSocket, which may lie about its length."""
    size = len(data) if length is None else length
    first = bytes([(0x80 if end else 0) | kind])
    if size < 126:
        return first + bytes([size]) + data
    return first + b"\x7f" + struct.pack("!Q", size) + data


def live(said: bytes, again: bytes = b"") -> Converse:
    """A WebSocket that says this after its handshake, and perhaps something for ever."""

    async def converse(reader: Reader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = head.lower().partition(b"sec-websocket-key: ")[0]
        asked = head[len(key) :].partition(b": ")[2].partition(b"\r\n")[0]
        digest = hashlib.sha1(asked + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        writer.write(
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n" + said
        )
        await for_ever(writer, again)

    return converse


async def for_ever(writer: Writer, again: bytes) -> None:
    await writer.drain()
    while again:
        writer.write(again)
        await writer.drain()
        await asyncio.sleep(0)
    await asyncio.sleep(3600)


SOCKETS: list[Any] = [
    (Reason.SIZE, "exceeds limit", live(frame(TEXT, b"x", length=1 << 40))),
    (Reason.SIZE, "exceeds limit", live(frame(BINARY, length=1 << 30), b"x" * 65536)),
    (Reason.SIZE, "exceeds limit", live(
        frame(TEXT, b"a", end=False), frame(0, b"a" * 100, end=False) * 99)),
    (Reason.TIMEOUT, "first byte", live(b"", frame(PING, b"a" * 125) * 100)),
    (Reason.TIMEOUT, "first byte", live(frame(TEXT, end=False), frame(0, end=False) * 1000)),
    (Reason.PROTOCOL, "control frame", live(frame(PING, b"a" * 126))),
    (Reason.PROTOCOL, "fragmented control", live(frame(PING, end=False))),
    (Reason.PROTOCOL, "non started", live(frame(0, b"a"))),
    (Reason.PROTOCOL, "expected to be zero", live(
        frame(TEXT, b"a", end=False) + frame(TEXT, b"b"))),
    (Reason.PROTOCOL, "reserved bits", live(frame(TEXT | 0x40, b"a"))),
    (Reason.PROTOCOL, "opcode=3", live(frame(3))),
    (Reason.PROTOCOL, "utf-8", live(frame(TEXT, b"\xff"))),
    (Reason.PROTOCOL, "close code: 999", live(frame(CLOSE, struct.pack("!H", 999)))),
    (Reason.BODY, "closed with code 1001", live(frame(CLOSE, struct.pack("!H", 1001)))),
    (Reason.PROTOCOL, "reserved bits", live(b"HTTP/1.1 200 OK\r\n\r\n" * 9)),
]  # fmt: skip


def h2(kind: int, flags: int, stream: int, data: bytes) -> bytes:
    """A frame of HTTP/2."""
    return len(data).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + data


def told(*, end: bool, **fields: str) -> bytes:
    pairs = [(f":{n}" if n == "status" else n.replace("_", "-"), v) for n, v in fields.items()]
    block = hpack.Encoder().encode([(name.encode(), value.encode()) for name, value in pairs])
    return h2(HEADERS, 5 if end else 4, 1, block)


def data(said: bytes) -> bytes:
    return h2(0, 0, 1, said)


GREETING = h2(SETTINGS, 0, 0, b"")


def calling(*said: bytes, again: bytes = b"", greeting: bytes = GREETING) -> Converse:
    async def converse(reader: Reader, writer: Writer) -> None:
        await reader.read(1000)
        writer.write(greeting + b"".join(said))
        await for_ever(writer, again)

    return converse


BEGUN = told(end=False, status="200", content_type="application/grpc")
WELL = told(end=True, grpc_status="0")
CALLS: list[Any] = [
    (Reason.STATUS, "got UNIMPLEMENTED", calling(
        told(end=True, status="200", content_type="application/grpc", grpc_status="12"))),
    (Reason.PROTOCOL, "not one whole message", calling(
        told(end=True, status="200", content_type="application/grpc", grpc_status="0"))),
    (Reason.STATUS, "HTTP status 503", calling(told(end=True, status="503"))),
    (Reason.PROTOCOL, "no grpc-status", calling(told(end=True, status="200"))),
    (Reason.PROTOCOL, "enhance your calm", calling(h2(GOAWAY, 0, 0, struct.pack("!II", 0, 11)))),
    (Reason.PROTOCOL, "broke the call off", calling(h2(RESET, 0, 1, struct.pack("!I", 8)))),
    (Reason.SIZE, "larger than 131072", calling(
        BEGUN, data(b"\0\xff\xff\xff\xff"), again=data(b"x" * 16000))),
    (Reason.TIMEOUT, "receiving", calling(again=GREETING * 100)),
    (Reason.PROTOCOL, "compressed", calling(BEGUN, data(b"\1\0\0\0\2\x08\1"), WELL)),
    (Reason.PROTOCOL, "HealthCheckResponse", calling(BEGUN, data(b"\0\0\0\0\2\xff\xff"), WELL)),
    (Reason.PROTOCOL, "not one whole message", calling(BEGUN, data(b"\0\0\0\0\2\x08\1" * 2), WELL)),
    (Reason.PROTOCOL, "no grpc-status", calling(BEGUN, told(end=True, grpc_status="zzz"))),
    (Reason.PROTOCOL, "does not speak HTTP/2", calling(greeting=b"HTTP/1.1 400 Bad\r\n\r\n")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "reason", "message", "target"),
    [("websocket", *case) for case in SOCKETS] + [("grpc", *case) for case in CALLS],
)
async def test_a_server_that_breaks_its_protocol_is_named(
    kind: str,
    reason: Reason,
    message: str,
    target: Converse,
    targets: Any,
    memory: Callable[[], int],
) -> None:
    timeout = 0.5 if reason is Reason.TIMEOUT else 5.0
    port = await targets.serve(target)
    options: dict[str, Any] = {"address": f"127.0.0.1:{port}"}
    if kind == "websocket":
        options = {"url": f"ws://127.0.0.1:{port}/", "expect": {"matches": "^hello$"}}

    result = await targets.look(targets.probe(kind, **options), timeout)

    assert reason is result.reason, result.error
    assert message in result.error
    assert result.duration < timeout + 0.5
    assert memory() < 20 * MEGABYTE
