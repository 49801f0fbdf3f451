"""``dns`` against a name server that says what it is told to.

Rule: every run asks anew, and every answer is judged, however often it was heard before.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from cbmon.interfaces import Probe
from cbmon.model import Reason, Result
from cbmon.probes.dns import TYPE
from tests.component.probes.conftest import Bench, stepped_run


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers with addresses of its choice, and keeps from where it was asked."""

    addresses: list[str] = field(default_factory=lambda: ["192.0.2.1"])
    asked: list[tuple[bytes, int]] = field(default_factory=list)
    port: int = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append((data[:2], addr[1]))
        count = len(self.addresses).to_bytes(2, "big")
        records = b"".join(
            b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + socket.inet_aton(one)
            for one in self.addresses
        )
        head = data[:2] + b"\x81\x80\x00\x01" + count + b"\x00\x00\x00\x00"
        self.transport.sendto(head + data[12:] + records, addr)


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    yield made
    transport.close()


@pytest.fixture
def probe(server: NameServer, bench: Bench) -> Probe:
    options = TYPE.options.model_validate(
        {
            "server": f"127.0.0.1:{server.port}",
            "name": "shop.example",
            "expect": {"answer": {"not_matches": [r"198\.51\.100\."]}},
        }
    )
    return TYPE.build(options, bench.environment)


@pytest.fixture
def look(probe: Probe, bench: Bench) -> Any:
    async def looked() -> Result:
        return await stepped_run(probe, 5, bench.clock)

    return looked


async def test_every_run_asks_with_another_id_from_another_port(
    server: NameServer, look: Any
) -> None:
    for _ in range(40):
        assert (await look()).ok
    ids, ports = zip(*server.asked, strict=True)
    assert len(server.asked) == 40
    assert len(set(ids)) > 35
    assert len(set(ports)) > 20


async def test_an_answer_heard_before_says_the_same_as_the_first_time(look: Any) -> None:
    first, second = await look(), await look()
    assert first.ok
    assert second.ok
    assert first.facts == second.facts
    assert second.facts["answers"] == ["shop.example.\t60\tIN\tA\t192.0.2.1"]


async def test_an_answer_that_has_changed_is_read_and_judged(server: NameServer, look: Any) -> None:
    assert (await look()).ok
    server.addresses = ["192.0.2.2"]
    changed = await look()
    assert changed.ok
    assert changed.facts["answers"] == ["shop.example.\t60\tIN\tA\t192.0.2.2"]
    server.addresses = ["198.51.100.7"]
    bad = await look()
    assert bad.reason is Reason.BODY
    server.addresses = ["192.0.2.2"]
    assert (await look()).ok


async def test_a_bad_answer_is_bad_every_time(server: NameServer, look: Any) -> None:
    server.addresses = ["198.51.100.7"]
    for _ in range(3):
        result = await look()
        assert result.reason is Reason.BODY
        assert result.facts["answers"] == ["shop.example.\t60\tIN\tA\t198.51.100.7"]


async def test_a_large_answer_is_not_kept(server: NameServer, look: Any, probe: Any) -> None:
    server.addresses = [f"192.0.2.{number}" for number in range(100)]
    assert (await look()).ok
    assert (await look()).ok
    assert probe._good == b""


async def test_a_good_answer_that_comes_late_is_late_however_often_it_was_heard(
    server: NameServer, bench: Bench
) -> None:
    options = TYPE.options.model_validate(
        {
            "server": f"127.0.0.1:{server.port}",
            "name": "shop.example",
            "expect": {"max_duration": 0.000001},
        }
    )
    probe = TYPE.build(options, bench.environment)
    for _ in range(3):
        assert (await stepped_run(probe, 5, bench.clock)).reason is Reason.LATENCY
