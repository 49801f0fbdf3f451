"""Browsers: logging in, the cookie, changes with and without the token of a page, logging out."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any

import aiohttp
import pytest

from cbmon.web import sessions
from cbmon.web.access import csrf_token
from cbmon.web.login import safe_target
from cbmon.web.refusals import Refusal
from cbmon.web.sessions import IDLE, LIFE, Sessions
from cbmon.web.throttle import Throttle

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def log_in(
    web: Any, password: str = "operator-token", name: str = "", **headers: str
) -> tuple[Any, SimpleCookie]:
    body = aiohttp.FormData({"name": name, "password": password, "next": "/components/api"})
    reply = await web.post("/login", data=body, headers=headers)
    return reply, SimpleCookie(reply.headers.get("Set-Cookie", ""))


async def session(web: Any, **options: str) -> tuple[dict[str, str], str]:
    """Headers of a browser that has logged in, and the token of its pages."""
    _, cookie = await log_in(web, **options)
    key = cookie[sessions.PLAIN].value
    found = web.server.access.sessions.find(key)
    return {"Cookie": f"{sessions.PLAIN}={key}"}, found.csrf


async def test_a_token_or_its_owner_and_token_open_a_session(guarded: Any) -> None:
    for name in ("", "otto"):
        reply, cookie = await log_in(guarded, name=name)
        assert (reply.status, reply.headers["Location"]) == (303, "/components/api")
        headers = {"Cookie": f"{sessions.PLAIN}={cookie[sessions.PLAIN].value}"}
        found = await guarded.get("/api/v1/session", headers=headers)
        assert (found.json["name"], found.json["role"], found.json["logged_in"]) == (
            "otto",
            "operator",
            True,
        )


async def test_who_logs_in_and_out_is_on_record(guarded: Any, daemon: Any) -> None:
    cookie, csrf = await session(guarded)
    done = await guarded.post("/logout", headers={**cookie, "X-CSRF-Token": csrf, **FORM})
    assert done.status == 303
    assert [(row["action"], row["actor"]) for row in daemon.record.rows] == [
        ("login", "otto"),
        ("logout", "otto"),
    ]
    assert "operator-token" not in str(daemon.record.rows)


async def test_the_cookie_is_for_no_script_and_no_other_site(guarded: Any) -> None:
    _, cookie = await log_in(guarded)
    found = cookie[sessions.PLAIN]
    assert (found["httponly"], found["samesite"], found["path"]) == (True, "Strict", "/")
    assert 0 < int(found["max-age"]) <= 12 * 3600
    assert found["secure"] == ""


async def test_a_page_in_clear_changes_nothing_behind_https(guarded: Any, daemon: Any) -> None:
    daemon.external_url = "https://cbmon.example.net/"
    path = "/api/v1/breakers/api/open"
    for origin, status in (("http://cbmon.example.net", 403), ("https://cbmon.example.net", 200)):
        told = {"Host": "cbmon.example.net", "Origin": origin}
        assert (await guarded.post(path, token="operator-token", headers=told)).status == status
    assert len(daemon.orders) == 1


async def test_a_session_that_somebody_planted_is_not_taken_over(guarded: Any) -> None:
    planted, _ = await session(guarded, password="viewer-token")
    _, cookie = await log_in(guarded, **planted)
    key = cookie[sessions.PLAIN].value
    assert planted["Cookie"] != f"{sessions.PLAIN}={key}"
    assert guarded.server.access.sessions.find(planted["Cookie"].partition("=")[2]) is None
    for made_up in ("x", "0" * 64, f"{key}; {sessions.PLAIN}=x"):
        told = {"Cookie": f"{sessions.PLAIN}={made_up}"}
        found = (await guarded.get("/api/v1/session", headers=told)).json
        assert found["logged_in"] is (key in made_up and not made_up.endswith("=x")), made_up


async def test_behind_https_the_cookie_is_secure(guarded: Any, daemon: Any) -> None:
    daemon.external_url = "https://cbmon.example.net/"
    reply, cookie = await log_in(guarded, Host="cbmon.example.net")
    assert reply.status == 303
    assert cookie[sessions.SECURE]["secure"]


async def test_behind_https_a_cookie_that_anybody_could_plant_is_none(
    guarded: Any, daemon: Any
) -> None:
    daemon.external_url = "https://cbmon.example.net/"
    host = {"Host": "cbmon.example.net"}
    _, cookie = await log_in(guarded, **host)
    key = cookie[sessions.SECURE].value
    for name, logged_in in ((sessions.SECURE, True), (sessions.PLAIN, False)):
        told = {**host, "Cookie": f"{name}={key}"}
        found = (await guarded.get("/api/v1/session", headers=told)).json
        assert found["logged_in"] is logged_in, name


@pytest.mark.parametrize(
    ("name", "password"),
    [("", ""), ("", "nothing"), ("vera", "operator-token"), ("otto", "x"), ("\0", "\ud800")],
)
async def test_a_wrong_login_says_no_more_than_that(guarded: Any, name: str, password: str) -> None:
    body = aiohttp.FormData(
        {"name": name, "password": password.encode("utf-8", "replace").decode()}
    )
    reply = await guarded.post("/login", data=body)
    assert (reply.status, "Set-Cookie" in reply.headers) == (401, False)
    assert "Check the name and the password or token" in reply.text


async def test_too_many_wrong_logins_have_to_wait_and_are_told_to_the_hook(guarded: Any) -> None:
    told: list[Refusal] = []
    guarded.server.access.on_refusal = told.append
    guarded.server.access.credentials.failures = Throttle(2, 30.0)
    replies = [(await log_in(guarded, password="guess"))[0] for _ in range(3)]
    assert [reply.status for reply in replies] == [401, 401, 429]
    assert 1 <= int(replies[-1].headers["Retry-After"]) <= 30
    assert [(one.route, one.status, one.client) for one in told] == [
        ("/login", 401, "127.0.0.1"),
        ("/login", 401, "127.0.0.1"),
        ("/login", 429, "127.0.0.1"),
    ]
    assert "guess" not in str(told)
    reply, _ = await log_in(guarded)
    assert reply.status == 303, "a right token passes whatever others did"


async def test_a_change_needs_the_token_of_the_page(guarded: Any, daemon: Any) -> None:
    cookie, csrf = await session(guarded)
    path = "/api/v1/breakers/api/open"
    for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": csrf[1:]}):
        reply = await guarded.post(path, headers={**cookie, **headers})
        assert (reply.status, reply.code) == (403, "csrf")
    assert daemon.orders == []
    reply = await guarded.post(path, headers={**cookie, "X-CSRF-Token": csrf})
    assert (reply.status, daemon.orders[0][1].actor) == (200, "otto")


@pytest.mark.parametrize(
    "foreign",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_foreign_page_changes_nothing_even_with_the_token(
    guarded: Any, daemon: Any, foreign: dict[str, str]
) -> None:
    cookie, csrf = await session(guarded)
    for token in ({"X-CSRF-Token": csrf}, {}):
        headers = {**cookie, **token, **foreign}
        reply = await guarded.post("/api/v1/breakers/api/open", headers=headers)
        assert (reply.status, reply.code, daemon.orders) == (403, "cross_site", [])


@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_nobody_is_logged_in_or_out_from_another_site(guarded: Any, path: str) -> None:
    body = aiohttp.FormData({"name": "", "password": "operator-token"})
    headers = {"Sec-Fetch-Site": "cross-site", "Accept": "application/json"}
    reply = await guarded.post(path, data=body, headers=headers)
    assert (reply.status, reply.code) == (403, "cross_site")


async def test_logging_out_ends_the_session(guarded: Any) -> None:
    cookie, csrf = await session(guarded)
    refused = await guarded.post("/logout", headers={**cookie, **FORM}, data=b"csrf_token=x")
    assert refused.status == 403
    done = await guarded.post(
        "/logout", headers={**cookie, **FORM}, data=f"csrf_token={csrf}".encode()
    )
    assert (done.status, done.headers["Location"]) == (303, "/login")
    assert 'cbmon_session=""' in done.headers["Set-Cookie"]
    found = await guarded.get("/api/v1/session", headers=cookie)
    assert (found.json["logged_in"], found.json["name"]) == (False, "local")


async def test_a_session_ends_with_the_token_that_opened_it(guarded: Any, tokens: Any) -> None:
    cookie, csrf = await session(guarded)
    guarded.server.reconfigure([one for one in tokens if one.name != "otto"])
    headers = {**cookie, "X-CSRF-Token": csrf}
    assert (await guarded.post("/api/v1/breakers/api/open", headers=headers)).status == 401
    guarded.server.reconfigure(tokens)
    assert (await guarded.post("/api/v1/breakers/api/open", headers=headers)).status == 401


async def test_a_session_survives_a_reload_that_leaves_its_token(guarded: Any, tokens: Any) -> None:
    cookie, csrf = await session(guarded)
    guarded.server.reconfigure(tokens)
    headers = {**cookie, "X-CSRF-Token": csrf}
    assert (await guarded.post("/api/v1/breakers/api/open", headers=headers)).status == 200


async def test_logging_in_again_leaves_no_old_session(guarded: Any) -> None:
    cookie, _ = await session(guarded)
    await log_in(guarded, Cookie=cookie["Cookie"])
    assert len(guarded.server.access.sessions) == 1
    assert (await guarded.get("/api/v1/session", headers=cookie)).json["logged_in"] is False


async def test_a_browser_without_a_credential_is_shown_the_form(guarded: Any) -> None:
    guarded.server.access.credentials.passwords._users["x"] = None  # users: no reads without one
    page = await guarded.get("/components/api?x=1&y=2", headers={"Accept": "text/html,*/*"})
    assert page.status == 303
    assert page.headers["Location"] == "/login?next=/components/api%3Fx%3D1%26y%3D2"
    assert (await guarded.get("/", headers={"Accept": "*/*"})).status == 401
    api = await guarded.get("/api/v1/summary", headers={"Accept": "text/html"})
    assert api.status == 401


async def test_the_form_keeps_where_one_wanted_to_be_and_nothing_else(guarded: Any) -> None:
    page = await guarded.get("/login?next=/components/api")
    assert 'value="/components/api"' in page.text
    page = await guarded.get("/login?next=https://evil.example/")
    assert "evil" not in page.text
    page = await guarded.get('/login?next=/"><script>alert(1)</script>')
    assert "<script>" not in page.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/components/a%2Fb?x=1", "/components/a%2Fb?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("/\N{FULLWIDTH SOLIDUS}evil.example", "/"),
    ],
)
def test_one_goes_on_to_a_page_of_ours(text: str, expected: str) -> None:
    assert safe_target(text) == expected


async def test_without_anything_to_log_in_with_the_page_says_so(web: Any) -> None:
    page = await web.get("/login")
    assert "nothing to log in with" in page.text
    assert (await log_in(web))[0].status == 401


async def test_a_form_that_is_none_is_a_bad_request(guarded: Any) -> None:
    reply = await guarded.post("/login", json={"password": "operator-token"})
    assert reply.status == 400
    reply = await guarded.post("/login", data=b"\xff=%zz&&&=;", headers=FORM)
    assert reply.status in {400, 401}


def test_a_session_is_over_after_its_time_or_without_a_request() -> None:
    now = 0.0
    held = Sessions(clock=lambda: now)
    key, opened = held.open(identity_of(), "token", b"digest")
    now = IDLE - 1
    assert held.find(key) is opened
    now += IDLE - 1
    assert held.find(key) is opened
    now += IDLE
    assert held.find(key) is None
    key, _ = held.open(identity_of(), "token", b"digest")
    for _ in range(int(LIFE / 3600)):
        found = held.find(key)
        assert found is not None
        now += 3600
    assert held.find(key) is None
    assert len(held) == 0


def test_the_oldest_session_makes_room() -> None:
    held = Sessions(clock=lambda: 0.0, most=2)
    keys = [held.open(identity_of(), "token", b"digest")[0] for _ in range(3)]
    assert [held.find(key) is not None for key in keys] == [False, True, True]


def identity_of() -> Any:
    from cbmon.web.auth import Identity, Role

    return Identity("otto", Role.OPERATOR)


async def test_a_page_without_a_login_needs_no_token(guarded: Any) -> None:
    from aiohttp.test_utils import make_mocked_request

    assert csrf_token(make_mocked_request("GET", "/")) == ""
