"""Rule: a registry is asked once a day and beside the run; its silence fails no check."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.model import Reason
from cbmon.probes import domains
from cbmon.probes.domains import Registrations, ascii_name, candidates, expiry_in, servers_in
from tests.component.probes.conftest import Answer, Asked, Bench


def reply(body: Any, status: str = "200 OK") -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    return head.encode() + content


def ending(days: float) -> dict[str, Any]:
    at = datetime.now(UTC) + timedelta(days=days)
    return {
        "objectClassName": "domain",
        "events": [
            {"eventAction": "registration", "eventDate": "1995-08-14T04:00:00Z"},
            {"eventAction": "expiration", "eventDate": at.isoformat().replace("+00:00", "Z")},
        ],
    }


def registry(days: float, domain: str = "example.net") -> Answer:
    def answer(asked: Asked) -> bytes:
        if asked.path == f"/domain/{domain}":
            return reply(ending(days))
        return reply({"errorCode": 404, "title": "not found"}, "404 Not Found")

    return answer


async def looked(bench: Bench, days: float, **expect: Any) -> Any:
    target = await bench.serve(lambda _: reply("ok"))
    server = await bench.serve(registry(days))
    wanted = {"name": "www.shop.example.net", "server": server.url, **expect}
    result = await bench.look("http", url=target.url, expect={"domain": wanted})
    return result, server


async def test_a_registration_that_goes_on_is_shown(bench: Bench) -> None:
    result, server = await looked(bench, 300)
    assert result.ok, result.error
    assert result.domain_expiry == pytest.approx(time.time() + 300 * 86_400, abs=60)
    assert result.facts["domain"] == "example.net"
    assert [asked.path for asked in server.asked] == [
        "/domain/www.shop.example.net",
        "/domain/shop.example.net",
        "/domain/example.net",
    ]
    assert "rdap+json" in server.asked[0].headers["Accept"]


@pytest.mark.parametrize(
    ("days", "words"),
    [(10, "ends in 10.0 days, expected at least 30 days"), (-2, "ended 2.0 days ago")],
)
async def test_one_that_ends_soon_fails_the_check(bench: Bench, days: float, words: str) -> None:
    result, _ = await looked(bench, days)
    assert result.reason is Reason.DNS
    assert f"the registration of example.net {words}" in str(result.error)
    assert result.domain_expiry is not None


async def test_a_failure_of_the_target_stays_what_it_was(bench: Bench) -> None:
    server = await bench.serve(registry(1))
    down = await bench.serve(lambda _: reply("no", "503 Service Unavailable"))
    domain = {"name": "example.net", "server": server.url}
    result = await bench.look("http", url=down.url, expect={"domain": domain})
    assert result.reason is Reason.STATUS
    assert result.domain_expiry is not None


async def test_a_registry_is_asked_once_for_many_runs_and_checks(bench: Bench) -> None:
    target = await bench.serve(lambda _: reply("ok"))
    server = await bench.serve(registry(300))
    domain = {"name": "example.net", "server": server.url}
    for _ in range(4):
        result = await bench.look("http", url=target.url, expect={"domain": domain})
        assert result.ok
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _: reply({}, "429 Too Many Requests"), "429"),
        (lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[[", "JSON"),
        (lambda _: b"\x00\x01", "HTTP"),
        (lambda _: b"", ""),
    ],
)
async def test_a_registry_that_does_not_answer_well_fails_nothing(
    bench: Bench, answer: Answer, words: str
) -> None:
    target = await bench.serve(lambda _: reply("ok"))
    server = await bench.serve(answer)
    domain = {"name": "example.net", "server": server.url}
    result = await bench.look("http", url=target.url, expect={"domain": domain})
    assert result.ok
    assert result.domain_expiry is None
    assert words in result.facts["domain_trouble"]


async def test_a_registry_that_hangs_holds_up_the_first_run_only_in_part(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "_SHARE", 0.01)
    target = await bench.serve(lambda _: reply("ok"))

    async def hang(*_streams: Any) -> None:
        await asyncio.Event().wait()

    port = await bench.raw(hang)
    domain = {"name": "example.net", "server": f"http://127.0.0.1:{port}"}
    result = await bench.look("http", url=target.url, expect={"domain": domain})
    assert result.ok
    assert "domain" not in result.facts


async def test_what_was_known_stays_when_the_registry_is_silent_later(bench: Bench) -> None:
    class Moved:
        def __init__(self) -> None:
            self.ahead = 0.0

        def monotonic(self) -> float:
            return time.monotonic()

        def time(self) -> float:
            return time.time() + self.ahead

    clock = Moved()
    bench.environment.clock = clock
    answers = [registry(300)]

    def answer(asked: Asked) -> Any:
        return answers[0](asked)

    server = await bench.serve(answer)
    shared = bench.environment.shared(Registrations)

    async def ask() -> None:
        asking = shared.ask("example.net", server.url, bench.environment)
        if asking is not None:
            await asking

    await ask()
    answers[0] = lambda _: reply({}, "500 Internal Server Error")
    clock.ahead += domains.DAY
    await ask()
    await ask()
    known = shared.known["example.net", server.url]
    assert known.expiry is not None
    assert "500" in str(known.trouble)
    assert len(server.asked) == 2
    answers[0] = registry(900)
    clock.ahead += 3600
    await ask()
    assert shared.known["example.net", server.url].trouble is None


async def test_the_registry_is_found_by_the_list_of_iana(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, Any] = {}
    server = await bench.serve(lambda asked: reply(answers.get(asked.path, {})))
    answers["/dns.json"] = {"services": [[["net"], ["https://unused/", server.url]]]}
    answers["/domain/example.net"] = ending(90)
    monkeypatch.setattr(domains, "BOOTSTRAP", f"{server.url}/dns.json")
    monkeypatch.setattr(domains, "servers_in", lambda answer: {"net": answer["services"][0][1][1]})
    shared = bench.environment.shared(Registrations)
    for name in ("example.net", "example.example"):
        asking = shared.ask(name, "", bench.environment)
        assert asking is not None
        await asking
    assert shared.known["example.net", ""].expiry is not None
    assert "no registry of .example speaks RDAP" in str(shared.known["example.example", ""].trouble)
    assert [asked.path for asked in server.asked].count("/dns.json") == 1


async def test_tls_looks_after_its_domain_too(bench: Bench) -> None:
    server = await bench.serve(registry(300))
    domain = {"name": "example.net", "server": server.url}
    closed = await bench.raw(lambda _reader, _writer: asyncio.sleep(0))
    result = await bench.look("tls", address=f"127.0.0.1:{closed}", expect={"domain": domain})
    assert result.reason is Reason.TLS
    assert result.facts["domain"] == "example.net"


def test_an_address_has_no_domain() -> None:
    assert list(candidates("192.0.2.1")) == list(candidates("2001:db8::1")) == []
    assert list(candidates("localhost")) == []


def test_names_are_asked_for_as_they_stand_in_dns() -> None:
    assert ascii_name("Bücher.Example.") == "xn--bcher-kva.example"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20)
    | st.sampled_from(["events", "expiration", "services", "https://a/"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["events", "eventAction", "eventDate", "services"]), inner, max_size=4
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_whatever_a_registry_says_is_read_or_passed_over(answer: Any) -> None:
    expiry = expiry_in(answer)
    assert expiry is None or isinstance(expiry, float)
    assert all(url.startswith("https://") for url in servers_in(answer).values())
