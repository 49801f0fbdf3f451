"""The two pages that are looked at most: everything at a glance, and one component in detail.

Rule: written by the server, complete without JavaScript; what is refreshed is the same page again,
so that it cannot differ from what was loaded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from aiohttp import web

from cbmon.breaker import State
from cbmon.errors import StoreError
from cbmon.model import BreakerInfo
from cbmon.notify.routing import labels_of
from cbmon.web import api, overview, policies, trends, views
from cbmon.web import query as q
from cbmon.web.cards import Card, card
from cbmon.web.confirm import DONE, is_ours, offered
from cbmon.web.history import series_of
from cbmon.web.keys import SERVICES
from cbmon.web.latency import SCALES, Chart, Scale, chart
from cbmon.web.moves import MOVES, PATIENCE, Moves, latest
from cbmon.web.notifications import SilenceView
from cbmon.web.overview import Look, Wish
from cbmon.web.rendering import page
from cbmon.web.services import ComponentView, Services
from cbmon.web.settings_page import sources_of

log = logging.getLogger(__name__)

RECENT: Final = 12
EVENTS: Final = 15
HISTORY: Final = 1000
"""Moves of one component that its page reads."""
HOUR: Final = 3600.0


async def status(request: web.Request) -> web.Response:
    """Everything, what is wrong first."""
    query = q.parameters(request, (*overview.PARAMETERS, "done"))
    q.one_of({name: value for name, value in query.items() if value}, "state", overview.CHOICES)
    wish = Wish.of(query)
    services = request.app[SERVICES]
    looks = overview.look_at(services.components())
    moves = await request.app[MOVES].get()
    sheet = overview.sheet(looks, wish)
    cards = [_card(services, look.view, moves) for look in sheet.looks]
    loud = [c for c in cards if not c.quiet]
    return page(
        request,
        "overview.html",
        here="/",
        summary=views.summary_of([(look.info, look.state) for look in looks]),
        wish=wish,
        sheet=sheet,
        loud=loud,
        quiet=[c for c in cards if c.quiet],
        attention=overview.attention(looks),
        choices=overview.choices(looks),
        silenced=await _silenced(services, loud),
        moves=moves.rows[:RECENT],
        problem=moves.problem,
        not_ready=list(services.ready()),
        done=DONE.get(query.get("done", ""), ""),
        states=[s.value for s in State],
    )


async def detail(request: web.Request) -> web.Response:
    """One component."""
    query = q.parameters(request, ("span", "done"))
    name = q.one_of(query, "span", list(SCALES)) or "24h"
    scale = SCALES[name]
    services = request.app[SERVICES]
    view = api.component(request)
    moves = await latest(services, HISTORY, component=view.info.name)
    policy = view.breaker.policy
    return page(
        request,
        "component.html",
        card=_card(services, view, moves, span=scale.span),
        breaker=views.breaker(view),
        settings=policies.in_words(policy),
        sources=sources_of(view),
        explanation=_explanation(view),
        moves=moves.rows[:EVENTS],
        problem=moves.problem,
        done=DONE.get(query.get("done", ""), ""),
        offered=offered(view),
        ours=is_ours(view),
        silences=[one for one in await _active(services) if _covers(one, view.info)],
        chart=await _chart(services, view, scale),
        cycles=trends.cycles(moves.rows),
        outages=trends.outages(moves.rows),
        needs=_states(services, view.info.depends_on),
        needed_by=_dependants(services.components(), view.info.name),
        span=name,
        spans=[(key, each.label) for key, each in SCALES.items()],
        span_ago=scale.label,
        span_label=f"Last {scale.label}",
    )


async def _chart(services: Services, view: ComponentView, scale: Scale) -> Chart | None:
    """What its runs found; nothing while the store does not answer, which the page says."""
    now, limit = services.clock.time(), view.breaker.policy.slow_call_seconds or view.timeout
    try:
        async with asyncio.timeout(PATIENCE):
            series = await series_of(
                services.results, view.info.name, scale.width, now - scale.span, now + scale.width
            )
    except (StoreError, TimeoutError) as error:
        log.warning("results are not readable", extra={"fields": {"error": str(error)}})
        return None
    return chart(series, scale, now, limit)


def _card(services: Services, view: ComponentView, moves: Moves, span: float = HOUR) -> Card:
    return card(
        view,
        now=services.clock.time(),
        next_run_in=services.next_run_in(view.info.name),
        moves=moves,
        started_at=services.started_at,
        span=span,
    )


async def _active(services: Services) -> list[SilenceView]:
    now = services.clock.time()
    return [one for one in await services.notifying.silences() if one.state(now) == "active"]


async def _silenced(services: Services, cards: Iterable[Card]) -> set[str]:
    silences = await _active(services)
    return {c.name for c in cards if any(_covers(one, c.view.info) for one in silences)}


def _covers(silence: SilenceView, info: BreakerInfo) -> bool:
    labels = labels_of(info)
    return all(matcher.matches(labels) for matcher in silence.matchers)


def _states(services: Services, names: Sequence[str]) -> list[tuple[str, str]]:
    """Components by name with their states; an empty one for a name that is not configured."""
    found = []
    for name in names:
        try:
            found.append((name, services.component(name).breaker.state.value))
        except KeyError:
            found.append((name, ""))
    return found


def _dependants(components: Iterable[ComponentView], name: str) -> list[tuple[str, str]]:
    looks = (Look(view, view.breaker.state, False) for view in components)
    return [(look.info.name, look.state.value) for look in looks if name in look.info.depends_on]


def _explanation(view: ComponentView) -> str:
    """Why it is in this state; the last failure has its own place on the page."""
    lines = view.breaker.explain().splitlines()
    return "\n".join(line for line in lines if not line.startswith("last failure:"))
