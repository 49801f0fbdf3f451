"""A page for every alert: what it means, what to look at, what to do.

Rule: nothing of the daemon is in them, so that a link in an alert works for everybody who can
reach the daemon; a client that does not ask for HTML gets the Markdown.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from aiohttp import web

from cbmon.config.alerting import ALERTS
from cbmon.web import assets
from cbmon.web.errors import ApiError


async def index(request: web.Request) -> web.Response:
    """The list of them."""
    lines = [f"* [{name}](/runbooks/{name}): {_lead(name)}" for name in ALERTS]
    return _answer(request, "Runbooks", "# Runbooks\n\n" + "\n".join(lines) + "\n")


async def page(request: web.Request) -> web.Response:
    """One of them."""
    name = request.match_info["alert"]
    if name not in ALERTS:
        raise ApiError(404, "not_found", f"there is no alert {name!r}; see /runbooks")
    return _answer(request, name, _runbook(name))


def _runbook(name: str) -> str:
    from cbmon.rules import runbook  # noqa: PLC0415 - what renders rules, too: 1.5 MB

    return runbook(name)


def _lead(name: str) -> str:
    return _runbook(name).split("\n", 3)[2]


def _answer(request: web.Request, title: str, text: str) -> web.Response:
    if "text/html" not in request.headers.get("Accept", ""):
        return web.Response(text=text, content_type="text/markdown")
    return web.Response(text=_html(title, text), content_type="text/html")


@cache
def _html(title: str, text: str) -> str:
    # 60 ms and more, when the first page is asked for
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415
    from markdown_it import MarkdownIt  # noqa: PLC0415

    body = MarkdownIt("commonmark", {"html": False}).render(text)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(asset=assets.url)
    return environment.get_template("runbook.html").render(title=title, body=body)
