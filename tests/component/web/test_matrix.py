"""Every route, asked by everybody: the table in docs/api.md is what happens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cbmon.config.secrets import Secret
from cbmon.web.routes import ROUTES
from cbmon.web.throttle import Throttle

DOCUMENT = Path(__file__).parents[3] / "docs" / "api.md"
ROW = re.compile(r"^\| `(\w+) ([^`]+)` \|((?: [^|]+ \|){5}) .+ \|$", re.MULTILINE)
TABLE = {
    (method, path): tuple(cell.strip() for cell in cells.split("|")[:5])
    for method, path, cells in ROW.findall(DOCUMENT.read_text())
}
COLUMNS = {
    "": 0,
    "reporter-token": 1,
    "viewer-token": 2,
    "operator-token": 3,
    "admin-tok\xe9n": 4,
}


async def status_and_code(web: Any, method: str, path: str, token: str) -> tuple[int, str]:
    """The head of the answer; the body only of a refusal, because a stream has no end."""
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with (
        aiohttp.ClientSession() as client,
        client.request(method, web.url + path, headers=headers, allow_redirects=False) as response,
    ):
        if response.status < 400:
            return response.status, ""
        found = await response.text()
        code = re.search(r'"code":"(\w+)"', found)
        return response.status, code[1] if code else ""


def address(path: str) -> str:
    given = {"name": "api", "alert": "CircuitBreakerOpen", "operation": "open"}
    return re.sub(r"{(\w+)}", lambda found: given.get(found[1], "x"), path)


def test_the_table_has_every_route_and_no_other() -> None:
    assert set(TABLE) == {(route.method, route.path) for route in ROUTES}


@pytest.mark.parametrize("token", COLUMNS, ids=["none", "reporter", "viewer", "operator", "admin"])
async def test_who_may_ask_for_what_is_as_documented(
    guarded: Any, tokens: Any, token_of: Any, token: str
) -> None:
    guarded.server.reconfigure([*tokens, token_of("rita", "reporter", Secret("reporter-token"))])
    wrong = []
    for (method, path), columns in TABLE.items():
        status, code = await status_and_code(guarded, method, address(path), token)
        refused = status in {401, 403} and code not in {"probe_disabled", "login_failed"}
        if path == "/login" and method == "POST":
            refused = False  # a form without a password is no refusal of the route
        may = columns[COLUMNS[token]] in {"yes", "here"}
        if refused is may:
            wrong.append((method, path, columns, status, code))
        elif refused:
            assert status == (403 if token else 401), (method, path)
    assert wrong == []


async def test_without_any_credential_configured_only_reads_are_served(web: Any) -> None:
    for (method, path), columns in TABLE.items():
        status, code = await status_and_code(web, method, address(path), "")
        refused = status in {401, 403} and code != "probe_disabled"
        assert refused is (columns[0] == "no"), (method, path, status, code)


@pytest.mark.parametrize("state", ["expired", "revoked"])
async def test_a_token_that_is_over_opens_nothing(
    daemon: Any, serve: Any, tokens: Any, token_of: Any, state: str
) -> None:
    now = daemon.clock.time()
    old = token_of("olga", "admin", Secret("over"), expires=now + 60)
    async with serve(daemon, tokens=(*tokens, old)) as web:
        web.server.access.credentials.failures = Throttle(10_000, 1.0)
        assert (await web.get("/api/v1/audit", token="over")).status in {200, 404}
        if state == "expired":
            daemon.clock.advance(60)
        else:
            web.server.reconfigure(tokens)
        for method, path in TABLE:
            status, code = await status_and_code(web, method, address(path), "over")
            expected = "token_expired" if state == "expired" else "unauthorized"
            assert (status, code) == (401, expected), (method, path)
