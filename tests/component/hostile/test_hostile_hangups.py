"""Rule: a target that is gone when it is spoken to again is told as gone, never as a defect."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cbmon.model import Reason
from cbmon.probes.contexts import SharedContext
from cbmon.probes.postgres.scram import Scram

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Hangup = Callable[[Writer], None]
GREETING = (
    b"\x0a8.4.0\0\1\0\0\0abcdefgh\0\x08\xaa\x2d\2\0\x08\0\x15"
    + bytes(10)
    + b"ijklmnopqrst\0mysql_native_password\0"
)
MYSQL = len(GREETING).to_bytes(3, "little") + b"\0" + GREETING
SASL = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"


@pytest.fixture(params=[True, False], ids=["direct", "general"])
def direct(request: pytest.FixtureRequest) -> bool:
    """Every test goes both ways: they must agree."""
    return bool(request.param)


def saying(*steps: bytes, hang_up: Hangup) -> Callable[[Reader, Writer], Awaitable[None]]:
    """Says a step, hears something, and so on; resets the connection after the last one."""

    async def converse(reader: Reader, writer: Writer) -> None:
        for number, step in enumerate(steps):
            if number:
                await reader.read(4096)
            writer.write(step)
            await writer.drain()
        hang_up(writer)

    return converse


def hearing_first(*steps: bytes, hang_up: Hangup) -> Callable[[Reader, Writer], Awaitable[None]]:
    return saying(b"", *steps, hang_up=hang_up)


@pytest.fixture
def slow_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates take so long to be read that a reset arrives meanwhile."""
    get = SharedContext.get

    async def slowly(self: SharedContext) -> Any:
        await asyncio.sleep(0.05)
        return await get(self)

    monkeypatch.setattr(SharedContext, "get", slowly)


@pytest.mark.parametrize(
    ("kind", "options", "make", "steps"),
    [
        ("postgres", {"dsn": "postgresql://u:p@127.0.0.1:{}/d?sslmode=require"},
         hearing_first, [b"S"]),
        ("mysql", {"dsn": "mysql://u:p@127.0.0.1:{}/d?sslmode=require"}, saying, [MYSQL]),
        ("smtp", {"address": "127.0.0.1:{}", "security": "starttls"},
         saying, [b"220 a\r\n", b"250-a\r\n250 STARTTLS\r\n", b"220 go\r\n"]),
        ("tcp", {"address": "127.0.0.1:{}", "dialogue": [{"expect": "go"}, {"starttls": True}]},
         saying, [b"go\r\n"]),
    ],
)  # fmt: skip
async def test_a_reset_before_tls_begins_is_told_at_once(
    kind: str,
    options: dict[str, Any],
    make: Any,
    steps: list[bytes],
    targets: Any,
    hang_up: Hangup,
    slow_context: None,
) -> None:
    port = await targets.serve(make(*steps, hang_up=hang_up))
    filled = {
        key: value.format(port) if isinstance(value, str) else value
        for key, value in options.items()
    }

    result = await targets.look(targets.probe(kind, **filled))

    assert result.reason in {Reason.TLS, Reason.PROTOCOL}, result.error
    assert result.duration < 2


async def test_a_reset_while_a_password_is_worked_on_is_told(
    targets: Any, hang_up: Hangup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(_self: Scram, _data: bytes) -> bytes:
        reset.wait(2)
        return b"c=biws"

    reset = threading.Event()
    monkeypatch.setattr(Scram, "final", slowly)

    async def converse(reader: Reader, writer: Writer) -> None:
        await reader.read(4096)
        writer.write(SASL)
        await reader.read(4096)
        writer.write(b"R\0\0\0\x0c\0\0\0\x0br=x,")
        await writer.drain()
        await asyncio.sleep(0.05)
        hang_up(writer)
        await asyncio.sleep(0.05)
        reset.set()

    port = await targets.serve(converse)
    dsn = f"postgresql://u:p@127.0.0.1:{port}/d?sslmode=disable"

    result = await targets.look(targets.probe("postgres", dsn=dsn))

    assert result.reason is Reason.PROTOCOL, result.error
    assert "broke off" in result.error or "closed the connection" in result.error
