"""The pages: complete without JavaScript, inert whatever a name or an error holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import pytest

from cbmon.model import Category, Reason, Result

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.mark.parametrize("path", ["/", "/components/flaky", "/components/flaky/actions/close"])
async def test_half_a_character_in_an_error_hides_no_page(web: Any, daemon: Any, path: str) -> None:
    daemon.component("flaky").breaker.reset()
    daemon.fail("flaky", error="half \ud800 <b>")
    reply = await web.get(path)
    assert (reply.status, "half ? &lt;b&gt;" in reply.text) == (200, True)


async def test_the_page_says_it_all_without_javascript(web: Any) -> None:
    reply = await web.get("/")
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    text = Page(reply.text).text
    assert "1 of 4 needs attention" in text
    assert "connect connection refused" in text
    assert "next trial 1:00" in text
    assert "5 failures in a row" in text
    assert text.index("flaky") < text.index("gateway")


async def test_a_state_is_said_in_words_and_not_by_colour_alone(web: Any, daemon: Any) -> None:
    daemon.component("api").breaker.disable()
    daemon.component("db").breaker.force_open(actor="otto", reason="deploy 7")
    daemon.component("gateway").breaker.observe()
    text = Page((await web.get("/")).text).text
    for words in ("Disabled", "Forced open", "Open", "Observing", "deploy 7 (otto)"):
        assert words in text


async def test_a_closed_breaker_whose_target_fails_needs_attention(
    web: Any, daemon: Any, fail_result: Any
) -> None:
    daemon.component("flaky").breaker.reset()
    daemon.ran("flaky", fail_result())
    text = Page((await web.get("/")).text).text
    assert "1 of 4 needs attention" in text
    assert "Failing: flaky" in text
    assert "1 of 5 failures in a row" in text


async def test_all_well_is_said_when_it_is(web: Any, daemon: Any) -> None:
    daemon.component("flaky").breaker.reset()
    daemon.ran("flaky", Result(ok=True, duration=0.1))
    assert "All 4 components are working" in Page((await web.get("/")).text).text


@pytest.mark.parametrize(
    ("query", "there", "not_there"),
    [
        ("?q=critical", ["api"], ["gateway"]),
        ("?state=open", ["flaky"], ["gateway"]),
        ("?q=&state=", ["api", "flaky", "gateway"], []),
        ("?q=zzz", ["No component matches"], []),
    ],
)
async def test_the_form_filters_on_the_server(
    web: Any, query: str, there: list[str], not_there: list[str]
) -> None:
    cards = re.sub(r"(?s)<section.*?</section>", "", (await web.get(f"/{query}")).text, count=1)
    cards = cards.partition("Latest transitions")[0]
    for name in there:
        assert name in cards
    for name in not_there:
        assert name not in cards


@pytest.mark.parametrize(
    "path",
    ["/", "/components/{name}", "/components/{name}/settings", "/components/{name}/actions/open"],
)
async def test_html_in_names_targets_and_errors_stays_text(
    web: Any, daemon: Any, path: str
) -> None:
    name = EVIL.replace("/", "")
    daemon.add(name, target=EVIL, tags=(EVIL,), labels={"x": EVIL}, group=EVIL)
    bad = Result(ok=False, duration=0.1, reason=Reason.BODY, error=EVIL, facts={EVIL: EVIL})
    for _ in range(5):
        daemon.ran(name, bad)
    daemon.component(name).breaker.close(actor=EVIL, reason=EVIL)
    reply = await web.get(path.replace("{name}", quote(name, safe="")))
    assert reply.status == 200
    page = Page(reply.text)
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    names = {attribute for attribute, _ in page.attributes}
    assert not {attribute for attribute in names if attribute.startswith("on")}
    assert "style" not in names


async def test_no_page_holds_inline_code_or_style(web: Any) -> None:
    for path in ("/", "/components/flaky"):
        text = (await web.get(path)).text
        assert not re.search(r"<style|<script(?![^>]*src=)|\son\w+=|\sstyle=|javascript:", text)


async def test_the_detail_page_explains(web: Any, daemon: Any) -> None:
    daemon.ran("api", Result(ok=True, duration=0.02, certificate_expiry=1.8e9))
    flaky = Page((await web.get("/components/flaky")).text).text
    assert "flaky is open" in flaky
    assert "failure threshold 5" in flaky
    assert "✓ Closed → to ✕ Open" in flaky
    api = Page((await web.get("/components/api")).text).text
    assert "Certificate until 2027-01-15 08:00:00 UTC" in api
    assert (await web.get("/components/nope")).status == 404


async def test_a_broken_store_takes_only_the_history_away(web: Any, daemon: Any) -> None:
    daemon.store_broken = True
    for path in ("/", "/components/flaky"):
        reply = await web.get(path)
        assert reply.status == 200
        assert "The store does not answer" in reply.text


async def test_reasons_why_it_is_not_ready_stand_on_the_page(web: Any, daemon: Any) -> None:
    daemon.reasons = ["the store cannot be written"]
    assert "Not ready: the store cannot be written" in (await web.get("/")).text


async def test_an_empty_daemon_says_what_to_do(daemon: Any, serve: Any) -> None:
    daemon.components = lambda: iter(())
    async with serve(daemon) as web:
        assert "Nothing is watched yet" in (await web.get("/")).text


async def test_every_asset_the_page_names_is_there_for_good(web: Any) -> None:
    assets = re.findall(r'(?:href|src)="(/static/[^"]+)"', (await web.get("/")).text)
    assert len(assets) == 6
    for url in assets:
        reply = await web.get(url)
        assert reply.status == 200
        assert "immutable" in reply.headers["Cache-Control"]
        again = await web.get(url, headers={"If-None-Match": reply.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")


async def test_an_error_is_a_page_for_a_browser_and_text_for_a_script(web: Any) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml"}
    for path, status in (("/components/nope", 404), ("/nope", 404), ("/?surprise=1", 400)):
        page = await web.get(path, headers=browser)
        assert page.status == status
        assert "To the overview" in page.text
        assert "<html" not in (await web.get(path)).text
    evil = await web.get(f"/components/{quote(EVIL, safe='')}", headers=browser)
    assert "img" not in Page(evil.text).tags


async def test_what_cbmon_does_not_run_has_neither_runs_nor_settings_here(
    guarded: Any, daemon: Any
) -> None:
    daemon.add("hook/slack", category=Category.RECEIVER, kind="slack")
    path = "/components/hook%2Fslack"
    text = Page((await guarded.get(path, token="operator-token")).text).text
    assert "Latency" not in text
    assert "Check now" not in text
    assert "Disable…" in text
    assert (await guarded.get(f"{path}/settings", token="operator-token")).status == 404
    assert (await guarded.get(f"{path}/actions/check", token="operator-token")).status == 404
    assert "hook/slack" in (await guarded.get("/", token="operator-token")).text
