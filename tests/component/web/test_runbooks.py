"""The pages that alerts lead to: all there, for everybody, readable in a browser and in a shell."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cbmon import __version__
from cbmon.config.alerting import ALERTS

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize("alert", ALERTS)
async def test_every_alert_has_a_page_with_its_name(web: Any, alert: str) -> None:
    reply = await web.get(f"/runbooks/{alert}", headers=BROWSER)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f"<h1>{alert}</h1>" in reply.text
    for heading in ("Meaning", "Impact", "Diagnosis", "Mitigation", "Queries"):
        assert f"<h2>{heading}</h2>" in reply.text


async def test_a_shell_gets_the_markdown(web: Any) -> None:
    reply = await web.get("/runbooks/CircuitBreakerOpen")
    assert reply.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert reply.text.startswith("# CircuitBreakerOpen\n")


async def test_the_index_leads_to_all_of_them(web: Any) -> None:
    reply = await web.get("/runbooks", headers=BROWSER)
    assert re.findall(r'href="/runbooks/(\w+)"', reply.text) == list(ALERTS)


async def test_an_unknown_alert_is_not_found_and_says_where_to_look(web: Any) -> None:
    reply = await web.get("/runbooks/..%2f..%2fREADME", headers=BROWSER)
    assert reply.status == 404
    assert "see /runbooks" in reply.text


async def test_a_page_needs_no_token_and_tells_nothing_of_the_daemon(guarded: Any) -> None:
    reply = await guarded.ask("GET", "/runbooks/CircuitBreakerOpen", token="")
    assert reply.status == 200
    assert __version__ not in reply.text
