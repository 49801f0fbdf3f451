"""Who gets an answer: roles, tokens, sites, hosts, and what is reachable without any of them."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from cbmon.config.secrets import Secret, SecretFile
from cbmon.errors import StartupError
from cbmon.web.access import is_loopback
from cbmon.web.auth import FRESH, Tokens
from cbmon.web.routes import ROUTES

WRITES = [r for r in ROUTES if r.method in {"POST", "DELETE"} and r.role.label != "nobody"]


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "Basic YTpi", "Bearer \xe9", "x"])
async def test_a_wrong_credential_is_refused_even_for_reads(guarded: Any, header: str) -> None:
    reply = await guarded.get("/api/v1/summary", headers={"Authorization": header})
    assert (reply.status, reply.code) == (401, "unauthorized")
    assert "wrong" not in reply.text


async def test_two_credentials_are_none(guarded: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port)
    writer.write(
        b"GET /api/v1/session HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Authorization: Bearer viewer-token\r\nAuthorization: Bearer operator-token\r\n\r\n"
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"more than one Authorization header" in answer


async def test_a_body_that_cannot_be_unpacked_is_the_clients_fault(
    guarded: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reply = await guarded.post(
        "/api/v1/breakers/api/reset",
        data=b"{}",
        token="operator-token",
        headers={"Content-Encoding": "gzip"},
    )
    assert (reply.status, reply.code) == (400, "bad_request")
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []


async def test_without_credentials_reads_are_served_and_writes_say_what_to_configure(
    web: Any, daemon: Any
) -> None:
    for route in WRITES:
        if route.path == "/-/reload":
            continue
        path = route.path.replace("{name}", "api").replace("{operation}", "open")
        reply = await web.ask(route.method, path, headers={"Accept": "application/json"})
        assert (reply.status, reply.code) == (403, "no_credentials_configured")
        assert "configure web.tokens" in reply.json["error"]["message"]
    assert daemon.orders == []
    assert (await web.get("/")).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"X-Forwarded-For": "192.0.2.1"}, 403),
        ({"Forwarded": "for=192.0.2.1"}, 403),
    ],
)
async def test_a_foreign_page_and_a_proxy_cannot_reload(
    web: Any, daemon: Any, headers: dict[str, str], status: int
) -> None:
    reply = await web.post("/-/reload", headers=headers)
    assert reply.status == status
    assert len(daemon.reloads) == (status == 200)


async def test_our_own_page_may_reload(web: Any) -> None:
    assert (await web.post("/-/reload", headers={"Origin": web.url})).status == 200


async def test_a_foreign_page_cannot_act_with_a_token_either(guarded: Any, daemon: Any) -> None:
    reply = await guarded.post(
        "/api/v1/breakers/api/open",
        token="admin-tokén",
        headers={"Origin": "https://evil.example"},
    )
    assert (reply.status, reply.code, daemon.orders) == (403, "cross_site", [])


async def test_with_tokens_configured_reload_needs_one(guarded: Any, daemon: Any) -> None:
    assert (await guarded.post("/-/reload")).status == 401
    assert (await guarded.post("/-/reload", token="operator-token")).status == 403
    assert (await guarded.post("/-/reload", token="admin-tokén")).status == 200
    assert daemon.reloads == ["ada"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9813", 200),
        ("LOCALHOST", 200),
        ("cbmon.localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]:9813", 200),
        ("192.0.2.7", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:9813", 403),
        ("[", 403),
        ("", 403),
    ],
)
async def test_a_name_that_was_pointed_at_this_machine_is_refused(
    web: Any, host: str, status: int
) -> None:
    reply = await web.get("/api/v1/summary", headers={"Host": host})
    assert reply.status == status
    if status == 403:
        assert reply.code == "host_not_allowed"


async def test_the_configured_external_name_is_one_of_ours(daemon: Any, serve: Any) -> None:
    daemon.external_url = "https://cbmon.example.net/"
    async with serve(daemon) as web:
        good = await web.get("/", headers={"Host": "cbmon.example.net"})
        bad = await web.get("/", headers={"Host": "other.example.net"})
    assert (good.status, bad.status) == (200, 403)


async def test_a_reload_can_change_names_and_tokens(
    daemon: Any, guarded: Any, token_of: Any
) -> None:
    assert (await guarded.get("/", headers={"Host": "new.example.net"})).status == 403
    daemon.external_url = "https://new.example.net/"
    assert (await guarded.get("/", headers={"Host": "new.example.net"})).status == 200
    guarded.server.reconfigure([token_of("eve", "admin", Secret("fresh"))])
    assert (await guarded.post("/-/reload", token="admin-tokén")).status == 401
    assert (await guarded.post("/-/reload", token="fresh")).status == 200
    assert daemon.reloads == ["eve"]


async def test_a_token_makes_the_host_irrelevant(guarded: Any) -> None:
    reply = await guarded.get(
        "/api/v1/summary", headers={"Host": "whatever.example"}, token="viewer-token"
    )
    assert reply.status == 200


async def test_other_machines_are_not_listened_to_without_a_credential(
    daemon: Any, serve: Any, tokens: Any
) -> None:
    with pytest.raises(StartupError, match=r"0\.0\.0\.0:0 is reachable .* configure web\.tokens"):
        async with serve(daemon, listen=[("0.0.0.0", 0)]):
            pass
    async with serve(daemon, listen=[("0.0.0.0", 0)], tokens=tokens):
        pass


async def test_a_port_in_use_is_named(daemon: Any, serve: Any, web: Any) -> None:
    with pytest.raises(StartupError, match=rf"cannot listen on 127\.0\.0\.1:{web.port}: .*in use"):
        async with serve(daemon, listen=[("127.0.0.1", web.port)]):
            pass


async def test_from_another_machine_even_reads_need_a_token(
    daemon: Any, serve: Any, tokens: Any
) -> None:
    address = _own_address()
    async with serve(daemon, listen=[(address, 0)], tokens=tokens) as web:
        web.__class__.url = property(lambda self: f"http://{address}:{self.port}")
        try:
            assert (await web.get("/metrics")).status == 401
            assert (await web.get("/-/healthy")).status == 200
            assert (await web.get("/metrics", token="viewer-token")).status == 200
        finally:
            web.__class__.url = property(lambda self: f"http://127.0.0.1:{self.port}")


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        found = str(probe.getsockname()[0])
    if is_loopback(found):
        pytest.skip("this machine has no address but loopback")
    return found


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("/run/x.sock", False),
    ],
)
def test_loopback_is_what_no_other_machine_reaches(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


async def test_a_token_file_is_read_again_after_a_rotation(tmp_path: Path, token_of: Any) -> None:
    path = tmp_path / "token"
    path.write_text("old\n")
    now = 0.0
    tokens = Tokens([token_of("ci", "operator", None, SecretFile(path))], clock=lambda: now)
    assert await tokens.identify("old") is not None
    path.write_text("new\n")
    now = FRESH
    assert await tokens.identify("old") is None
    found = await tokens.identify("new")
    assert found is not None
    assert (found.name, found.role.label) == ("ci", "operator")


async def test_an_unreadable_token_file_locks_out_only_its_owner(
    tmp_path: Path, token_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = Tokens(
        [
            token_of("gone", "admin", None, SecretFile(tmp_path / "missing")),
            token_of("here", "viewer", Secret("good")),
        ]
    )
    assert await tokens.identify("") is None
    found = await tokens.identify("good")
    assert found is not None
    assert found.name == "here"
    assert "token is not usable" in caplog.text


async def test_every_answer_carries_the_safety_headers(web: Any) -> None:
    for path in ("/", "/metrics", "/api/v1/summary", "/api/v1/nope", "/static/cbmon.js"):
        reply = await web.get(path)
        policy = reply.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert "aiohttp" not in reply.headers["Server"]
