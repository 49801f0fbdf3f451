"""Rule: a name server that is silent or lies costs its own names their checks and no others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cbmon.model import Reason
from cbmon.probes.environment import ProbeEnvironment

QUESTION_START = 12


class NameServer(asyncio.DatagramProtocol):
    """Answers every question in its ``manner``; counts them."""

    def __init__(self, manner: str) -> None:
        self.manner = manner
        self.questions = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.questions += 1
        answer = self.answer(data)
        if answer is not None:
            self.transport.sendto(answer, addr)

    def answer(self, data: bytes) -> bytes | None:
        question = data[QUESTION_START : data.index(b"\0", QUESTION_START) + 5]
        kind = question[-3]
        header = data[:2] + b"\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00"
        if self.manner == "silent":
            return None
        if self.manner == "garbage":
            return b"\xff" * 40
        if self.manner in {"NXDOMAIN", "SERVFAIL"}:
            code = 3 if self.manner == "NXDOMAIN" else 2
            return header[:3] + bytes([0x80 | code]) + header[4:] + question
        if self.manner == "wrong-id":
            return bytes([data[0] ^ 0xFF]) + header[1:] + question
        if self.manner == "empty" or kind != 1:
            return header + question
        address = socket.inet_aton("169.254.169.254" if self.manner == "metadata" else "127.0.0.1")
        record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04" + address
        return header[:6] + b"\x00\x01" + header[8:] + question + record


@pytest.fixture
async def names(request: pytest.FixtureRequest, targets: Any) -> AsyncIterator[Any]:
    """An environment whose name server behaves as the test's parameter says."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: NameServer(request.param), local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    environment = ProbeEnvironment(clock=targets.clock, nameservers=[f"127.0.0.1:{port}"])
    environment.server = server  # type: ignore[attr-defined]
    yield environment
    await environment.close()
    transport.close()


@pytest.mark.parametrize("names", ["silent"], indirect=True)
async def test_fifty_names_on_a_silent_server_leave_healthy_checks_alone(
    names: Any, targets: Any, neighbours: list[Any]
) -> None:
    probes = [
        targets.probe("http", names, url=f"http://host{number}.example.net/")
        for number in range(50)
    ]
    before = len(neighbours)

    results = await asyncio.gather(*(targets.look(probe, 0.4) for probe in probes))

    assert {one.reason for one in results} == {Reason.DNS}
    assert results[7].error == "no answer within 400ms, resolving host7.example.net"
    assert max(one.duration for one in results) < 0.9
    assert len(neighbours) - before >= 40


@pytest.mark.parametrize(
    ("names", "reason", "message"),
    [
        ("NXDOMAIN", Reason.DNS, "there is no such name"),
        ("SERVFAIL", Reason.DNS, "SERVFAIL"),
        ("empty", Reason.DNS, "the name has no address"),
        ("garbage", Reason.DNS, "host.example.net"),
        ("wrong-id", Reason.DNS, "host.example.net"),
        ("metadata", Reason.POLICY, "connecting to 169.254.169.254 is not allowed"),
    ],
    indirect=["names"],
)
async def test_a_server_that_lies_is_reported(
    names: Any, reason: Reason, message: str, targets: Any
) -> None:
    result = await targets.look(targets.probe("tcp", names, address="host.example.net:80"), 0.4)

    assert reason is result.reason, result.error
    assert message in result.error
    assert result.duration < 0.9


@pytest.mark.parametrize("names", ["honest"], indirect=True)
async def test_a_name_that_resolves_is_connected_to(names: Any, targets: Any) -> None:
    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    port = await targets.serve(quiet)

    result = await targets.look(targets.probe("tcp", names, address=f"host.example.net:{port}"))

    assert result.ok, result.error
    assert result.facts["address"] == f"127.0.0.1:{port}"
    assert result.phases.resolve > 0


@pytest.mark.parametrize("names", ["silent"], indirect=True)
async def test_a_cancelled_question_is_over_at_once(names: Any, targets: Any) -> None:
    run = asyncio.create_task(
        targets.look(targets.probe("tcp", names, address="host.example.net:80"), 30)
    )
    await asyncio.sleep(0.05)
    run.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(run, 0.5)


@pytest.mark.parametrize("names", ["silent"], indirect=True)
@pytest.mark.parametrize(
    ("expected", "address", "family"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", "any"),
        ("[::1]:1", "[::1]:1", "any"),
        ("127.0.0.1:1", "localhost:1", "any"),
        ("127.0.0.1:1", "LocalHost.:1", "prefer_ipv4"),
        ("[::1]:1", "localhost:1", "ipv6"),
    ],
)
async def test_addresses_and_localhost_need_no_server(
    expected: str, address: str, family: str, names: Any, targets: Any
) -> None:
    result = await targets.look(targets.probe("tcp", names, address=address, family=family))

    assert result.reason is Reason.CONNECT
    assert result.error == f"cannot connect to {expected}: connection refused"
    assert names.server.questions == 0


@pytest.mark.parametrize("names", ["silent"], indirect=True)
async def test_an_impossible_name_is_not_asked_for(names: Any, targets: Any) -> None:
    result = await targets.look(targets.probe("tcp", names, address=f"{'x' * 64}.example.net:80"))

    assert result.reason is Reason.DNS
    assert names.server.questions == 0
