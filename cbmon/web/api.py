"""The API's reads: summary, breakers, checks.

Rule: an answer is built from views of what the daemon holds in memory; the store is not asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from cbmon.breaker import State
from cbmon.model import Category
from cbmon.web import query as q
from cbmon.web import views
from cbmon.web.edge import answer
from cbmon.web.errors import not_found
from cbmon.web.keys import SERVICES
from cbmon.web.services import ComponentView

STATES = [state.value for state in State]
CATEGORIES = [category.value for category in Category]
BREAKER_QUERY = ("state", "category", "active", "tag", "q", "limit", "cursor")
CHECK_QUERY = ("active", "tag", "q", "limit", "cursor")


async def summary(request: web.Request) -> web.Response:
    """How it all is."""
    q.parameters(request, ())
    services = request.app[SERVICES]
    return answer(
        {
            **views.summary(services.components()),
            "version": services.version,
            "started_at": views.timestamp(services.started_at),
            "now": views.timestamp(services.clock.time()),
        }
    )


async def breakers(request: web.Request) -> web.Response:
    """Breakers by name, filtered."""
    query = q.parameters(request, BREAKER_QUERY)
    state = q.one_of(query, "state", STATES)
    category = q.one_of(query, "category", CATEGORIES)
    active = q.one_of(query, "active", ("true", "false"))
    found = [
        view
        for view in request.app[SERVICES].components()
        if (state is None or view.breaker.state.value == state)
        and (category is None or view.info.category == category)
        and in_service(view, active)
        and matches(view, query)
    ]
    shown, cursor = q.page(found, _name, query)
    return answer(
        {
            "breakers": [views.breaker(view) for view in shown],
            "total": len(found),
            "next_cursor": cursor,
        }
    )


async def breaker(request: web.Request) -> web.Response:
    """One breaker."""
    q.parameters(request, ())
    return answer(views.breaker(component(request)))


async def available(request: web.Request) -> web.Response:
    """200 if a call would be admitted, 503 if not: for load balancers and deploy gates."""
    q.parameters(request, ())
    view = component(request)
    its = views.breaker(view)
    keys = ("name", "state", "is_available", "retry_after_seconds")
    response = answer({key: its[key] for key in keys}, 200 if its["is_available"] else 503)
    if its["retry_after_seconds"]:
        response.headers["Retry-After"] = str(int(its["retry_after_seconds"]) + 1)
    return response


async def checks(request: web.Request) -> web.Response:
    """Checks by name, filtered."""
    query = q.parameters(request, CHECK_QUERY)
    active = q.one_of(query, "active", ("true", "false"))
    services = request.app[SERVICES]
    found = [
        view
        for view in services.components()
        if view.info.category is Category.CHECK
        and in_service(view, active)
        and matches(view, query)
    ]
    shown, cursor = q.page(found, _name, query)
    return answer(
        {
            "checks": [views.check(view, services.next_run_in(_name(view))) for view in shown],
            "total": len(found),
            "next_cursor": cursor,
        }
    )


async def check(request: web.Request) -> web.Response:
    """One check."""
    q.parameters(request, ())
    view = check_component(request)
    return answer(views.check(view, request.app[SERVICES].next_run_in(view.info.name)))


def component(request: web.Request) -> ComponentView:
    """The component that the path names; 404 if there is none."""
    name = request.match_info["name"]
    try:
        return request.app[SERVICES].component(name)
    except KeyError:
        raise not_found(f"no check or export is named {name!r}", name=name) from None


def check_component(request: web.Request) -> ComponentView:
    """The check that the path names; 404 if there is none."""
    view = component(request)
    if view.info.category is not Category.CHECK:
        name = view.info.name
        raise not_found(f"{name!r} is no check but {view.info.category}", name=name)
    return view


def _name(view: ComponentView) -> str:
    return view.info.name


def in_service(view: ComponentView, wanted: str | None) -> bool:
    """Whether a component is in service (``true``), or out of it, as a query asks."""
    return wanted is None or (wanted == "true") is (view.breaker.state is not State.DISABLED)


def matches(view: ComponentView, query: Mapping[str, str]) -> bool:
    """Whether a component has the ``tag`` and the text ``q`` that a query asks for."""
    tag, text = query.get("tag"), query.get("q", "").casefold()
    info = view.info
    if tag is not None and tag not in info.tags:
        return False
    return not text or any(
        text in part.casefold() for part in (info.name, info.target, info.group, *info.tags)
    )
