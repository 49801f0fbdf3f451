"""Rule: whatever a name server answers, the check of that server ends in time and says why."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cbmon.model import Reason

Answer = Callable[[bytes], bytes | None]
ADDRESS = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x01"


def good(asked: bytes) -> bytes:
    return asked[:2] + b"\x85\x80" + struct.pack("!4H", 1, 1, 0, 0) + asked[12:] + ADDRESS


def coded(code: int) -> Answer:
    return lambda asked: asked[:2] + bytes([0x81, code]) + b"\0\1" + bytes(6) + asked[12:]


def looping(asked: bytes) -> bytes:
    return good(asked)[: -len(ADDRESS)] + b"\xc0" + bytes([len(asked)]) + ADDRESS[2:]


def spaced(asked: bytes) -> bytes:
    """The start of a zone whose server has spaces in its name."""
    data = b"\7a b c d\0\xc0\x0c" + struct.pack("!5I", 2026, 1, 2, 3, 4)
    record = b"\xc0\x0c\x00\x06\x00\x01\x00\x00\x01\x2c" + len(data).to_bytes(2, "big") + data
    return good(asked)[: -len(ADDRESS)] + record


ANSWERS: list[Any] = [
    (None, good, "", {}),
    (None, good, "", {"expect": {"answer": {"matches": ["192.0.2.1$"]}, "authoritative": True}}),
    (None, spaced, "", {"type": "SOA"}),
    (Reason.BODY, good, "192.0.2.1", {"expect": {"answer": {"not_matches": ["192.0.2"]}}}),
    (Reason.BODY, good, "got 1 answers", {"expect": {"min_answers": 2}}),
    (Reason.HEADER, good, "authoritative", {"expect": {"authoritative": False}}),
    (Reason.STATUS, coded(3), "got NXDOMAIN, expected NOERROR", {}),
    (None, coded(3), "", {"expect": {"rcode": ["NXDOMAIN"]}}),
    (Reason.STATUS, coded(5), "got REFUSED", {}),
    (Reason.STATUS, coded(15), "got RCODE15", {}),
    (Reason.BODY, coded(0), "got 0 answers", {}),
    (Reason.PROTOCOL, lambda asked: good(asked)[:-2], "not a whole DNS message", {}),
    (Reason.PROTOCOL, looping, "not a whole DNS message", {}),
    (Reason.TIMEOUT, lambda asked: None, "waiting for the first byte", {}),
    (Reason.TIMEOUT, lambda asked: bytes([asked[0] ^ 0xFF]) + good(asked)[1:], "waiting for", {}),
    (Reason.TIMEOUT, lambda asked: asked, "waiting for the first byte", {}),
    (Reason.TIMEOUT, lambda asked: b"garbage", "waiting for the first byte", {}),
    (Reason.TIMEOUT, lambda asked: good(asked).replace(b"shop", b"evil"), "waiting for", {}),
]


class Server(asyncio.DatagramProtocol):
    """Answers datagrams as told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        answer = self.answer(data)
        if answer is not None:
            self.transport.sendto(answer, addr)


@pytest.fixture
async def ask(targets: Any) -> AsyncIterator[Callable[..., Any]]:
    opened = []

    async def once(answer: Answer, transport: str, timeout: float, **options: Any) -> Any:
        if transport == "udp":
            made, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: Server(answer), local_addr=("127.0.0.1", 0)
            )
            opened.append(made)
            port = made.get_extra_info("sockname")[1]
        else:
            port = await targets.serve(over_tcp(answer))
        options = {"server": f"127.0.0.1:{port}", "name": "shop.example.net", **options}
        return await targets.look(targets.probe("dns", transport=transport, **options), timeout)

    yield once
    for made in opened:
        made.close()


def over_tcp(answer: Answer) -> Any:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        said = answer(asked)
        if said is not None:
            framed = len(said).to_bytes(2, "big") + said
            for at in range(len(framed)):
                writer.write(framed[at : at + 1])
                await writer.drain()
        await asyncio.sleep(3600)

    return handler


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("reason", "answer", "message", "options"), ANSWERS)
async def test_an_answer_is_judged_or_passed_over(
    reason: Reason | None,
    answer: Answer,
    message: str,
    options: dict[str, Any],
    transport: str,
    ask: Callable[..., Any],
) -> None:
    timeout = 0.4 if reason is Reason.TIMEOUT else 5.0

    result = await ask(answer, transport, timeout, **options)

    assert reason is result.reason, result.error
    assert message in (result.error or "")
    assert result.duration < timeout + 0.5


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_port_where_nobody_listens_is_named(transport: str, targets: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{unused.getsockname()[1]}"

    result = await targets.look(
        targets.probe("dns", server=server, name="a.test", transport=transport), 2.0
    )

    assert result.reason is Reason.CONNECT, result.error
    assert "connection refused" in result.error


async def test_a_server_that_hangs_up_broke_its_protocol(targets: Any) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)

    port = await targets.serve(hang_up)

    result = await targets.look(
        targets.probe("dns", server=f"127.0.0.1:{port}", name="a.test", transport="tcp")
    )

    assert result.reason is Reason.PROTOCOL
    assert "closed the connection without an answer" in result.error


async def test_a_server_that_says_nothing_a_million_times_holds_nobody_up(
    targets: Any, neighbours: list[Any]
) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(bytes(1 << 20))
            await writer.drain()

    port = await targets.serve(babble)
    probe = targets.probe("dns", server=f"127.0.0.1:{port}", name="a.test", transport="tcp")

    result = await targets.look(probe)

    assert result.reason is Reason.PROTOCOL, result.error
    assert "1000 messages, none of which is the answer" in result.error
    assert result.duration < 1.0
    assert len(neighbours) >= 20


async def test_no_socket_is_left_behind(
    ask: Callable[..., Any], targets: Any, descriptors: Callable[[], int]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        probe = targets.probe(
            "dns", server=f"127.0.0.1:{silent.getsockname()[1]}", name="shop.example.net"
        )
        await targets.look(probe, 0.01)
        await asyncio.sleep(0.05)
        before = descriptors()

        for _ in range(20):
            await targets.look(probe, 0.01)
        await asyncio.sleep(0.05)

        assert before >= descriptors()
