"""A real browser before a real daemon, and somebody who has logged in.

Rule: Debian's Chromium, driven by Playwright; a page that says an error on its console, or that
raises one, fails the test that looked at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.browser.shop import Shop, open_shop
from tests.integration.harness import Daemon, Targets, program
from tests.integration.harness.processes import absent

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

INSTALL = "pip install playwright axe-playwright-python"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium without a head; not for longer than a module, since as long as it is
    there Playwright's event loop counts as running, and no other test could have its own."""
    path = program("chromium", package="chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        absent(f"playwright is not installed ({INSTALL})")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


class Visitor:
    """Somebody in front of a browser window."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.said: list[str] = []
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("console", self._hear)
        page.on("dialog", lambda one: self.said.append(f"dialog: {one.message}"))

    def _hear(self, one: ConsoleMessage) -> None:
        if one.type == "error":
            self.said.append(one.text)

    def go(self, path: str = "/") -> None:
        self.page.goto(self.url + path)

    def log_in(self, token: str, path: str = "/") -> None:
        self.go(f"/login?next={path}")
        self.page.fill("#password", token)
        self.page.press("#password", "Enter")
        self.page.wait_for_url(self.url + path)

    def violations(self, options: dict[str, Any] | None = None) -> list[str]:
        """What axe finds serious or worse on the page as it is."""
        axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
        self.page.evaluate(axe)
        found: dict[str, Any] = self.page.evaluate("o => axe.run(o)", options or {})
        return [
            f"{one['impact']} {one['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
            for one in found["violations"]
            for node in one["nodes"]
            if one["impact"] in {"serious", "critical"}
        ]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Opens windows: of a size, light or dark, with or without JavaScript.

    One that is not ``calm`` may say errors, because it is refused something.
    """
    opened = []

    def open_window(daemon: Daemon, *, calm: bool = True, **options: Any) -> Visitor:
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
        )
        context.set_default_timeout(8000)
        visitor = Visitor(context.new_page(), daemon.url)
        opened.append((context, visitor, calm))
        return visitor

    yield open_window
    for context, visitor, calm in opened:
        context.close()
        assert not (calm and visitor.said), visitor.said


@pytest.fixture
def shop(run_daemon: Callable[..., Daemon], targets: Targets) -> Shop:
    return open_shop(run_daemon, targets)


@pytest.fixture(scope="module")
def still_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One for all tests of a module, which leave it as it is."""
    with ExitStack() as stack:

        def run(config: dict[str, Any], *, start: bool) -> Daemon:
            daemon = Daemon(tmp_path_factory.mktemp("shop"), config)
            stack.callback(daemon.process.clean_up)
            return daemon

        targets = Targets()
        stack.callback(targets.close)
        yield open_shop(run, targets)
