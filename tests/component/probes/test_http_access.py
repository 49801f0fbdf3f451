"""Rule: a proxy learns where to and no more; a token is asked for as seldom as possible."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme

from cbmon.model import Reason
from cbmon.probes import ProbeEnvironment, probe_type
from cbmon.probes.addresses import AddressPolicy
from cbmon.probes.run import run_once


@pytest.fixture(params=[True, False], ids=["direct", "general"])
def direct(request: pytest.FixtureRequest) -> bool:
    """Every test goes both ways: they must agree."""
    return bool(request.param)


Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


def ok(asked: Any) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Tunnel:
    """A proxy that keeps what it was told before it opened the tunnel."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.answer = answer
        self.head = ""

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        self.head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(self.answer)
        await writer.drain()
        if not self.answer.startswith(b"HTTP/1.1 200"):
            return
        _, _, port = self.head.split()[1].rpartition(":")
        outward, inward = await asyncio.open_connection("127.0.0.1", int(port))
        try:
            await asyncio.gather(pump(reader, inward), pump(outward, writer))
        finally:
            inward.transport.abort()


async def pump(source: Reader, sink: Writer) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.close()


async def test_a_plain_request_is_asked_of_the_proxy_as_a_whole(bench: Any) -> None:
    proxy = await bench.serve(ok)

    result = await bench.look(
        "http",
        url="http://shop.test:8080/health?x=1",
        proxy={"url": proxy.url, "username": "me", "password": "hunter2"},
        expect={"body": {"matches": "ok"}},
    )

    assert result.ok, result.error
    assert proxy.asked[0].path == "http://shop.test:8080/health?x=1"
    assert proxy.asked[0].headers["Host"] == "shop.test:8080"
    credentials = base64.b64encode(b"me:hunter2").decode()
    assert proxy.asked[0].headers["Proxy-Authorization"] == f"Basic {credentials}"
    assert result.facts["address"] == f"127.0.0.1:{proxy.port}"


async def tunnelled(bench: Any, tmp_path: Path, proxy: Tunnel, **options: Any) -> Any:
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("shop.test").configure_cert(context)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def secure(reader: Reader, writer: Writer) -> None:
        await writer.start_tls(context)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Proxy-Authorization" not in head
        writer.write(ok(head))
        await writer.drain()
        writer.close()

    target, port = await bench.raw(secure), await bench.raw(proxy)
    return await bench.look(
        "http",
        url=f"https://shop.test:{target}/",
        proxy={"url": f"http://127.0.0.1:{port}", **options},
        tls={"ca_file": str(tmp_path / "ca.pem")},
        expect={"certificate_days": 1, "body": {"matches": "ok"}},
    )


async def test_tls_is_spoken_with_the_target_through_a_tunnel(bench: Any, tmp_path: Path) -> None:
    proxy = Tunnel()

    result = await tunnelled(bench, tmp_path, proxy, username="me", password="hunter2")

    assert result.ok, result.error
    assert proxy.head.startswith("CONNECT shop.test:")
    assert "Proxy-Authorization: Basic " in proxy.head
    assert result.phases.tls > 0
    assert result.certificate_expiry


