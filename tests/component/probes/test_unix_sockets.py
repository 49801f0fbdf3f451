"""Rule: a Unix socket is an address like any other, and allowed by the policy like any other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cbmon.model import Reason
from cbmon.probes import AddressPolicy, probe_type
from cbmon.probes.http.options import HttpOptions
from cbmon.probes.tcp import TcpOptions


@pytest.fixture(params=[True, False], ids=["direct", "general"])
def direct(request: pytest.FixtureRequest) -> bool:
    """Every test goes both ways: they must agree."""
    return bool(request.param)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "app.sock")


async def listen(bench: Any, path: str, answer: bytes) -> list[bytes]:
    heard: list[bytes] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(4096))
        writer.write(answer)
        writer.close()

    bench.servers.append(await asyncio.start_unix_server(converse, path))
    return heard


async def test_http_is_spoken_over_a_socket(bench: Any, path: str) -> None:
    heard = await listen(bench, path, OK)

    result = await bench.look(
        "http", url="http://docker/_ping", unix_socket=path, expect={"body": {"matches": "ok"}}
    )

    assert result.ok, result.error
    assert result.facts["address"] == f"unix:{path}"
    assert heard[0].startswith(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n")
    assert result.phases.resolve == 0
    assert result.phases.connect > 0


async def test_tcp_s_expectations_hold_over_a_socket(bench: Any, path: str) -> None:
    await listen(bench, path, b"+PONG\r\n")
    address = f"unix:{path}"

    good = await bench.look("tcp", address=address, send="PING\r\n", expect={"matches": "PONG"})
    bad = await bench.look("tcp", address=address, send="PING\r\n", expect={"matches": "PANG"})

    assert good.ok, good.error
    assert bad.reason is Reason.BODY


async def test_a_redirect_elsewhere_leaves_the_socket(bench: Any, path: str) -> None:
    target = await bench.serve(lambda _: OK)
    moved = f"HTTP/1.1 302 x\r\nLocation: {target.url}/there\r\nContent-Length: 0\r\n\r\n"
    await listen(bench, path, moved.encode())

    result = await bench.look("http", url="http://app/", unix_socket=path)

    assert result.ok, result.error
    assert [asked.path for asked in target.asked] == ["/there"]


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_a_socket_that_is_not_there_refuses(bench: Any, path: str, kind: str) -> None:
    result = await bench.look(kind, **options(kind, path))

    assert result.reason is Reason.CONNECT
    assert f"cannot connect to unix:{path}: no such file or directory" in result.error


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_the_policy_may_forbid_sockets(bench: Any, path: str, kind: str) -> None:
    await listen(bench, path, OK)
    closed = bench.environment.under(AddressPolicy(unix=False))

    result = await bench.look(kind, closed, **options(kind, path))

    assert result.reason is Reason.POLICY
    assert "it is a Unix socket" in result.error


def options(kind: str, path: str) -> dict[str, str]:
    if kind == "tcp":
        return {"address": f"unix:{path}"}
    return {"url": "http://app/", "unix_socket": path}


def test_a_target_shows_the_socket() -> None:
    found = TcpOptions.model_validate({"address": "unix:/run/app.sock"})

    assert probe_type("tcp").target(found) == "unix:/run/app.sock"
    assert found.model_dump(mode="json")["address"] == "unix:/run/app.sock"


@pytest.mark.parametrize(
    ("message", "model", "given"),
    [
        ("an absolute path", TcpOptions, {"address": "unix:app.sock"}),
        ("an absolute path", TcpOptions, {"address": "unix:"}),
        ("107 bytes", TcpOptions, {"address": "unix:/" + "x" * 200}),
        ("host:port", TcpOptions, {"address": "/run/app.sock"}),
        (
            "exclude each other",
            HttpOptions,
            {"url": "http://a", "unix_socket": "/x", "proxy": {"url": "http://p:1"}},
        ),
    ],
)
def test_what_is_not_a_socket_is_refused(
    message: str, model: type[TcpOptions | HttpOptions], given: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=message):
        model.model_validate(given)
