"""The API's writes: act on a breaker, run a check.

Rule: asking twice is as good as once; the answer is the breaker as it is afterwards. An
impossible move is a 409 and changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from cbmon.breaker import InvalidTransitionError
from cbmon.model import Category, Result
from cbmon.settings.sheet import Author
from cbmon.web import query as q
from cbmon.web import views
from cbmon.web.api import check_component, component
from cbmon.web.edge import answer
from cbmon.web.errors import ApiError, bad_request
from cbmon.web.keys import SERVICES
from cbmon.web.requests import author_of
from cbmon.web.services import Operation, Order

Handler = Callable[[web.Request], Awaitable[web.Response]]

FIELDS: Final[Mapping[Operation, Mapping[str, type]]] = {
    Operation.RESET: {"reason": str},
    Operation.OPEN: {"reason": str, "for_seconds": float, "hold": bool},
    Operation.CLOSE: {"reason": str, "hold": bool},
    Operation.OBSERVE: {"reason": str},
    Operation.DISABLE: {"reason": str},
    Operation.ENABLE: {"reason": str, "reset_counters": bool},
}
NOTHING_TO_RUN: Final[Mapping[Category, str]] = {
    Category.APP: "inside an application",
    Category.RECEIVER: "of a receiver",
}
"""Breakers that guard no run of the daemon's own, and where they are."""


def action(operation: Operation) -> Handler:
    """The handler of one operation."""

    async def act(request: web.Request) -> web.Response:
        view = component(request)
        data = await q.body(request, FIELDS[operation])
        order = _order(operation, author_of(request, q.reason(data)), data)
        try:
            await request.app[SERVICES].act(view.info.name, order)
        except InvalidTransitionError as error:
            raise ApiError(
                409,
                "impossible_move",
                str(error),
                details={"name": view.info.name, "state": view.breaker.state.value},
            ) from error
        return answer(views.breaker(view))

    return act


async def reset_all(request: web.Request) -> web.Response:
    """Reset every breaker."""
    data = await q.body(request, {"reason": str})
    done = await request.app[SERVICES].reset_all(author_of(request, q.reason(data)))
    left = [{"name": name, "why": why} for name, why in done.left.items()]
    return answer({"reset": done.reset, "left": left})


async def check_now(request: web.Request) -> web.Response:
    """Run a breaker's check or export now, behind the breaker, and wait for the result."""
    reason = q.reason(await q.body(request, {"reason": str}))
    return await _run(request, component(request).info.name, reason)


async def run_check(request: web.Request) -> web.Response:
    """Run a check now, behind its breaker, and wait for the result."""
    reason = q.reason(await q.body(request, {"reason": str}))
    return await _run(request, check_component(request).info.name, reason)


async def _run(request: web.Request, name: str, reason: str | None) -> web.Response:
    where = NOTHING_TO_RUN.get(component(request).info.category)
    if where is not None:
        message = f"{name!r} is a breaker {where}: there is nothing to run"
        raise ApiError(409, "nothing_to_run", message, details={"name": name})
    found = await request.app[SERVICES].run_component(name, author_of(request, reason))
    view = component(request)
    if isinstance(found, Result):
        ran: dict[str, Any] = {"ran": True, "skipped": None, "result": views.result(found)}
    else:
        ran = {"ran": False, "skipped": found.value, "result": None}
    return answer({"name": name, **ran, "state": view.breaker.state.value})


def _order(operation: Operation, author: Author, data: Mapping[str, Any]) -> Order:
    for_seconds, hold = q.seconds(data, "for_seconds"), bool(data.get("hold"))
    if hold and for_seconds is not None:
        raise bad_request("hold and for_seconds exclude each other; give one", field="hold")
    reset = data.get("reset_counters")
    return Order(
        operation=operation,
        actor=author.actor,
        reason=author.reason,
        request=author.request,
        for_seconds=for_seconds,
        hold=hold,
        reset_counters=True if reset is None else reset,
    )
