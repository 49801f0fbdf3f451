"""The pictures of the pages in docs/pictures, taken of a real daemon in a real browser.

``python -m tests.integration.browser.pictures`` takes them anew. Rule: 150 KB each at most.
"""

from __future__ import annotations

import json
import random
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from playwright.sync_api import ViewportSize, sync_playwright

from tests.integration.browser.shop import ADMIN, FRAGILE, TOKENS
from tests.integration.harness import Daemon, Targets, eventually, program
from tests.integration.harness.sinks import Reply, Request

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PICTURES: Final = Path(__file__).parents[3] / "docs" / "pictures"
MOST: Final = 150_000
DAY: Final = 86_400.0
DESK: Final = ViewportSize(width=1280, height=860)
PHONE: Final = ViewportSize(width=390, height=844)
NAMES: Final = {
    "shop": ("checkout", "catalogue", "search", "shop-db", "images"),
    "payments": ("card-payments", "invoices", "fraud-check"),
    "office": ("mail", "intranet", "legacy-crm", "vpn"),
}
DOWN: Final = ("/card-payments", "/legacy-crm")


def behave(request: Request) -> Reply:
    """Some are down, all take their time."""
    if request.path in DOWN:
        return Reply(status=503, body=b"maintenance\n")
    slow = 0.12 if "fraud" in request.path else 0.02
    return Reply(delay=random.lognormvariate(0, 0.4) * slow)


def configuration(daemon: Daemon, url: str) -> dict[str, Any]:
    """A dozen checks; ``legacy-crm`` is disabled by itself."""
    checks: list[dict[str, Any]] = [
        {"name": name, "group": group, "http": {"url": f"{url}/{name}"}}
        for group, names in NAMES.items()
        for name in names
    ]
    by_name = {check["name"]: check for check in checks}
    by_name["legacy-crm"]["breaker"] = FRAGILE
    by_name["card-payments"] |= {"depends_on": ["shop-db"], "tags": ["critical"]}
    by_name["checkout"] |= {"depends_on": ["shop-db", "card-payments"], "tags": ["critical"]}
    status = {"enabled": True, "title": "Example shop", "groups": ["shop", "payments"]}
    return {
        "web": {"listen": [daemon.address], "tokens": TOKENS, "status_page": status},
        "defaults": {"interval": "500ms", "timeout": "450ms"},
        "checks": checks,
    }


def remember(daemon: Daemon) -> None:
    """Give the store of a stopped daemon a past of a month."""
    chance, now = random.Random(7), time.time()
    path = daemon.data / "cbmon.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("delete from transitions")
        for group in NAMES.values():
            for name in group:
                often = 9 if name in {"card-payments", "legacy-crm"} else 2
                begun = sorted(now - DAY * 30 * chance.random() ** 1.3 for _ in range(often))
                for at in [now - 30 * DAY, *begun]:
                    _outage(connection, name, at, min(now - 60, at + chance.uniform(90, 2500)))


def _outage(connection: sqlite3.Connection, name: str, at: float, end: float) -> None:
    own = f"-{crc32(name.encode()):08x}"
    incident = f"{int(at * 1e6):016x}{own}"
    info = json.dumps({"name": name, "category": "check"})
    moves = [
        (at, "closed", "open", "failures_in_a_row", "5 failures in a row, threshold 5"),
        (end - 1, "open", "half_open", "recovery_timeout", "the wait is over"),
        (end, "half_open", "closed", "trials_passed", "1 of 1 trial calls succeeded"),
    ]
    for moment, source, target, cause, text in moves:
        connection.execute(
            "insert into transitions (id, at, component, category, from_state, to_state, cause,"
            " text, incident, failure_count, cycles, trips, info)"
            " values (?, ?, ?, 'check', ?, ?, ?, ?, ?, 0, 0, 0, ?)",
            (f"{int(moment * 1e6):016x}{own}", moment, name, source, target, cause, text, incident,
             info),
        )  # fmt: skip
    connection.execute(
        "insert into incidents (id, component, category, started_at, ended_at, cause, last_state,"
        " reason, last_error, moves, trials)"
        " values (?, ?, 'check', ?, ?, 'failures_in_a_row', 'closed', 'status',"
        " 'got status 503, expected 200-299', 3, 1)",
        (incident, name, at, end),
    )


def take(browser: Browser, daemon: Daemon) -> None:
    """Every picture, in light and in dark where both are shown."""
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport=DESK, color_scheme=scheme, reduced_motion="reduce")
        page = context.new_page()
        page.goto(f"{daemon.url}/login")
        page.fill("#password", ADMIN)
        page.press("#password", "Enter")
        page.wait_for_selector("[data-key='c:legacy-crm'].disabled")
        page.wait_for_selector("#pulse.on")
        keep(page, f"page-overview-{scheme}.png")
        page.goto(f"{daemon.url}/components/checkout")
        page.wait_for_selector("#pulse.on")
        keep(page, f"page-component-{scheme}.png")
        if scheme == "dark":
            page.goto(f"{daemon.url}/components/legacy-crm")
            page.click("text=Re-enable…")
            page.wait_for_selector("dialog[open]")
            keep(page, "page-dialog-dark.png")
            page.set_viewport_size(PHONE)
            page.goto(daemon.url)
            page.wait_for_selector("#pulse.on")
            keep(page, "page-phone-dark.png")
        else:
            page.goto(f"{daemon.url}/status")
            keep(page, "page-status-light.png")
        context.close()


def keep(page: Any, name: str) -> None:
    """Take one; an assertion if it is too large."""
    page.wait_for_timeout(300)
    path = PICTURES / name
    page.screenshot(path=path)
    size = path.stat().st_size
    print(f"{name}: {size / 1000:.0f} KB")
    assert size <= MOST, f"{name} has {size} bytes"


def main() -> None:
    """Set the scene, take the pictures, clean up."""
    targets = Targets(behave)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        daemon = Daemon(Path(folder), {})
        daemon.write(configuration(daemon, targets.url))
        browser = playwright.chromium.launch(
            executable_path=program("chromium", package="chromium"), args=["--no-sandbox"]
        )
        try:
            daemon.start()
            daemon.stop()
            remember(daemon)
            daemon.start()
            eventually(
                lambda: daemon.breaker("legacy-crm")["state"] == "disabled",
                "legacy-crm to be disabled",
            )
            time.sleep(25)  # until there is something to draw
            take(browser, daemon)
        finally:
            browser.close()
            daemon.process.clean_up()
            targets.close()


if __name__ == "__main__":
    main()
