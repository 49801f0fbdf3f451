"""``/metrics`` and the small endpoints that machines ask: healthy, ready, reload.

Rule: cheap, and right when all else fails: they touch neither the store nor a target.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import AsyncIterablePayload

from cbmon.web.edge import answer, prefers_json
from cbmon.web.errors import ApiError
from cbmon.web.keys import SERVICES
from cbmon.web.negotiation import choose, takes_gzip
from cbmon.web.requests import author_of

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OFFERS: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    ("text/plain", {"version": "0.0.4"}),
    ("application/openmetrics-text", {"version": "1.0.0"}),
)


async def metrics(request: web.Request) -> web.Response:
    """Every metric, in the format that the scraper likes best."""
    openmetrics = choose(request.headers.get(hdrs.ACCEPT), OFFERS) == 1
    headers = {
        hdrs.CONTENT_TYPE: OPENMETRICS if openmetrics else TEXT,
        hdrs.VARY: "Accept, Accept-Encoding",
    }
    exposition = request.app[SERVICES].exposition
    if not takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING)):
        return web.Response(
            body=_Slices(exposition.stream(openmetrics=openmetrics)), headers=headers
        )
    headers[hdrs.CONTENT_ENCODING] = "gzip"
    body = await exposition.render_gzip(openmetrics=openmetrics)
    return web.Response(body=body, headers=headers)


class _Slices(AsyncIterablePayload):
    """What is rendered while it is sent; given up at once when the scraper hangs up."""

    def __init__(self, slices: AsyncGenerator[bytes, None]) -> None:
        super().__init__(slices)
        self._slices = slices

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Send all; what is left of it is not kept until the collector comes."""
        try:
            await super().write_with_length(writer, content_length)
        finally:
            await self._slices.aclose()


async def healthy(_: web.Request) -> web.Response:
    """The process answers."""
    return web.Response(text="cbmon is healthy.\n")


async def ready(request: web.Request) -> web.Response:
    """The daemon can be used, or why not."""
    reasons = list(request.app[SERVICES].ready())
    if prefers_json(request):
        return answer({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)
    text = "".join(f"not ready: {reason}\n" for reason in reasons) or "cbmon is ready.\n"
    return web.Response(text=text, status=503 if reasons else 200)


async def reload(request: web.Request) -> web.Response:
    """Bring the configuration into force; an unusable one changes nothing and is explained."""
    outcome = await request.app[SERVICES].reload(author_of(request))
    if not outcome.ok:
        count = len(outcome.problems)
        raise ApiError(
            500,
            "configuration_refused",
            f"{count} problem{'' if count == 1 else 's'}; still running the previous configuration",
            details={"problems": list(outcome.problems)},
        )
    changes: dict[str, Any] = {
        "added": list(outcome.added),
        "removed": list(outcome.removed),
        "changed": list(outcome.changed),
    }
    waiting = list(outcome.needs_restart)
    if prefers_json(request):
        return answer({"ok": True, **changes, "needs_restart": waiting})
    counts = ", ".join(f"{len(names)} {what}" for what, names in changes.items())
    lines = [f"configuration reloaded: {counts}\n"]
    lines += [f"needs a restart to come into force: {path}\n" for path in waiting]
    return web.Response(text="".join(lines))
