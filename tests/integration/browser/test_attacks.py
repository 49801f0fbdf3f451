"""What a hostile page, target or colleague can try, tried in a browser."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.browser.shop import ADMIN, OPERATOR, TOKENS, RunDaemon, Shop
from tests.integration.harness import Targets, eventually
from tests.integration.harness.sinks import Reply

Visit = Callable[..., Any]
EVIL = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"


@pytest.fixture
def foreign(still_shop: Shop) -> Iterator[str]:
    """The page of another site that sends forms and requests to ours."""
    target = f"{still_shop.daemon.url}/components/mail/actions/disable"
    page = f"""<!doctype html><title>foreign</title>
      <form id="f" method="post" action="{target}"><input name="reason" value="forged"></form>
      <iframe id="i" src="{still_shop.daemon.url}/"></iframe>"""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_form_of_another_site_changes_nothing(
    still_shop: Shop, visit: Visit, foreign: str
) -> None:
    window = visit(still_shop.daemon, calm=False)
    window.log_in(OPERATOR)
    page = window.page
    page.goto(foreign)
    with page.expect_response("**/actions/disable") as answer:
        page.evaluate("document.getElementById('f').submit()")
    assert answer.value.status in {401, 403}
    assert still_shop.daemon.breaker("mail")["state"] == "closed"


def test_a_request_of_another_site_gets_nothing(
    still_shop: Shop, visit: Visit, foreign: str
) -> None:
    window = visit(still_shop.daemon, calm=False)
    window.log_in(OPERATOR)
    page = window.page
    page.goto(foreign)
    asked = page.evaluate(
        """async url => {
          const tries = [["GET", "/api/v1/breakers"], ["POST", "/api/v1/breakers/mail/disable"],
            ["POST", "/components/mail/actions/disable"]];
          const found = [];
          for (const [method, path] of tries) {
            for (const mode of ["cors", "no-cors"]) {
              try {
                const answer = await fetch(url + path, { method, mode, credentials: "include" });
                found.push(answer.type === "opaque" ? "opaque" : await answer.text());
              } catch (error) { found.push("refused"); }
            }
          }
          return found; }""",
        still_shop.daemon.url,
    )
    assert set(asked) <= {"refused", "opaque"}
    assert still_shop.daemon.breaker("mail")["state"] == "closed"


def test_no_other_site_can_frame_it(still_shop: Shop, visit: Visit, foreign: str) -> None:
    window = visit(still_shop.daemon, calm=False)
    window.page.goto(foreign)
    frames = [frame for frame in window.page.frames if frame is not window.page.main_frame]
    assert all("attention" not in frame.content() for frame in frames)


def test_a_change_without_the_token_of_the_page_is_refused(still_shop: Shop, visit: Visit) -> None:
    window = visit(still_shop.daemon, calm=False)
    window.log_in(OPERATOR)
    status = window.page.evaluate(
        """async () => (await fetch("/components/mail/actions/disable", { method: "POST",
          body: new URLSearchParams({ reason: "forged" }) })).status"""
    )
    assert status == 403
    assert still_shop.daemon.breaker("mail")["state"] == "closed"


def test_names_and_errors_full_of_html_stay_inert(
    run_daemon: RunDaemon, targets: Targets, visit: Visit
) -> None:
    name = EVIL.replace("/", "|")
    targets.behave = lambda _: Reply(body=EVIL.encode())
    daemon = run_daemon({}, start=False)
    check = {
        "name": name,
        "group": name,
        "labels": {"owner": EVIL},
        "http": {"url": f"{targets.url}/?{'x' * 20}", "expect": {"body": {"matches": "ok<b>"}}},
        "interval": "200ms",
        "timeout": "150ms",
        "breaker": {"failure_threshold": 1, "recovery_timeout": "60s"},
    }
    page_options = {"enabled": True, "title": EVIL[:80]}
    web = {"listen": [daemon.address], "tokens": TOKENS, "status_page": page_options}
    daemon.write({"web": web, "checks": [check]})
    daemon.start()
    window = visit(daemon)
    window.log_in(ADMIN)
    page = window.page
    page.wait_for_selector(".card.open")
    page.click(".card h3 a")
    page.wait_for_selector(".one.open")
    page.click("text=Close…")
    page.wait_for_selector("dialog[open]")
    page.fill("#reason", EVIL)
    page.click("dialog button.go")
    eventually(lambda: EVIL in page.content() or EVIL in page.inner_text("#live"), "the reason")
    for path in ("/", "/audit", "/incidents", "/status", "/silences", "/notifications"):
        window.go(path)
        assert page.title() != "owned"
        assert page.locator("img").count() == 0
    assert page.evaluate("document.title") != "owned"
