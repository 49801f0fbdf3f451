"""HTTP targets that misbehave, each with the reason that its check has to give."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from cbmon.model import Reason

OK = b"HTTP/1.1 200 OK\r\n"
MIB = 1024 * 1024
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Handler = Callable[[Reader, Writer], Awaitable[None]]
FOREVER = 3600.0
SHORT = 0.4  # seconds until a run is cut off
PLENTY = 5.0


def bomb(wbits: int) -> bytes:
    """2 MiB that unpack to 2 GiB: one block of zeros, flushed, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    beginning = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return beginning + block * (2 * MIB // len(block))


async def asked(reader: Reader) -> None:
    await reader.readuntil(b"\r\n\r\n")


def saying(data: bytes, then: str = "close", pause: float = 0.0) -> Handler:
    """A target that answers with these bytes, then hangs, hangs up, resets or half-closes."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await asked(reader)
        writer.transport.set_write_buffer_limits(0)  # what is not sent when it hangs up is lost
        writer.write(data)
        await writer.drain()
        if pause:
            await asyncio.sleep(pause)
        if then == "reset":
            await asyncio.sleep(0.05)
            linger = struct.pack("ii", 1, 0)
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        elif then == "half-close":
            writer.write_eof()
            await asyncio.sleep(FOREVER)
        elif then == "hang":
            await asyncio.sleep(FOREVER)

    return handler


def repeating(first: bytes, piece: bytes, every: float = 0.0) -> Handler:
    """A target that begins with ``first`` and then sends ``piece`` for ever."""

    async def handler(reader: Reader, writer: Writer) -> None:
        await asked(reader)
        writer.write(first)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every)

    return handler


async def silent(reader: Reader, writer: Writer) -> None:
    await asyncio.sleep(FOREVER)


async def deaf(reader: Reader, writer: Writer) -> None:
    """Hangs up before it has heard anything."""


def with_reset(reader: Reader, writer: Writer) -> Awaitable[None]:
    return saying(b"", "reset")(reader, writer)


def head(*lines: bytes) -> bytes:
    return OK + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


BODY = {"expect": {"body": {"matches": "."}}}
CASES: list[Any] = [
    # name, target, options, reason, part of the message
    ("accepts and says nothing", silent, {}, Reason.TIMEOUT, "waiting for the first byte from 127"),
    ("hangs up at once", deaf, {}, Reason.CONNECT, "gave no answer"),
    ("hangs up after the request", saying(b""), {}, Reason.CONNECT, "gave no answer"),
    ("resets after the request", with_reset, {}, Reason.CONNECT, "connection reset"),
    ("half-closes after the request", saying(b"", "half-close"), {}, Reason.CONNECT, "no answer"),
    ("hangs in the status line", saying(b"HTTP/1.1 2", "hang"), {}, Reason.TIMEOUT, "receiving"),
    ("hangs in the headers", saying(OK + b"A: b", "hang"), {}, Reason.TIMEOUT, "receiving"),
    ("ends in the status line", saying(b"HTTP/1.1 2"), {}, Reason.PROTOCOL, "broke off"),
    ("ends in the headers", saying(OK + b"A: b\r\n"), {}, Reason.PROTOCOL, "broke off"),
    ("resets in the headers", saying(OK, "reset"), {}, Reason.PROTOCOL, "broke off"),
    ("half-closes in the headers", saying(OK, "half-close"), {}, Reason.PROTOCOL, "broke off"),
    (
        "hangs after the headers",
        saying(head(b"Content-Length: 5"), "hang"),
        {},
        Reason.TIMEOUT,
        "receiving the answer of 127",
    ),
    (
        "ends in the body",
        saying(head(b"Content-Length: 5") + b"123"),
        {},
        Reason.PROTOCOL,
        "ends too early",
    ),
    (
        "resets in the body",
        saying(head(b"Content-Length: 5") + b"123", "reset"),
        {},
        Reason.PROTOCOL,
        "broke off",
    ),
    (
        "half-closes in the body",
        saying(head(b"Content-Length: 5") + b"123", "half-close"),
        {},
        Reason.PROTOCOL,
        "ends too early",
    ),
    (
        "resets in a body of unknown length",
        saying(head() + b"123", "reset"),
        {},
        Reason.PROTOCOL,
        "broke off",
    ),
    (
        "hangs in a body of unknown length",
        saying(head() + b"123", "hang"),
        {},
        Reason.TIMEOUT,
        "receiving",
    ),
    ("drips its headers", repeating(OK, b"A", 0.02), {}, Reason.TIMEOUT, "receiving"),
    ("drips its body", repeating(head(), b"x", 0.02), BODY, Reason.TIMEOUT, "receiving"),
    ("has headers without end", repeating(OK, b"A: b\r\n" * 500), {}, Reason.SIZE, "headers"),
    ("has one header without end", repeating(OK + b"A: ", b"x" * 5000), {}, Reason.SIZE, "headers"),
    (
        "has a huge header",
        saying(head(b"A: " + b"x" * 300_000), "hang"),
        {},
        Reason.SIZE,
        "headers are larger",
    ),
    (
        "has a status line without end",
        repeating(b"HTTP/1.1 200 ", b"x" * 5000),
        {},
        Reason.SIZE,
        "headers",
    ),
    (
        "floods with interim answers",
        repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        {},
        Reason.SIZE,
        "headers",
    ),
    (
        "drips interim answers",
        repeating(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.03),
        {},
        Reason.TIMEOUT,
        "receiving",
    ),
    (
        "has a body without end",
        repeating(head(), b"x" * 65536),
        BODY,
        Reason.SIZE,
        "larger than 5242880 bytes",
    ),
    (
        "has a body without end that nobody looks at",
        repeating(head(), b"x" * 65536),
        {},
        Reason.SIZE,
        "larger than 5242880 bytes",
    ),
    (
        "has chunks without end",
        repeating(head(b"Transfer-Encoding: chunked"), b"1\r\nx\r\n" * 5000),
        {"max_body_size": "8KiB", **BODY},
        Reason.SIZE,
        "larger",
    ),
    (
        "has trailers without end",
        repeating(head(b"Transfer-Encoding: chunked") + b"0\r\n", b"A: b\r\n" * 500),
        {},
        Reason.SIZE,
        "trailers, or what stands between chunks, are larger than 131072 bytes",
    ),
    (
        "has one trailer without end",
        repeating(head(b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\nA: ", b"x" * 5000),
        BODY,
        Reason.SIZE,
        "trailers, or what",
    ),
    (
        "has an extension without end",
        repeating(head(b"Transfer-Encoding: chunked") + b"5;", b"x" * 5000),
        {},
        Reason.SIZE,
        "trailers, or what",
    ),
    (
        "has a chunk size without end",
        repeating(head(b"Transfer-Encoding: chunked"), b"0" * 5000),
        {},
        Reason.SIZE,
        "trailers, or what",
    ),
    (
        "folds a header without end",
        repeating(OK + b"A: b\r\n", b" c\r\n" * 500),
        {},
        Reason.SIZE,
        "headers are larger",
    ),
    (
        "says a length and chunks",
        saying(head(b"Content-Length: 3", b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n\r\n"),
        {},
        Reason.PROTOCOL,
        "speak HTTP",
    ),
    (
        "has a zero in a header",
        saying(head(b"A: b\0c", b"Content-Length: 0")),
        {},
        Reason.PROTOCOL,
        "speak HTTP",
    ),
    (
        "has a bare carriage return in a header",
        saying(head(b"A: b\rc", b"Content-Length: 0")),
        {},
        Reason.PROTOCOL,
        "speak HTTP",
    ),
    (
        "packs thrice",
        saying(head(b"Content-Encoding: gzip, gzip, gzip") + b"x"),
        BODY,
        Reason.PROTOCOL,
        "gzip, gzip, gzip",
    ),
    (
        "sends a bomb in many parts",
        repeating(head(b"Content-Encoding: gzip"), gzip.compress(bytes(100_000))),
        BODY,
        Reason.SIZE,
        "unpacked body is larger",
    ),
    (
        "sends brotli",
        saying(head(b"Content-Encoding: br") + b"\x0b\x02\x80hello\x03"),
        BODY,
        Reason.PROTOCOL,
        'encoded as "br"',
    ),
    (
        "redirects to a Unix socket",
        saying(b"HTTP/1.1 302 F\r\nLocation: http+unix://%2Frun%2Fx/\r\n\r\n"),
        {},
        Reason.REDIRECT,
        "http+unix",
    ),
    (
        "redirects to the metadata service in wide digits",
        saying(
            "HTTP/1.1 302 F\r\nLocation: http://\uff11\uff16\uff19.254.169.254/\r\n\r\n".encode()
        ),
        {},
        Reason.POLICY,
        "metadata",
    ),
    (
        "redirects to the metadata service in a zone",
        saying(b"HTTP/1.1 302 F\r\nLocation: http://[fd00:ec2::254%25lo]/\r\n\r\n"),
        {},
        Reason.POLICY,
        "metadata",
    ),
    (
        "redirects to the metadata service behind a user",
        saying(b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1@169.254.169.254/\r\n\r\n"),
        {},
        Reason.POLICY,
        "metadata",
    ),
    (
        "sends a gzip bomb",
        saying(head(b"Content-Encoding: gzip") + bomb(31), "hang"),
        BODY,
        Reason.SIZE,
        "unpacked body is larger than 5242880",
    ),
    (
        "sends a deflate bomb",
        saying(head(b"Content-Encoding: deflate") + bomb(15), "hang"),
        {"compression": ["deflate"]},
        Reason.SIZE,
        "unpacked body is larger",
    ),
    (
        "sends damaged gzip",
        saying(head(b"Content-Encoding: gzip") + b"\x1f\x8bnot gzip at all"),
        BODY,
        Reason.PROTOCOL,
        "damaged",
    ),
    (
        "sends gzip that ends too early",
        saying(head(b"Content-Encoding: gzip") + gzip.compress(b"hello" * 99)[:-9]),
        BODY,
        Reason.PROTOCOL,
        "ends too early",
    ),
    (
        "sends an encoding that is not known",
        saying(head(b"Content-Encoding: rot13") + b"uryyb"),
        BODY,
        Reason.PROTOCOL,
        "rot13",
    ),
    ("sends garbage", saying(b"\x00\xff\xfe garbage\r\n\r\n"), {}, Reason.PROTOCOL, "speak HTTP"),
    ("speaks SSH", saying(b"SSH-2.0-OpenSSH_9.2\r\n"), {}, Reason.PROTOCOL, "speak HTTP"),
    (
        "says a length that is no number",
        saying(head(b"Content-Length: many") + b"x"),
        {},
        Reason.PROTOCOL,
        "speak HTTP",
    ),
    (
        "says two lengths",
        saying(head(b"Content-Length: 1", b"Content-Length: 2") + b"xx"),
        {},
        Reason.PROTOCOL,
        "speak HTTP",
    ),
    (
        "says a chunk size that is no number",
        saying(head(b"Transfer-Encoding: chunked") + b"zz\r\nx\r\n", "hang"),
        {},
        Reason.PROTOCOL,
        "chunk size",
    ),
    (
        "ends in a chunk",
        saying(head(b"Transfer-Encoding: chunked") + b"5\r\nab"),
        {},
        Reason.PROTOCOL,
        "ends too early",
    ),
    (
        "redirects to a file",
        saying(b"HTTP/1.1 302 F\r\nLocation: file:///etc/passwd\r\n\r\n"),
        {},
        Reason.REDIRECT,
        "file:///etc/passwd",
    ),
    (
        "redirects to the metadata service",
        saying(b"HTTP/1.1 302 F\r\nLocation: http://169.254.169.254/latest/\r\n\r\n"),
        {},
        Reason.POLICY,
        "metadata",
    ),
    (
        "redirects to the metadata service in disguise",
        saying(b"HTTP/1.1 302 F\r\nLocation: http://[::ffff:a9fe:a9fe]/\r\n\r\n"),
        {},
        Reason.POLICY,
        "metadata",
    ),
    (
        "redirects to nowhere",
        saying(b"HTTP/1.1 302 F\r\nLocation: http://[::bad/\r\n\r\n"),
        {},
        Reason.REDIRECT,
        "not a URL",
    ),
    (
        "redirects to itself for ever",
        saying(b"HTTP/1.1 302 F\r\nLocation: /again\r\n\r\n"),
        {},
        Reason.REDIRECT,
        "more than 10 redirects",
    ),
    (
        "redirects with a body without end",
        repeating(b"HTTP/1.1 302 F\r\nLocation: /again\r\n\r\n", b"x" * 65536),
        {},
        Reason.REDIRECT,
        "more than 10 redirects",
    ),
    (
        "sends a body that is not UTF-8",
        saying(head() + b"\xff\xfe\x00\x9f"),
        {"expect": {"body": {"matches": "up"}}},
        Reason.BODY,
        "\\xff\\xfe",
    ),
    (
        "nests its JSON too deeply",
        saying(head() + b"[" * 200_000),
        {"expect": {"json": {"$.db": "up"}}},
        Reason.BODY,
        "not JSON",
    ),
    (
        "sends a number of a million digits",
        saying(head() + b"9" * 1_000_000),
        {"expect": {"json": {"$": 1}}},
        Reason.BODY,
        "not JSON",
    ),
    (
        "sends a text that is slow to match",
        saying(head() + b"a" * 4 * MIB + b"!"),
        {"expect": {"body": {"matches": "^(a+)+$"}}},
        Reason.BODY,
        "does not match",
    ),
    ("answers 101", saying(b"HTTP/1.1 101 S\r\n\r\n", "hang"), {}, Reason.STATUS, "101"),
]
