"""Templates become pages: one environment, and what every page has around its own part.

Rule: everything is escaped, an undefined name is a fault; no page holds code or style of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from cbmon.web import assets, views, words
from cbmon.web.errors import ApiError
from cbmon.web.keys import SERVICES
from cbmon.web.viewer import viewer

if TYPE_CHECKING:
    from jinja2 import Environment

PLACES: Final = (
    ("/", "Overview"),
    ("/incidents", "Incidents"),
    ("/silences", "Silences"),
    ("/notifications", "Notifications"),
    ("/audit", "Audit"),
    ("/settings", "Settings"),
)
"""The pages of the navigation."""
ERRORS: Final = {
    400: "That cannot be read",
    401: "A login is needed",
    403: "That is not allowed",
    404: "There is nothing here",
    405: "That is not possible here",
    409: "That is not possible now",
    429: "Too much at once",
    500: "A fault of cbmon",
    503: "Not now",
}


@web.middleware
async def prepared(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What renders pages is there before the first one for a browser, be it about an error."""
    if not _environment.cache_info().currsize and "text/html" in request.headers.get("Accept", ""):
        await asyncio.to_thread(_environment)
    return await handler(request)


def page(
    request: web.Request, template: str, *, here: str = "", status: int = 200, **context: Any
) -> web.Response:
    """A page out of ``template``; ``here`` is the place of the navigation that it belongs to."""
    services = request.app[SERVICES]
    now = services.clock.time()
    text = template_of(template).render(
        **context,
        here=here,
        places=PLACES,
        viewer=viewer(request),
        now=now,
        version=services.version,
        started_at=services.started_at,
    )
    headers = {"X-Now": f"{now:.3f}"}
    text = text.encode(errors="replace").decode()  # an error may hold a half of a character
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


def error_page(request: web.Request, error: ApiError) -> web.Response:
    """What went wrong, for somebody in front of a browser; the status stays what it is."""
    problems = error.details.get("problems")
    listed = problems if isinstance(problems, (list, tuple)) else ()
    return page(
        request,
        "error.html",
        status=error.status,
        title=ERRORS.get(error.status, "That did not work"),
        message=error.message,
        listed=[str(one) for one in listed],
        code=error.status,
    )


def template_of(name: str) -> Any:
    """A template by the name of its file."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    # jinja2 takes 20 ms to import, and 2 MB that a daemon without visitors does not need.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        duration=words.duration,
        ago=words.ago,
        clock=words.clock,
        countdown=words.countdown,
        percent=words.percent,
        until=words.until,
        day=words.day,
        iso=views.timestamp,
    )
    environment.globals.update(asset=assets.url, words=words.STATES)
    return environment