@pytest.mark.parametrize(
    ("reason", "error", "answer"),
    [
        (Reason.AUTH, "opens no tunnel", b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
        (Reason.CONNECT, 'tunnel: "HTTP/1.1 502 Bad', b"HTTP/1.1 502 Bad Gateway\r\nA: b\r\n\r\n"),
        (Reason.PROTOCOL, "does not speak HTTP", b"SSH-2.0-x\r\n"),
        (Reason.PROTOCOL, "in the clear where TLS", b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK"),
        (Reason.PROTOCOL, "never ends its headers", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200),
        (Reason.SIZE, "said more than 64 KiB", b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000),
    ],
)
async def test_a_proxy_that_opens_no_tunnel_is_told(
    reason: Reason, error: str, answer: bytes, bench: Any, tmp_path: Path
) -> None:
    result = await tunnelled(bench, tmp_path, Tunnel(answer))

    assert result.reason is reason, result.error
    assert error in result.error


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_does_not_get_around_the_address_policy(scheme: str, bench: Any) -> None:
    proxy = await bench.serve(ok)

    result = await bench.look("http", url=f"{scheme}://169.254.169.254/", proxy={"url": proxy.url})

    assert result.reason is Reason.POLICY
    assert not proxy.asked


async def test_the_proxy_itself_is_under_the_address_policy(bench: Any) -> None:
    environment = ProbeEnvironment(clock=bench.clock, policy=AddressPolicy(deny=["127.0.0.0/8"]))
    proxy = await bench.serve(ok)

    result = await bench.look(
        "http", environment, url="http://shop.test/", proxy={"url": proxy.url}
    )
    await environment.close()

    assert result.reason is Reason.POLICY


class Login:
    """A server of tokens."""

    def __init__(self, **answer: Any) -> None:
        self.answer = {"access_token": "tok1", "token_type": "Bearer", "expires_in": 60, **answer}
        self.status = 200

    def __call__(self, asked: Any) -> bytes:
        body = json.dumps(self.answer).encode()
        head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


class Hand:
    """A clock that is moved by hand as far as tokens are concerned."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.ahead = 0.0

    def monotonic(self) -> float:
        return float(self.real.monotonic() + self.ahead)

    def time(self) -> float:
        return float(self.real.time() + self.ahead)


async def with_token(
    bench: Any, login: Login, target: Any, *runs: float, status: str = "2xx", **more: Any
) -> Any:
    """The results of runs, each some seconds after the one before, and the server of tokens."""
    server = await bench.serve(login)
    clock = Hand(bench.clock)
    environment = ProbeEnvironment(clock=clock)
    found = probe_type("http")
    options = {
        "token_url": f"{server.url}/token",
        "client_id": "cb mon",
        "client_secret": "s&cret",
        **more,
    }
    whole = {"url": target.url, "oauth2": options, "expect": {"status": status}}
    probe = found.build(found.options.model_validate(whole), environment)
    results = []
    for pause in runs:
        clock.ahead += pause
        results.append(await run_once(probe, 5, clock))
    await environment.close()
    return results, server


async def test_a_token_is_asked_for_and_used(bench: Any) -> None:
    target = await bench.serve(ok)

    results, server = await with_token(
        bench, Login(), target, 0, scopes=["a", "b"], parameters={"audience": "x y"}
    )

    assert results[0].ok, results[0].error
    assert server.asked[0].method == "POST"
    assert parse_qs(server.asked[0].body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["a b"],
        "audience": ["x y"],
    }
    basic = base64.b64encode(b"cb%20mon:s%26cret").decode()
    assert server.asked[0].headers["Authorization"] == f"Basic {basic}"
    assert target.asked[0].headers["Authorization"] == "Bearer tok1"
    assert results[0].facts["address"] == f"127.0.0.1:{target.port}"


async def test_credentials_may_stand_in_the_body(bench: Any) -> None:
    _, server = await with_token(bench, Login(), await bench.serve(ok), 0, credentials_in="body")

    form = parse_qs(server.asked[0].body.decode())
    assert form["client_id"] == ["cb mon"]
    assert form["client_secret"] == ["s&cret"]
    assert "Authorization" not in server.asked[0].headers


@pytest.mark.parametrize(
    ("asked", "lifetime", "pauses"),
    [
        (1, 60, (0, 10, 30)),
        (2, 60, (0, 10, 45)),
        (2, "60", (0, 55)),
        (1, None, (0, 3500)),
        (2, None, (0, 3700)),
        (1, 5, (0, 0.5)),
        (2, -1, (0, 4000)),
    ],
)
async def test_a_token_is_used_until_shortly_before_its_end(
    asked: int, lifetime: Any, pauses: tuple[float, ...], bench: Any
) -> None:
    login = Login(expires_in=lifetime)

    results, server = await with_token(bench, login, await bench.serve(ok), *pauses)

    assert all(one.ok for one in results)
    assert asked == len(server.asked)


async def test_a_token_that_is_refused_is_asked_for_again(bench: Any) -> None:
    target = await bench.serve(lambda asked: b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    results, server = await with_token(bench, Login(), target, 0, 1)

    assert [one.reason for one in results] == [Reason.AUTH, Reason.AUTH]
    assert len(server.asked) == 2


async def test_a_token_is_asked_for_again_where_its_refusal_is_expected(bench: Any) -> None:
    target = await bench.serve(lambda asked: b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    results, server = await with_token(bench, Login(), target, 0, 1, status="4xx")

    assert [one.ok for one in results] == [True, True]
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("reason", "error", "status", "answer"),
    [
        (Reason.AUTH, 'instead of a token: "invalid_client"', 401, {"error": "invalid_client"}),
        (Reason.AUTH, "got status 400 instead of a token", 400, {}),
        (Reason.STATUS, "got status 503 instead of a token", 503, {}),
        (Reason.AUTH, "holds no bearer token", 200, {"access_token": None}),
        (Reason.AUTH, "holds no bearer token", 200, {"access_token": "a\r\nb: c"}),
        (Reason.AUTH, "holds no bearer token", 200, {"token_type": "mac"}),
        (Reason.AUTH, "holds no bearer token", 200, {"token_type": 7}),
    ],
)
async def test_no_token_is_a_failure_of_its_own(
    reason: Reason, error: str, status: int, answer: dict[str, Any], bench: Any
) -> None:
    login, target = Login(**answer), await bench.serve(ok)
    login.status = status

    (result,), _ = await with_token(bench, login, target, 0)

    assert result.reason is reason
    assert error in result.error
    assert "s&cret" not in str(result)
    assert not target.asked


async def test_a_token_stays_at_the_origin_it_was_asked_for(bench: Any) -> None:
    abroad = await bench.serve(ok)
    away = f"HTTP/1.1 302 Found\r\nLocation: {abroad.url}/\r\nContent-Length: 0\r\n\r\n".encode()
    target = await bench.serve(lambda asked: away)

    (result,), _ = await with_token(bench, Login(), target, 0)

    assert result.ok, result.error
    assert "Authorization" not in abroad.asked[0].headers


async def test_a_header_may_be_missing_if_it_is_said_so(bench: Any) -> None:
    target = await bench.serve(ok)
    headers = {"matches": {"X-Cache": "^HIT"}}

    strict = await bench.look("http", url=target.url, expect={"headers": headers})
    lenient = await bench.look(
        "http", url=target.url, expect={"headers": {**headers, "allow_missing": ["x-cache"]}}
    )

    assert strict.reason is Reason.HEADER
    assert lenient.ok, lenient.error


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("belong together", {"proxy": {"url": "http://p.test:1", "username": "me"}}),
        ("belong together", {"proxy": {"url": "http://p.test:1", "password": "x"}}),
        ("match pattern", {"proxy": {"url": "socks5://p.test:1"}}),
        ("match pattern", {"proxy": {"url": "http://me:pw@p.test:1"}}),
        ("is missing", {"oauth2": {"token_url": "http://l.test/", "client_id": "a"}}),
        (
            "scope follows from",
            {
                "oauth2": {
                    "token_url": "http://l.test/",
                    "client_id": "a",
                    "client_secret": "b",
                    "parameters": {"scope": "x"},
                }
            },
        ),
        ("not in matches", {"expect": {"headers": {"allow_missing": ["X-Cache"]}}}),
        (
            "exclude each other",
            {
                "bearer_token": "x",
                "oauth2": {"token_url": "http://l.test/", "client_id": "a", "client_secret": "b"},
            },
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(message: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=message):
        probe_type("http").options.model_validate({"url": "http://a.test/", **options})
