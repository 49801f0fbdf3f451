"""``/sd``: the targets of checks, for Prometheus' http_sd; and the sources of targets."""

from __future__ import annotations

from aiohttp import web

from cbmon.discovery import target_groups
from cbmon.web.edge import answer
from cbmon.web.keys import SERVICES
from cbmon.web.views import timestamp


async def sources(request: web.Request) -> web.Response:
    """Where targets come from, and what became of them."""
    found = request.app[SERVICES].discoveries()
    shown = [{**one, "last_success_at": timestamp(one["last_success_at"])} for one in found]
    return answer({"discovery": shown})


async def targets(request: web.Request) -> web.Response:
    """Every check's target with what relabelling may want to know of it."""
    return answer(target_groups(view.info for view in request.app[SERVICES].components()))
