"""Rule: whatever an HTTP target does, its check ends in time, says why, and harms no other."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cbmon.model import Phase, Reason


@pytest.fixture(params=[True, False], ids=["direct", "general"])
def direct(request: pytest.FixtureRequest) -> bool:
    """Every test goes both ways: they must agree."""
    return bool(request.param)


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


@pytest.mark.parametrize(
    ("target", "options", "reason", "message"),
    [pytest.param(*case[1:], id=case[0].replace(" ", "-")) for case in CASES],
)
async def test_a_target_that_misbehaves_fails_in_time_with_its_reason(
    target: Handler,
    options: dict[str, Any],
    reason: Reason,
    message: str,
    targets: Any,
    neighbours: list[Any],
    memory: Callable[[], int],
) -> None:
    timeout = SHORT if reason is Reason.TIMEOUT else PLENTY
    port = await targets.serve(target)

    result = await targets.http(port, timeout, **options)

    assert (reason, False) == (result.reason, result.ok), result.error
    assert message in result.error
    assert result.duration < timeout + 0.5
    assert memory() < 20 * MIB
    assert len(neighbours) >= 20


async def test_no_socket_is_left_behind_by_any_target(
    targets: Any, descriptors: Callable[[], int]
) -> None:
    ports = [await targets.serve(case[1]) for case in CASES]
    await targets.http(ports[0])
    await asyncio.sleep(0.05)
    before = descriptors()

    results = [
        await targets.http(port, 0.1, **case[2]) for port, case in zip(ports, CASES, strict=True)
    ]
    await hung_up(targets)

    assert not any(result.ok for result in results)
    assert before >= descriptors()


async def test_a_cancelled_run_leaves_no_socket_behind(
    targets: Any, descriptors: Callable[[], int]
) -> None:
    ports = [await targets.serve(case[1]) for case in CASES]
    await targets.http(ports[0])
    await hung_up(targets)
    before = descriptors()

    for delay in (0.0, 0.001, 0.003, 0.01):
        runs = [
            asyncio.create_task(targets.http(port, 5, **case[2]))
            for port, case in zip(ports, CASES, strict=True)
        ]
        await asyncio.sleep(delay)
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
    await hung_up(targets)

    assert before >= descriptors()


async def hung_up(targets: Any) -> None:
    """End the targets' side of every conversation."""
    await asyncio.sleep(0.05)
    for task in tuple(targets.conversations):
        task.cancel()
    await asyncio.sleep(0.1)


async def test_a_target_that_hangs_up_is_asked_once(targets: Any) -> None:
    asked_for = 0

    async def count(reader: Reader, writer: Writer) -> None:
        nonlocal asked_for
        asked_for += 1
        await asked(reader)

    port = await targets.serve(count)

    await targets.http(port)

    assert asked_for == 1


@pytest.mark.parametrize("wbits", [31, 15, -15], ids=["gzip", "zlib", "raw-deflate"])
async def test_a_bomb_does_not_hold_up_the_loop(wbits: int, targets: Any) -> None:
    encoding = b"gzip" if wbits == 31 else b"deflate"
    port = await targets.serve(saying(head(b"Content-Encoding: " + encoding) + bomb(wbits)))
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            begun = targets.clock.monotonic()
            await asyncio.sleep(0.001)
            longest = max(longest, targets.clock.monotonic() - begun)

    watching = asyncio.create_task(watch())
    result = await targets.http(port, **BODY)
    watching.cancel()

    assert result.reason is Reason.SIZE
    assert longest < 0.1


async def test_a_full_accept_queue_is_a_timeout_while_connecting(targets: Any) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))

        result = await targets.http(port, SHORT)

        for filler in fillers:
            filler.close()
    assert result.reason is Reason.TIMEOUT
    assert result.phases.connect > 0.3 or Phase.PROCESSING.value in result.error


async def test_300_headers_and_64_kib_of_them_pass(targets: Any) -> None:
    lines = [b"X-%d: %s" % (number, b"x" * 180) for number in range(300)]
    port = await targets.serve(saying(head(*lines, b"Content-Length: 0")))

    result = await targets.http(port)

    assert result.ok, result.error


async def test_an_interim_answer_is_passed_over(targets: Any) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    port = await targets.serve(saying(interim + head(b"Content-Length: 0")))

    result = await targets.http(port)

    assert result.ok, result.error
    assert result.facts["status"] == 200
