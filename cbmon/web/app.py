"""The aiohttp application: middlewares from the outside in, and the routes.

Rule: nothing is decided here; this is only where the parts of the web meet.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from aiohttp import web

from cbmon.apps import Apps
from cbmon.blackbox.service import Probing
from cbmon.web import assets
from cbmon.web.access import Access
from cbmon.web.app_breakers import APPS
from cbmon.web.auth import TokenOptions, Tokens
from cbmon.web.connections import Limits, keep_time
from cbmon.web.credentials import Credentials
from cbmon.web.edge import add_safety, errors_to_answers
from cbmon.web.keys import ACCESS, ERROR_PAGE, HEADERS, LIMITS, SERVICES
from cbmon.web.known import KNOWN, Known
from cbmon.web.moves import MOVES, LatestMoves
from cbmon.web.probing import PROBING
from cbmon.web.rendering import error_page, prepared
from cbmon.web.requests import add_id, identified
from cbmon.web.route import TABLE
from cbmon.web.routes import ROUTES
from cbmon.web.services import Services
from cbmon.web.statuspage import FRONT, OUTAGES, Front, Outages
from cbmon.web.stream import STREAM, Stream


def build_app(
    services: Services,
    *,
    tokens: Iterable[TokenOptions] = (),
    limits: Limits | None = None,
    probing: Probing | None = None,
    stream: Stream | None = None,
    apps: Apps | None = None,
) -> web.Application:
    """The application over these services; ``tokens`` are those of ``web.tokens``.

    Without ``probing``, ``/probe`` is off.
    """
    limits = limits or Limits()
    access = Access(
        Credentials(Tokens(tokens), wall=services.clock.time), lambda: services.external_url
    )
    app = web.Application(
        middlewares=(
            keep_time,
            identified,
            prepared,
            errors_to_answers(limits.handler),
            access.admit,
        ),
        client_max_size=limits.body_bytes,
    )
    app[SERVICES] = services
    app[ACCESS] = access
    app[LIMITS] = limits
    app[HEADERS] = {}
    app[ERROR_PAGE] = error_page
    app[TABLE] = ROUTES
    app[STREAM] = Stream() if stream is None else stream  # an unheard one is empty
    if probing is not None:
        app[PROBING] = probing
    if apps is not None:
        app[APPS] = apps
    app[MOVES] = LatestMoves(services, time.monotonic)
    app[OUTAGES] = Outages(services)
    app[FRONT] = Front()
    app[KNOWN] = Known(services)
    app.on_response_prepare.append(add_safety)
    app.on_response_prepare.append(add_id)
    for route in ROUTES:
        path = route.path.replace("{name}", "{name:[^/]+}")  # a name may hold braces
        app.router.add_route(route.method, path, route.handle)
        if route.method == "GET":
            app.router.add_route("HEAD", path, route.handle)
    assets.add_to(app)
    return app
