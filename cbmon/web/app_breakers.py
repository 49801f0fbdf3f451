"""Applications report their breakers here, and ask for what they are told to do.

Rule: a breaker that cannot be taken is refused by itself, with the path of what is wrong, and the
others are taken; when nothing can be, the report is refused. Whose token reported an application
first speaks for it, and nobody else.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from cbmon.apps import Apps, PendingOrder, Report, ReportError, parse_report
from cbmon.apps.hub import LONGEST_POLL
from cbmon.web import query as q
from cbmon.web.auth import Role
from cbmon.web.edge import answer
from cbmon.web.errors import ApiError, bad_request, not_found
from cbmon.web.keys import ACCESS
from cbmon.web.route import API, Route

APPS: Final[web.AppKey[Apps]] = web.AppKey("apps", Apps)

_STATUS: Final = {"too_many": 413, "not_yours": 403, "superseded": 409}


async def report(request: web.Request) -> web.Response:
    """Take in what a process of an application says; the orders that wait for it."""
    owner = request.app[ACCESS].identity(request).name
    raw = await q.read(request)
    try:
        told = _apps(request).takeable(parse_report(q.from_json(raw)))
        orders = _apps(request).take(told, owner)
    except ReportError as error:
        status = _STATUS.get(error.code, 400)
        raise ApiError(status, error.code, str(error), details={"path": error.path}) from None
    return answer(_answer(told, orders))


async def orders(request: web.Request) -> web.Response:
    """The orders for a process, as soon as there is one."""
    query = q.parameters(request, ("application", "process", "wait"))
    application, process = query.get("application"), query.get("process", "")
    if not application:
        raise bad_request("application: expected its name", parameter="application")
    owner = request.app[ACCESS].identity(request).name
    try:
        found = await _apps(request).orders(application, process, owner, _wait(query.get("wait")))
    except KeyError:
        raise not_found(
            f"{application!r} has not reported with this token", application=application
        ) from None
    return answer({"orders": [order.as_json() for order in found]})


def _apps(request: web.Request) -> Apps:
    found = request.app.get(APPS)
    if found is None:
        raise not_found("there is nothing at this address")
    return found


def _wait(text: str | None) -> float:
    try:
        seconds = float(text or 0)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_POLL:
        raise bad_request(f"wait: expected seconds from 0 to {LONGEST_POLL:g}", parameter="wait")
    return seconds


def _answer(told: Report, waiting: list[PendingOrder]) -> dict[str, object]:
    return {
        "accepted": len(told.breakers),
        "refused": [
            {"name": one.name, "path": one.path, "message": one.message} for one in told.refused
        ],
        "next_report_seconds": told.interval,
        "orders": [order.as_json() for order in waiting],
    }


ROUTES: Final = (
    Route(
        method="POST",
        path=f"{API}/app-breakers",
        handler=report,
        role=Role.OPERATOR,
        reporters=True,
        summary="An application reports its breakers; a token of role `reporter` is enough",
        answer="AppReported",
        errors=(400, 403, 409, 413),
        body_schema="AppReport",
    ),
    Route(
        path=f"{API}/app-breakers/orders",
        handler=orders,
        role=Role.OPERATOR,
        reporters=True,
        summary="Orders for an application, as soon as there is one",
        answer="AppOrders",
        errors=(400, 404),
        query=("application", "process", "wait"),
        needs=("application",),
    ),
)
