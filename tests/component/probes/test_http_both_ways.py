"""The short way of HTTP and the general one: the same requests, the same results."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbmon.model import Result
from cbmon.probes import ProbeEnvironment
from cbmon.probes.http import wire
from cbmon.probes.http.client import Hop
from cbmon.probes.http.proxy import Proxy
from tests.component.probes.conftest import Bench, SystemClock

REQUESTS: list[dict[str, Any]] = [
    {},
    {"method": "HEAD"},
    {"method": "POST"},
    {"method": "POST", "body": "x=1"},
    {"method": "GET", "body": "odd"},
    {"method": "PUT", "body": ""},
    {"method": "DELETE"},
    {"method": "OPTIONS"},
    {"host": "shop.example:81"},
    {"headers": {"Accept": "text/plain"}},
    {"headers": {"X-Name": "Größe", "User-Agent": "someone"}},
    {"compression": ["gzip", "deflate"]},
    {"basic_auth": {"username": "a", "password": "b"}},
    {"bearer_token": "abc"},
]
OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "plain": OK + b"Content-Length: 2\r\n\r\nok",
    "nothing": b"",
    "a newline": b"\n",
    "half a head": b"HTTP/1.1 200 OK\r\nServer",
    "no length": OK + b"\r\nok until the end",
    "of HTTP 1.0": b"HTTP/1.0 200 OK\r\n\r\nok",
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunks and a trailer": OK
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Encoding: br\r\n\r\n",
    "too few chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    "too short": OK + b"Content-Length: 5\r\n\r\nok",
    "nothing in it": b"HTTP/1.1 204 No Content\r\n\r\n",
    "nothing of no length": OK + b"Content-Length: 0\r\n\r\n",
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    + OK
    + b"Content-Length: 2\r\n\r\nok",
    "another protocol": b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    "an error": b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nX-Two: a\r\nX-Two: b\r\n\r\nbusy",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "line ends of one kind": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "folded": OK + b"X-Long: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\noko",
    "a negative length": OK + b"Content-Length: -1\r\n\r\nok",
    "a length and chunks": OK
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "gzip": OK
    + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    % len(gzip.compress(b"ok", 1, mtime=0))
    + gzip.compress(b"ok", 1, mtime=0),
    "deflate": OK + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(b"ok"),
    "damaged gzip": OK + b"Content-Encoding: gzip\r\n\r\nnot at all",
    "brotli": OK + b"Content-Encoding: br\r\n\r\nxx",
    "a redirect to nowhere": b"HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\n\r\n",
    "a redirect without a place": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    "no UTF-8": OK + b"X-Odd: \xff\xfe\r\nContent-Length: 2\r\n\r\nok",
    "a null byte": OK + b"X-Odd: a\0b\r\nContent-Length: 2\r\n\r\nok",
    "a space before the colon": OK + b"Content-Length : 2\r\n\r\nok",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "something of its own first": b"\r\n" + OK + b"Content-Length: 2\r\n\r\nok",
}
LOOKS: list[dict[str, Any]] = [
    {},
    {"compression": ["gzip"], "expect": {"body": {"matches": "^ok"}}},
    {"expect": {"status": ["1xx", 200, 503], "headers": {"matches": {"X-Two": "^b$"}}}},
]


@pytest.fixture(params=[True, False], ids=["stepped", "in a task"])
async def both(request: pytest.FixtureRequest) -> Any:
    """The short way, without a task around it and with one, and the general way."""
    clock = SystemClock()
    ways = [
        Bench(ProbeEnvironment(clock=clock, direct=way), clock, stepped=request.param)
        for way in (True, False)
    ]
    yield ways
    for way in ways:
        await way.close()


def told(result: Result) -> dict[str, Any]:
    """What must agree; the parsers name what they stumble over in words of their own."""
    error = (result.error or "").split(" does not speak HTTP")[0]
    text = error.replace("the body of ", "").replace(" ends too early or is malformed", "")
    return {"ok": result.ok, "reason": result.reason, "error": text, "facts": dict(result.facts)}


@pytest.mark.parametrize("options", REQUESTS, ids=str)
async def test_both_send_the_same_request(options: dict[str, Any], both: list[Bench]) -> None:
    seen: list[set[bytes]] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _, body = (await reader.read(4096)).partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        assert len(lines) == len(set(lines))
        seen.append({first, body, *lines})
        writer.write(OK + b"Content-Length: 0\r\n\r\n")
        await writer.drain()

    port = await both[0].raw(note)
    for way in both:
        await way.look("http", url=f"http://127.0.0.1:{port}/a%20b/ä?q=ü&x=1%2F#part", **options)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("options", LOOKS, ids=str)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_both_judge_an_answer_alike(
    answer: bytes, options: dict[str, Any], both: list[Bench]
) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    port = await both[0].raw(say)
    url = f"http://127.0.0.1:{port}/"
    direct, general = [await way.look("http", url=url, **options) for way in both]
    assert told(direct) == told(general)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1), piece=st.binary(max_size=6), cut=st.integers(0, 6))
async def test_both_judge_a_garbled_head_alike(
    place: float, piece: bytes, cut: int, both: list[Bench]
) -> None:
    whole = OK + b"Server: x\r\nX-Two: a\r\nX-Two: b\r\nContent-Type: text/plain\r\n\r\nok"
    at = int(place * len(whole))
    garbled = whole[:at] + piece + whole[at + cut :]

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(garbled)
        await writer.drain()

    port = await both[0].raw(say)
    options: dict[str, Any] = {"url": f"http://127.0.0.1:{port}/", "follow_redirects": False}
    direct, general = [await way.look("http", **options) for way in both]
    assert told(direct) == told(general), garbled


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_comes_after_an_answer_is_not_looked_at(method: str, both: list[Bench]) -> None:
    """aiohttp refuses an answer when more comes in the same packet, and takes it when not."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: 2\r\n\r\nok and more")
        await writer.drain()

    url = f"http://127.0.0.1:{await both[0].raw(say)}/"
    result = await both[0].look("http", url=url, method=method)
    assert (result.error, result.facts["body_bytes"]) == (None, 0 if method == "HEAD" else 2)


@pytest.mark.parametrize("name", ["plain", "no length", "chunks", "an error", "gzip"])
async def test_both_expect_no_body_after_head(name: str, both: list[Bench]) -> None:
    head = ANSWERS[name].partition(b"\r\n\r\n")[0]

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        await writer.drain()
        await reader.read()

    url = f"http://127.0.0.1:{await both[0].raw(say)}/"
    direct, general = [await way.look("http", url=url, method="HEAD") for way in both]
    assert told(direct) == told(general)


def test_what_the_short_way_cannot_do_goes_the_general_one(both: list[Bench]) -> None:
    from yarl import URL

    from cbmon.interfaces import Attempt
    from cbmon.probes.dial import Route

    way = both[0]
    hop = Hop(
        attempt=Attempt(way.clock.monotonic, 1.0),
        environment=way.environment,
        route=Route(host="shop.example", port=80),
        tls=None,
    )
    url = URL("http://shop.example/")
    assert wire.serves(hop, url)
    assert not wire.serves(hop, url.with_user("someone"))
    hop.proxy = Proxy(url=URL("http://proxy.example:3128"), route=hop.route)
    assert not wire.serves(hop, url)
