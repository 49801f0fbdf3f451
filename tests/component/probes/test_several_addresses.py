"""Rule: of a name with several addresses one is tried, another one, or all, as it is told."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from cbmon.model import Reason
from cbmon.probes import probe_type
from cbmon.probes.resolver import Resolver
from cbmon.probes.run import Plan, run_planned


@pytest.fixture
async def port(bench: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """One of 127.0.0.2, which nobody listens on at 127.0.0.3; ``two.test`` has both."""

    async def answer(self: Resolver, host: str, family: socket.AddressFamily) -> list[str]:
        assert host == "two.test"
        return ["127.0.0.3", "127.0.0.2"]

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.read()
        writer.close()

    monkeypatch.setattr(Resolver, "_ask", answer)
    server = await asyncio.start_server(accept, "127.0.0.2", 0)
    bench.servers.append(server)
    return int(server.sockets[0].getsockname()[1])


async def looked(bench: Any, kind: str, plan: Plan, **options: Any) -> Any:
    found = probe_type(kind)
    probe = found.build(found.options.model_validate(options), bench.environment)
    return await run_planned(probe, 5, bench.clock, plan)


async def test_only_the_first_one_is_tried_by_default(bench: Any, port: int) -> None:
    result = await looked(bench, "tcp", Plan(confirmations=1), address=f"two.test:{port}")

    assert result.reason is Reason.CONNECT
    assert result.facts["address"] == f"127.0.0.3:{port}"
    assert result.facts["attempts"] == 2


@pytest.mark.parametrize("kind", ["tcp", "http"])
async def test_the_other_one_confirms_that_the_name_is_well(
    kind: str, bench: Any, port: int
) -> None:
    where = {"tcp": {"address": f"two.test:{port}"}, "http": {"url": f"http://two.test:{port}/"}}

    result = await looked(bench, kind, Plan(confirmations=1, other_address=True), **where[kind])

    assert result.ok, result.error
    assert result.facts["address"] == f"127.0.0.2:{port}"
    assert "connection refused" in result.facts["first_failure"]


async def test_all_of_them_must_be_well(bench: Any, port: int) -> None:
    plan = Plan(every_address=True)
    family = {"family": "any"}

    result = await looked(bench, "tcp", plan, address=f"two.test:{port}", **family)
    assert result.reason is Reason.CONNECT

    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.3", port)
    bench.servers.append(server)
    result = await looked(bench, "tcp", plan, address=f"two.test:{port}", **family)
    assert result.ok, result.error
    assert result.facts["addresses"] == [f"127.0.0.3:{port}", f"127.0.0.2:{port}"]
