"""Rule: wherever a good conversation is cut, by an end, half of one or a reset, it says why."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cbmon.model import Reason
from tests.integration.harness.cutting import CUTS, Cut, Cutter, points

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
SOUND = {Reason.CONNECT, Reason.PROTOCOL, Reason.TLS, Reason.BODY}
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello, world"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n2\r\n w\r\n0\r\n\r\n"
RECORD = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"


def talk(*steps: bytes) -> Callable[[Reader, Writer], Awaitable[None]]:
    """Says a step, then hears something before the next one."""

    async def converse(reader: Reader, writer: Writer) -> None:
        for number, step in enumerate(steps):
            if number and not await reader.read(65536):
                return
            writer.write(step)
            await writer.drain()
        await reader.read()

    return converse


async def names(reader: Reader, writer: Writer) -> None:
    asked = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    said = asked[:2] + struct.pack("!5H", 0x8180, 1, 1, 0, 0) + asked[12:] + RECORD
    writer.write(len(said).to_bytes(2, "big") + said)
    await reader.read()


@dataclass(frozen=True)
class Case:
    """A good conversation; ``enough`` is how many of its last bytes nobody waits for."""

    kind: str
    converse: Callable[[Reader, Writer], Awaitable[None]]
    options: dict[str, Any]
    tls: bool = False
    enough: int = 0


BODY = {"expect": {"body": {"matches": "hello"}}}
CASES = {
    "http": Case("http", talk(b"", PAGE), {"url": "http://127.0.0.1:{}/", **BODY}),
    "chunks": Case("http", talk(b"", CHUNKS), {"url": "http://127.0.0.1:{}/", **BODY}),
    "https": Case(
        "http", talk(b"", PAGE), {"url": "https://localhost:{}/", **BODY}, tls=True,
    ),
    "redis": Case("redis", talk(b"", b"+PONG\r\n"), {"url": "redis://127.0.0.1:{}"}),
    "ssh": Case("ssh", talk(b"hello\r\nSSH-2.0-OpenSSH_9.2\r\n"), {"address": "127.0.0.1:{}"}),
    "smtp": Case(
        "smtp", talk(b"220 mx ESMTP\r\n", b"250-mx\r\n250 SIZE\r\n", b"221 bye\r\n"),
        {"address": "127.0.0.1:{}", "security": "none"}, enough=9,
    ),
    "tcp": Case(
        "tcp", talk(b"220 a\r\n", b"250-b\r\n250 c\r\n"),
        {"address": "127.0.0.1:{}",
         "dialogue": [{"expect": "^220 "}, {"send": "x\r\n"}, {"expect": "^250 c"}]}, enough=2,
    ),
    "dns": Case("dns", names, {"server": "127.0.0.1:{}", "name": "a.test", "transport": "tcp"}),
    "tls": Case("tls", talk(b""), {"address": "localhost:{}"}, tls=True, enough=600),
}  # fmt: skip


SIGNATURES = 8
"""Bytes by which one TLS handshake may be shorter than another: ECDSA has no fixed length."""


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", CASES)
async def test_a_conversation_that_is_cut_anywhere_is_told_at_once(
    name: str, cut: Cut, targets: Any, authority: Any
) -> None:
    case = CASES[name]
    port = await targets.serve(case.converse, authority.server("localhost") if case.tls else None)
    trust: dict[str, Any] = {"ca_file": str(authority.file)} if case.tls else {}
    trust = {"tls": trust} if name == "https" else trust
    async with Cutter(port) as cutter:
        cutter.cut = cut
        filled = {
            key: value.format(cutter.port) if isinstance(value, str) else value
            for key, value in {**case.options, **trust}.items()
        }
        probe = targets.probe(case.kind, **filled)
        whole = await targets.look(probe)
        assert whole.ok, whole.error

        total = cutter.said
        for after in points(total):
            cutter.after = after
            result = await targets.look(probe, 3.0)
            shorter = SIGNATURES if case.tls and not cutter.lost else 0  # nothing was cut off
            assert not result.ok or after >= total - case.enough - shorter, (after, total)
            assert result.ok or result.reason in SOUND, (after, result.reason, result.error)
            assert result.duration < 2, (after, result.error)
