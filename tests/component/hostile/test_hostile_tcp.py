"""Rule: whatever a TCP target says or does not say, its check ends in time and says why."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cbmon.model import Reason

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
WANTED = {"expect": {"matches": "^220 "}}


async def silent(reader: Reader, writer: Writer) -> None:
    await asyncio.sleep(3600)


async def hanging_up(reader: Reader, writer: Writer) -> None:
    pass


async def half_closing(reader: Reader, writer: Writer) -> None:
    writer.write(b"554 go away\r\n")
    writer.write_eof()
    await asyncio.sleep(3600)


async def flooding(reader: Reader, writer: Writer) -> None:
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def dripping(reader: Reader, writer: Writer) -> None:
    while True:
        writer.write(b"2")
        await asyncio.sleep(0.01)


async def binary(reader: Reader, writer: Writer) -> None:
    writer.write(b"\x00\xff\r\n\x1b[2J")


@pytest.mark.parametrize(
    ("target", "reason", "message"),
    [
        (silent, Reason.TIMEOUT, "waiting for the first byte from 127.0.0.1"),
        (hanging_up, Reason.BODY, "without a word, expected '^220 '"),
        (half_closing, Reason.BODY, "got \"554 go away\\r\\n\", expected '^220 '"),
        (flooding, Reason.SIZE, "within 16 KiB"),
        (dripping, Reason.TIMEOUT, "receiving the answer"),
        (binary, Reason.BODY, 'got "\\x00\\xff\\r\\n\\x1b[2J"'),
    ],
)
async def test_a_target_that_does_not_say_the_right_thing_is_named(
    target: Callable[[Reader, Writer], Awaitable[None]],
    reason: Reason,
    message: str,
    targets: Any,
    neighbours: list[Any],
    memory: Callable[[], int],
) -> None:
    timeout = 0.4 if reason is Reason.TIMEOUT else 5.0
    port = await targets.serve(target)

    result = await targets.tcp(port, timeout, **WANTED)

    assert reason is result.reason, result.error
    assert message in result.error
    assert result.duration < timeout + 0.5
    assert memory() < 20 * 1024 * 1024


async def test_a_reset_is_told_from_a_farewell(
    targets: Any, hang_up: Callable[[Writer], None]
) -> None:
    async def before(reader: Reader, writer: Writer) -> None:
        await asyncio.sleep(0.05)
        hang_up(writer)

    async def after(reader: Reader, writer: Writer) -> None:
        writer.write(b"5")
        await before(reader, writer)

    first = await targets.tcp(await targets.serve(before), **WANTED)
    second = await targets.tcp(await targets.serve(after), **WANTED)

    assert first.reason is Reason.CONNECT
    assert second.reason is Reason.PROTOCOL
    assert "connection reset by peer" in first.error


async def test_a_closed_port_is_refused(targets: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    result = await targets.tcp(port)

    assert result.reason is Reason.CONNECT
    assert result.error == f"cannot connect to 127.0.0.1:{port}: connection refused"


@pytest.mark.parametrize("address", ["169.254.169.254:80", "[fd00:ec2::254]:80"])
async def test_the_metadata_service_is_out_of_bounds(address: str, targets: Any) -> None:
    result = await targets.look(targets.probe("tcp", address=address))

    assert result.reason is Reason.POLICY
    assert result.phases.connect == 0.0


async def test_no_socket_is_left_behind(targets: Any, descriptors: Callable[[], int]) -> None:
    every = (silent, hanging_up, half_closing, flooding, dripping, binary)
    ports = [await targets.serve(target) for target in every]
    await targets.tcp(ports[1], 5, **WANTED)  # what is opened once and kept
    await asyncio.sleep(0.05)
    before = descriptors()

    for delay in (0.0, 0.0005, 0.002, 0.01):
        runs = [asyncio.create_task(targets.tcp(port, 5, **WANTED)) for port in ports]
        await asyncio.sleep(delay)
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
    await asyncio.sleep(0.05)
    for task in tuple(targets.conversations):
        task.cancel()
    await asyncio.sleep(0.1)

    assert before >= descriptors()
