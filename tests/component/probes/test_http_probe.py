"""Rule: a request is what the options say, and the result tells what a person wants to know."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest

from cbmon.model import Reason
from cbmon.probes import AddressPolicy


@pytest.fixture(params=[True, False], ids=["direct", "general"])
def direct(request: pytest.FixtureRequest) -> bool:
    """Every test goes both ways: they must agree."""
    return bool(request.param)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def ok(asked: Any) -> bytes:
    return OK


def to(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


async def test_a_plain_request_says_who_asks_and_nothing_needless(bench: Any) -> None:
    target = await bench.serve(ok)

    result = await bench.look("http", url=f"{target.url}/health?full=1")

    assert result.ok, result.error
    asked = target.asked[0]
    assert (asked.method, asked.path, asked.body) == ("GET", "/health?full=1", b"")
    assert asked.headers.pop("User-Agent").startswith("cbmon/")
    assert asked.headers == {
        "Host": f"127.0.0.1:{target.port}",
        "Accept": "*/*",
        "Connection": "close",
    }


async def test_the_facts_tell_what_was_seen(bench: Any) -> None:
    target = await bench.serve(ok)

    result = await bench.look("http", url=f"{target.url}/")

    assert dict(result.facts) == {
        "url": f"{target.url}/",
        "host": "127.0.0.1",
        "address": f"127.0.0.1:{target.port}",
        "status": 200,
        "http_version": "1.1",
        "body_bytes": 2,
    }
    assert result.certificate_expiry is None


async def test_method_headers_and_body_are_sent(bench: Any) -> None:
    target = await bench.serve(ok)

    await bench.look(
        "http", url=target.url, method="POST", body="ping", headers={"Content-Type": "text/plain"}
    )

    asked = target.asked[0]
    assert (asked.method, asked.body) == ("POST", b"ping")
    assert asked.headers["Content-Type"] == "text/plain"


async def test_a_body_file_is_read_at_every_run(bench: Any, tmp_path: Path) -> None:
    target = await bench.serve(ok)
    file = tmp_path / "body"
    options = {"url": target.url, "method": "POST", "body_file": file}

    missing = await bench.look("http", **options)
    for content in (b"one", b"two"):
        file.write_bytes(content)
        assert (await bench.look("http", **options)).ok
    file.write_bytes(bytes(1024 * 1024 + 1))
    large = await bench.look("http", **options)

    assert missing.reason is large.reason is Reason.CONFIG
    assert str(file) in missing.error
    assert [asked.body for asked in target.asked] == [b"one", b"two"]


async def test_credentials_from_a_file_follow_their_rotation(bench: Any, tmp_path: Path) -> None:
    target = await bench.serve(ok)
    file = tmp_path / "token"
    options = {"url": target.url, "bearer_token_file": str(file)}

    missing = await bench.look("http", **options)
    for token in ("first", "second"):
        file.write_text(token + "\n")
        assert (await bench.look("http", **options)).ok

    assert missing.reason is Reason.CONFIG
    assert [asked.headers["Authorization"] for asked in target.asked] == [
        "Bearer first",
        "Bearer second",
    ]


async def test_basic_authentication_is_sent_and_a_refusal_is_named(bench: Any) -> None:
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    target = await bench.serve(lambda asked: refusal)

    result = await bench.look(
        "http", url=target.url, basic_auth={"username": "Aladdin", "password": "open sesame"}
    )

    assert target.asked[0].headers["Authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert result.reason is Reason.AUTH
    assert result.error == "got status 401, expected 200-299"


async def test_a_host_can_be_asked_for_by_another_name(bench: Any) -> None:
    target = await bench.serve(ok)

    await bench.look("http", url=target.url, host="shop.example.net")

    assert target.asked[0].headers["Host"] == "shop.example.net"


async def test_a_packed_body_is_unpacked_before_it_is_judged(bench: Any) -> None:
    packed = gzip.compress(b"all is well " * 100)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    target = await bench.serve(lambda asked: head.encode() + packed)

    result = await bench.look(
        "http", url=target.url, compression=["gzip"], expect={"body": {"matches": "^all is well"}}
    )

    assert result.ok, result.error
    assert target.asked[0].headers["Accept-Encoding"] == "gzip"
    assert result.facts["body_bytes"] == len(packed)
    assert result.facts["unpacked_bytes"] == 1200


async def test_redirects_are_followed_and_their_phases_add_up(bench: Any) -> None:
    def answer(asked: Any) -> tuple[float, bytes]:
        return 0.05, OK if asked.path == "/3" else to(f"/{int(asked.path[1:]) + 1}")

    target = await bench.serve(answer)

    result = await bench.look("http", url=f"{target.url}/0")

    assert result.ok, result.error
    assert result.facts["url"] == f"{target.url}/3"
    assert result.facts["redirects"] == 3
    assert 0.2 <= result.phases.processing <= result.duration
    assert sum(result.phases) == pytest.approx(result.duration, abs=0.02)


async def test_a_body_that_is_there_at_once_is_held_against_its_limit(bench: Any) -> None:
    target = await bench.serve(lambda asked: b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour")

    fits = await bench.look("http", url=target.url, max_body_size=4)
    larger = await bench.look("http", url=target.url, max_body_size=3)

    assert fits.ok
    assert fits.facts["body_bytes"] == 4
    assert larger.reason is Reason.SIZE
    assert larger.error == "the body is larger than 3 bytes"


async def test_redirects_can_be_left_alone_or_limited(bench: Any) -> None:
    target = await bench.serve(lambda asked: to("/again"))

    alone = await bench.look("http", url=target.url, follow_redirects=False)
    expected = await bench.look(
        "http", url=target.url, follow_redirects=False, expect={"status": [302]}
    )
    asked_before = len(target.asked)
    limited = await bench.look("http", url=target.url, max_redirects=2)

    assert alone.reason is Reason.STATUS
    assert expected.ok
    assert limited.reason is Reason.REDIRECT
    assert limited.error == f"more than 2 redirects, the last one to {target.url}/again"
    assert len(target.asked) - asked_before == 3


async def test_a_redirect_without_a_place_is_an_answer(bench: Any) -> None:
    target = await bench.serve(lambda asked: b"HTTP/1.1 304 Not Modified\r\n\r\n")

    result = await bench.look("http", url=target.url, expect={"status": [304]})

    assert result.ok, result.error


async def test_another_origin_gets_no_credentials(bench: Any) -> None:
    other = await bench.serve(ok)
    home = await bench.serve(lambda asked: to(f"http://u:p@127.0.0.1:{other.port}/?token=t"))

    result = await bench.look(
        "http",
        url=home.url,
        bearer_token="t0ken",
        headers={"X-Api-Key": "k", "Accept": "a/b"},
        host="shop.example.net",
    )

    assert result.ok, result.error
    assert home.asked[0].headers["Authorization"] == "Bearer t0ken"
    headers = other.asked[0].headers
    assert not {"Authorization", "X-Api-Key"} & set(headers)
    assert headers["Host"] == f"127.0.0.1:{other.port}"
    assert headers["Accept"] == "a/b"
    assert result.facts["url"] == f"http://127.0.0.1:{other.port}/?token=<secret>"


async def test_a_redirect_to_a_denied_address_is_refused_before_connecting(bench: Any) -> None:
    inside = await bench.serve(ok, host="127.0.0.2")
    outside = await bench.serve(lambda asked: to(f"http://127.0.0.2:{inside.port}/"))
    strict = bench.environment.under(AddressPolicy(deny=["127.0.0.2/32"]))

    refused = await bench.look("http", strict, url=outside.url)
    allowed = await bench.look("http", url=outside.url)

    assert refused.reason is Reason.POLICY
    assert "127.0.0.2/32 is denied" in refused.error
    assert allowed.ok
    assert len(inside.asked) == 1


async def test_cookies_and_proxies_of_the_environment_are_ignored(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    target = await bench.serve(lambda asked: cookie)

    for _ in range(2):
        assert (await bench.look("http", url=target.url)).ok

    assert "Cookie" not in target.asked[1].headers


async def test_a_source_address_is_connected_from(bench: Any) -> None:
    seen = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        seen.append(writer.get_extra_info("peername")[0])
        writer.write(OK)
        writer.close()

    url = f"http://127.0.0.1:{await bench.raw(note)}/"

    good = await bench.look("http", url=url, source_address="127.0.0.9")
    foreign = await bench.look("http", url=url, source_address="192.0.2.1")

    assert good.ok, good.error
    assert seen == ["127.0.0.9"]
    assert foreign.reason is Reason.CONFIG
    assert foreign.error == "cannot connect from 192.0.2.1: this machine has no such address"


@pytest.mark.parametrize(
    ("reason", "family"),
    [(None, "any"), (None, "ipv4"), (None, "prefer_ipv4"), (Reason.DNS, "ipv6")],
)
async def test_an_address_of_the_wrong_family_is_not_used(
    reason: Reason | None, family: str, bench: Any
) -> None:
    target = await bench.serve(ok)

    result = await bench.look("http", url=target.url, family=family)

    assert reason is result.reason


async def test_a_run_that_took_too_long_is_late_though_right(bench: Any) -> None:
    target = await bench.serve(lambda asked: (0.1, OK))

    result = await bench.look(
        "http", url=target.url, expect={"max_duration": "50ms", "body": {"matches": "ok"}}
    )

    assert result.reason is Reason.LATENCY
    assert "expected at most 50ms" in result.error
    assert result.phases.processing >= 0.09


async def test_an_answer_to_head_has_no_body(bench: Any) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
    target = await bench.serve(lambda asked: head)

    result = await bench.look("http", url=target.url, method="HEAD")

    assert result.ok, result.error
    assert result.facts["body_bytes"] == 0


async def test_a_body_of_unknown_length_ends_with_the_connection(bench: Any) -> None:
    target = await bench.serve(lambda asked: b"HTTP/1.0 200 OK\r\n\r\nall is well")

    result = await bench.look("http", url=target.url, expect={"body": {"matches": "well$"}})

    assert result.ok, result.error
    assert result.facts["http_version"] == "1.0"


async def test_a_path_is_sent_as_it_was_written(bench: Any) -> None:
    target = await bench.serve(ok)

    await bench.look("http", url=f"{target.url}/a%2Fb/ä?q=a+b%20c")

    assert target.asked[0].path == "/a%2Fb/%C3%A4?q=a+b%20c"


async def test_one_environment_serves_many_runs_at_once(bench: Any) -> None:
    target = await bench.serve(lambda asked: (0.05, OK))

    results = await asyncio.gather(*(bench.look("http", url=target.url) for _ in range(200)))

    assert all(result.ok for result in results)
    assert max(result.duration for result in results) < 2


async def test_a_zone_of_an_address_is_unescaped(bench: Any) -> None:
    result = await bench.look("http", url="http://[fd00:ec2::254%25eth0]:1/")

    assert result.reason is Reason.POLICY
    assert "connecting to fd00:ec2::254%eth0 is not allowed" in result.error
