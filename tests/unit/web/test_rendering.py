"""What pages are rendered with.

Rule: it is not there before somebody looks at a page, and never imported on the event loop for a
browser.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from functools import cache

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from cbmon.web import rendering


def test_a_daemon_that_nobody_looks_at_has_no_jinja2() -> None:
    code = "import sys, cbmon.app; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(("accept", "times"), [("text/html,*/*;q=0.8", 1), ("*/*", 0)])
async def test_it_is_made_in_a_thread_before_a_browser_is_answered(
    accept: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[threading.Thread] = []

    @cache
    def environment() -> object:
        seen.append(threading.current_thread())
        return object()

    async def handler(_: web.Request) -> web.StreamResponse:
        assert len(seen) == times
        return web.Response(status=204)

    monkeypatch.setattr(rendering, "_environment", environment)
    request = make_mocked_request("GET", "/", headers={"Accept": accept})
    for _ in range(2):
        assert (await rendering.prepared(request, handler)).status == 204
    assert threading.main_thread() not in seen
