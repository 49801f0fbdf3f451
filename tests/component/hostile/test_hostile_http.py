"""Rule: whatever an HTTP target does, its check ends in time, says why, and harms no other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from cbmon.model import Phase, Reason
from tests.component.hostile.misbehaving import (
    BODY,
    CASES,
    MIB,
    PLENTY,
    SHORT,
    Handler,
    Reader,
    Writer,
    asked,
    bomb,
    head,
    saying,
)


@pytest.fixture(params=[True, False], ids=["direct", "general"])
def direct(request: pytest.FixtureRequest) -> bool:
    """Every test goes both ways: they must agree."""
    return bool(request.param)


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
