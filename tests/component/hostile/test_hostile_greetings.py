"""Rule: whatever a server of Redis, SSH or mail says, its check ends in time and says why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cbmon.model import Reason, Result

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
MEGABYTE = 1024 * 1024


def endless(piece: bytes, head: bytes = b"", pause: float = 0.0) -> Callable[..., Awaitable[None]]:
    """A server that repeats itself for ever."""

    async def converse(reader: Reader, writer: Writer) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return converse


def once(said: bytes) -> Callable[..., Awaitable[None]]:
    """A server that says one thing and waits."""

    async def converse(reader: Reader, writer: Writer) -> None:
        writer.write(said)
        await asyncio.sleep(3600)

    return converse


@pytest.mark.parametrize(
    ("kind", "target", "reason", "message"),
    [
        ("redis", once(b"$1000000000000\r\n"), Reason.SIZE, "is larger than 1048576"),
        ("redis", once(b"$1000000\r\n"), Reason.TIMEOUT, "receiving"),
        ("redis", endless(b"x" * 65536, b"$1048576\r\n"), Reason.SIZE, "more than 1024 KiB"),
        ("redis", once(b"*1\r\n" * 100), Reason.PROTOCOL, "expected a reply of Redis"),
        ("redis", endless(b":1\r\n" * 1000, b"*1000000\r\n"), Reason.SIZE, "more than 10000 parts"),
        ("redis", once(b"*-2\r\n"), Reason.PROTOCOL, "expected a reply"),
        ("redis", once(b":" + b"9" * 5000 + b"\r\n"), Reason.PROTOCOL, "expected a reply"),
        ("redis", once(b"$3\r\nabcde\r\n"), Reason.PROTOCOL, "expected a reply"),
        ("redis", once(b"HTTP/1.1 400 Bad\r\n\r\n"), Reason.PROTOCOL, "HTTP/1.1 400"),
        ("redis", endless(b"+" * 4096), Reason.SIZE, "more than"),
        ("ssh", endless(b"x" * 4096), Reason.SIZE, "more than 64 KiB"),
        ("ssh", endless(b"S", pause=0.01), Reason.TIMEOUT, "receiving"),
        ("ssh", endless(b"\n" * 10), Reason.PROTOCOL, "50 lines"),
        ("ssh", once(b""), Reason.TIMEOUT, "first byte"),
        ("smtp", endless(b"220-a\r\n"), Reason.PROTOCOL, "more than 100 lines"),
        ("smtp", endless(b"220-a\r\n", pause=0.01), Reason.TIMEOUT, "receiving"),
        ("smtp", endless(b"2" * 4096), Reason.SIZE, "more than 64 KiB"),
        ("smtp", endless(b"x" * 1000, b"220 a\r\n250-"), Reason.SIZE, "more than 64 KiB"),
        ("smtp", once(b"220 a\r\n250 b\r\n250 c\r\n"), Reason.TLS, "does not offer STARTTLS"),
        ("smtp", once(b"220 a\r\n250-b\r\n250 STARTTLS\r\n220 c\r\nd"), Reason.PROTOCOL, "clear"),
        ("smtp", once(b"220 a\r\n250-b\r\n250 STARTTLS\r\n220 c\r\n"), Reason.TIMEOUT, "handshake"),
        ("smtp", once(b"\xff\xfe\x00\r\n"), Reason.PROTOCOL, "\\xff\\xfe"),
    ],
)
async def test_a_server_that_misbehaves_is_named(
    kind: str,
    target: Callable[[Reader, Writer], Awaitable[None]],
    reason: Reason,
    message: str,
    targets: Any,
    neighbours: list[Result],
    memory: Callable[[], int],
) -> None:
    timeout = 0.5 if reason is Reason.TIMEOUT else 5.0
    port = await targets.serve(target)
    options: dict[str, Any] = {"address": f"127.0.0.1:{port}"}
    if kind == "redis":
        options = {"url": f"redis://127.0.0.1:{port}"}
    elif kind == "smtp":
        options["security"] = "starttls"

    result = await targets.look(targets.probe(kind, **options), timeout)

    assert reason is result.reason, result.error
    assert message in result.error
    assert result.duration < timeout + 0.5
    assert memory() < 20 * MEGABYTE


@pytest.mark.parametrize(
    ("step", "reason", "target"),
    [
        ({"expect": "never"}, Reason.SIZE, endless(b"x" * 4096)),
        ({"expect": "never"}, Reason.SIZE, endless(b"x\n" * 100)),
        ({"expect_text": "never"}, Reason.SIZE, endless(b"neve" * 1000)),
        ({"expect_hex": "00"}, Reason.TIMEOUT, endless(b"\x01", pause=0.01)),
        ({"expect": "(a+)+$"}, Reason.TIMEOUT, once(b"a" * 60_000 + b"b\n")),
        ({"starttls": True}, Reason.TIMEOUT, once(b"")),
        ({"starttls": True}, Reason.TLS, endless(b"\x16\x03\x01")),
    ],
)
async def test_a_dialogue_with_nobody_sensible_ends(
    step: dict[str, Any],
    reason: Reason,
    target: Callable[[Reader, Writer], Awaitable[None]],
    targets: Any,
    memory: Callable[[], int],
) -> None:
    timeout = 0.5 if reason is Reason.TIMEOUT else 5.0
    port = await targets.serve(target)

    result = await targets.tcp(port, timeout, dialogue=[step])

    assert reason is result.reason, result.error
    assert result.duration < timeout + 0.5
    assert memory() < 20 * MEGABYTE
