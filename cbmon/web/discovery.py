"""``/sd``: the targets of checks, for Prometheus' http_sd."""

from __future__ import annotations

from aiohttp import web

from cbmon.discovery import target_groups
from cbmon.web.edge import answer
from cbmon.web.keys import SERVICES


async def targets(request: web.Request) -> web.Response:
    """Every check's target with what relabelling may want to know of it."""
    return answer(target_groups(view.info for view in request.app[SERVICES].components()))
