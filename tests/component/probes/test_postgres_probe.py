"""Rule: whatever a server, or a stranger in its place, does: the run ends with a reason."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cbmon.model import Reason
from cbmon.probes import AddressPolicy

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


def said(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">i", len(body) + 4) + body


OK = said(b"R", struct.pack(">i", 0))
READY = said(b"Z", b"I")
BEGUN = said(b"C", b"BEGIN\0") + READY
SASL = said(b"R", struct.pack(">i", 10) + b"SCRAM-SHA-256\0\0")


def server(*answers: bytes) -> Callable[[Reader, Writer], Awaitable[None]]:
    """Refuses TLS, then says one answer for each message it gets."""

    async def converse(reader: Reader, writer: Writer) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        size = struct.unpack(">i", await reader.readexactly(4))[0]
        await reader.readexactly(size - 4)
        for answer in answers:
            writer.write(answer)
            head = await reader.read(5)
            if len(head) == 5:
                await reader.read(struct.unpack(">i", head[1:])[0] - 4)
        writer.close()

    return converse


async def look(bench: Any, handler: Any, **options: Any) -> Any:
    port = await bench.raw(handler)
    return await bench.look("postgres", dsn=f"postgres://u:p@127.0.0.1:{port}/d", **options)


@pytest.mark.parametrize(
    ("reason", "message", "answers"),
    [
        (Reason.PROTOCOL, "closed the connection", []),
        (Reason.PROTOCOL, "does not speak PostgreSQL", [b"HTTP/1.1 400 Bad Request\r\n\r\n"]),
        (Reason.PROTOCOL, "does not speak", [said(b"D", b"")]),
        (Reason.PROTOCOL, "malformed", [said(b"K", b"")]),
        (Reason.PROTOCOL, "malformed", [said(b"R", b"")]),
        (Reason.SIZE, "larger than", [b"R" + struct.pack(">i", 2**31 - 1)]),
        (Reason.PROTOCOL, "does not speak", [b"R" + struct.pack(">i", -1)]),
        (Reason.AUTH, "GSSAPI to log in", [said(b"R", struct.pack(">i", 7))]),
        (Reason.AUTH, "way 99", [said(b"R", struct.pack(">i", 99))]),
        (Reason.AUTH, "the password as it is", [said(b"R", struct.pack(">i", 3))]),
        (Reason.AUTH, "expected SCRAM", [said(b"R", struct.pack(">i", 10) + b"PLAIN\0\0")]),
        (Reason.AUTH, "malformed", [SASL, said(b"R", struct.pack(">i", 11) + b"r=x,s=y,i=1")]),
        (Reason.AUTH, "has not proved", [SASL, OK + READY]),
        (Reason.AUTH, "28P01", [said(b"E", b"SFATAL\0C28P01\0Mno\0\0")]),
        (Reason.STATUS, "53300", [said(b"E", b"SFATAL\0C53300\0Mtoo many\0\0")]),
        (Reason.STATUS, "57P03", [OK + said(b"E", b"SFATAL\0C57P03\0Mgone\0\0") + READY]),
        (Reason.PROTOCOL, "malformed", [OK + READY, BEGUN + said(b"D", b"\0\1\0\0\0\xff")]),
        (Reason.PROTOCOL, "malformed", [OK + READY, BEGUN + said(b"D", b"\0")]),
        (Reason.PROTOCOL, "closed the connection", [OK + READY, BEGUN]),
    ],
)
async def test_every_way_to_fail_has_its_reason(
    bench: Any, reason: Reason, message: str, answers: list[bytes]
) -> None:
    result = await look(bench, server(*answers))

    assert result.reason is reason, result.error
    assert message in result.error


async def test_a_pooler_that_refuses_transactions_still_answers(bench: Any) -> None:
    refused = said(b"E", b"SERROR\0C08P01\0Minvalid command\0\0") + READY
    row = said(b"D", b"\0\1" + struct.pack(">i", 3) + b"1.2")

    result = await look(bench, server(OK + READY, refused + row + READY), expect={"value": "> 1"})

    assert result.ok, result.error


async def test_tls_that_is_insisted_upon_is_not_given_up(bench: Any) -> None:
    port = await bench.raw(server(OK + READY))

    result = await bench.look("postgres", dsn=f"postgres://u@127.0.0.1:{port}/d?sslmode=require")

    assert result.reason is Reason.TLS
    assert "does not offer TLS" in result.error


async def test_the_address_policy_holds(bench: Any, tmp_path: Any) -> None:
    closed = bench.environment.under(AddressPolicy(deny=["127.0.0.0/8"], unix=False))

    for where in ("u@127.0.0.1:1/d", f"u@/d?host={tmp_path}"):
        result = await bench.look("postgres", closed, dsn=f"postgres://{where}")
        assert result.reason is Reason.POLICY


async def test_a_cancelled_run_leaves_no_connection(bench: Any) -> None:
    gone = asyncio.Event()

    async def silent(reader: Reader, writer: Writer) -> None:
        await reader.read()
        gone.set()
        writer.close()

    task = asyncio.ensure_future(look(bench, silent))
    await asyncio.sleep(0.05)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(gone.wait(), 2)


async def test_a_flood_of_small_messages_does_not_hold_the_loop(bench: Any) -> None:
    async def flood(reader: Reader, writer: Writer) -> None:
        await reader.readexactly(8)
        writer.write(b"N" + OK)
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(said(b"S", b"") * 10_000)
                await writer.drain()

    longest, last = 0.0, time.monotonic()

    async def tick() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0)
            now = time.monotonic()
            longest, last = max(longest, now - last), now

    beside = asyncio.ensure_future(tick())
    task = asyncio.ensure_future(look(bench, flood))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait([task])
    beside.cancel()

    assert task.cancelled()
    assert longest < 0.25
