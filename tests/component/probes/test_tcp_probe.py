"""Rule: a target that accepts is up; one that has to speak is judged by what it says."""

from __future__ import annotations

import asyncio
from typing import Any

from cbmon.model import Reason

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


async def echo(reader: Reader, writer: Writer) -> None:
    while data := await reader.read(100):
        for byte in data.upper():
            writer.write(bytes([byte]))
            await writer.drain()
    writer.close()


async def greet(reader: Reader, writer: Writer) -> None:
    writer.write(b"220 mail.example.net ESMTP\r\n")
    await reader.read()
    writer.close()


async def test_a_target_that_accepts_is_good(bench: Any) -> None:
    port = await bench.raw(echo)

    result = await bench.look("tcp", address=f"127.0.0.1:{port}")

    assert result.ok, result.error
    assert dict(result.facts) == {"host": "127.0.0.1", "address": f"127.0.0.1:{port}"}
    assert result.phases.connect > 0
    assert result.phases.processing == 0


async def test_what_is_said_arrives_even_when_nothing_is_expected(bench: Any) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen(reader: Reader, writer: Writer) -> None:
        heard.put_nowait(await reader.read(100))
        writer.close()

    port = await bench.raw(listen)

    result = await bench.look("tcp", address=f"127.0.0.1:{port}", send="metric 1\n")

    assert result.ok, result.error
    assert await asyncio.wait_for(heard.get(), 2) == b"metric 1\n"


async def test_a_greeting_is_waited_for(bench: Any) -> None:
    port = await bench.raw(greet)

    result = await bench.look("tcp", address=f"127.0.0.1:{port}", expect={"matches": "^220 .*SMTP"})

    assert result.ok, result.error
    assert result.facts["answer"] == '"220 mail.example.net ESMTP\\r\\n"'


async def test_an_answer_that_comes_in_pieces_is_put_together(bench: Any) -> None:
    port = await bench.raw(echo)

    result = await bench.look(
        "tcp", address=f"127.0.0.1:{port}", send="ping\r\n", expect={"matches": "^PING\r\n$"}
    )

    assert result.ok, result.error
    assert result.phases.processing > 0


async def test_a_run_that_took_too_long_is_late_though_right(bench: Any) -> None:
    async def slow(reader: Reader, writer: Writer) -> None:
        await asyncio.sleep(0.05)
        await greet(reader, writer)

    port = await bench.raw(slow)

    result = await bench.look(
        "tcp", address=f"127.0.0.1:{port}", expect={"matches": "220", "max_duration": "20ms"}
    )

    assert result.reason is Reason.LATENCY


async def test_a_certificate_cannot_be_expected_without_tls(bench: Any) -> None:
    port = await bench.raw(echo)

    result = await bench.look("tcp", address=f"127.0.0.1:{port}", expect={"certificate_days": 3})

    assert result.reason is Reason.TLS
    assert "no TLS was spoken" in result.error
