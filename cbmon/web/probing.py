"""``/probe``, and what goes with it: ``/config`` and ``/logs``, as blackbox_exporter has them.

Rule: a failed probe is an answer like any other; a foreign page cannot make one happen.
"""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from cbmon.blackbox.service import Inquiry, Probing, RefusedError
from cbmon.web.errors import ApiError
from cbmon.web.negotiation import takes_gzip
from cbmon.web.scrape import TEXT

PROBING: Final[web.AppKey[Probing]] = web.AppKey("probing", Probing)
TIMEOUT_HEADER: Final = "X-Prometheus-Scrape-Timeout-Seconds"


async def probe(request: web.Request) -> web.Response:
    """Look at a target once and answer with the metrics of that."""
    query = request.query
    inquiry = Inquiry(
        target=query.get("target", ""),
        module=query.get("module", ""),
        hostname=query.get("hostname", ""),
        scrape_timeout=request.headers.get(TIMEOUT_HEADER, ""),
    )
    try:
        found = await _enabled(request).probe(inquiry)
    except RefusedError as error:
        raise ApiError(error.status, "probe_refused", str(error)) from error
    if query.get("debug") == "true":
        return web.Response(text=found.debug, headers={"X-Content-Type-Options": "nosniff"})
    response = web.Response(body=found.metrics.encode(), headers={"Content-Type": TEXT})
    if takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING)):
        response.enable_compression(web.ContentCoding.gzip)
    return response


async def configuration(request: web.Request) -> web.Response:
    """The modules in force."""
    return web.Response(text=_enabled(request).configuration())


async def logs(request: web.Request) -> web.Response:
    """What ``debug=true`` would have shown of an earlier probe."""
    history = _enabled(request).history
    number, target = request.query.get("id", ""), request.query.get("target", "")
    numbered = number.isascii() and number.isdigit()
    if numbered and target:
        raise ApiError(400, "bad_request", "Probe id and target can't be defined at the same time")
    if not numbered and not target:
        text = "Probe id or target must be defined as http query parameters"
        raise ApiError(400, "bad_request", text)
    if numbered:
        entry = history.by_number(int(number[:18]))
    else:
        entry = history.by_target(target, request.query.get("module", ""))
    if entry is None:
        raise ApiError(404, "not_found", "no such probe is remembered")
    return web.Response(text=entry.text)


def _enabled(request: web.Request) -> Probing:
    probing = request.app.get(PROBING)
    if probing is None or not probing.enabled:
        raise ApiError(
            403,
            "probe_disabled",
            "probing targets that a request names is off; "
            "set web.probe.enabled, or start with --web.enable-probe",
        )
    return probing
