"""The pages: the status of everything, and one component in detail.

Rule: written by the server, readable without JavaScript; a page and its fragment are the same
template, so that what is refreshed cannot differ from what was loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cbmon.breaker import State
from cbmon.web import api, assets, views, words
from cbmon.web import query as q
from cbmon.web.cards import HEALTHY_NAMES, Card, card, order
from cbmon.web.keys import SERVICES
from cbmon.web.moves import MOVES, Moves, latest
from cbmon.web.services import ComponentView, Services

MOST: Final = 300
"""Cards on one page; a filter finds the others."""
RECENT: Final = 12
DAY: Final = 86_400.0


async def status(request: web.Request) -> web.Response:
    """The status page."""
    return await _overview(request, "status.html")


async def status_fragment(request: web.Request) -> web.Response:
    """Its changing part."""
    return await _overview(request, "status_live.html")


async def detail(request: web.Request) -> web.Response:
    """The page of one component."""
    return await _component(request, "component.html")


async def detail_fragment(request: web.Request) -> web.Response:
    """Its changing part."""
    return await _component(request, "component_live.html")


async def _overview(request: web.Request, template: str) -> web.Response:
    query = q.parameters(request, ("q", "state"))
    state = q.one_of(query, "state", api.STATES) if query.get("state") else None
    services = request.app[SERVICES]
    views_ = list(services.components())
    moves = await request.app[MOVES].get()
    everything = sorted((_card(services, view, moves) for view in views_), key=order)
    cards = [c for c in everything if api.matches(c.view, query) and state in {None, c.state}]
    return _page(
        template,
        services,
        summary=views.summary(views_),
        loud=[c for c in cards if not c.quiet][:MOST],
        quiet=[c for c in cards if c.quiet][:MOST],
        found=len(cards),
        attention=_attention(everything),
        moves=moves.rows[:RECENT],
        problem=moves.problem,
        not_ready=list(services.ready()),
        query=query.get("q", ""),
        state=state or "",
        states=[s.value for s in State],
    )


async def _component(request: web.Request, template: str) -> web.Response:
    services = request.app[SERVICES]
    view = api.component(request)
    moves = await latest(services, 200, component=view.info.name)
    return _page(
        template,
        services,
        card=_card(services, view, moves, span=DAY),
        breaker=views.breaker(view),
        settings=_settings(view),
        explanation=_explanation(view),
        moves=moves.rows[:50],
        problem=moves.problem,
    )


def _attention(cards: Sequence[Card]) -> dict[str, list[str]]:
    """What needs attention, by what it is in a word."""
    found: dict[str, list[str]] = {}
    for c in cards:
        if not c.quiet:
            label = "Failing" if c.state in HEALTHY_NAMES else c.words.label
            found.setdefault(label, []).append(c.name)
    return found


def _card(services: Services, view: ComponentView, moves: Moves, span: float = 3600.0) -> Card:
    name = view.info.name
    return card(
        view,
        now=services.clock.time(),
        next_run_in=services.next_run_in(name),
        rows=moves.by_component.get(name, []),
        started_at=services.started_at,
        span=span,
    )


def _explanation(view: ComponentView) -> str:
    """Why it is in this state; the last failure has its own place on the page."""
    lines = view.breaker.explain().splitlines()
    return "\n".join(line for line in lines if not line.startswith("last failure:"))


COMMON: Final = ("kind", "recovery_timeout", "recovery_backoff", "longest_wait", "trial_calls")
BY_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    "count": ("failure_threshold",),
    "time": ("failure_rate_threshold", "window_seconds", "required_calls"),
    "percentage": ("failure_rate_threshold", "window_size", "required_calls"),
    "adaptive": ("adaptive_rules", "adaptive_floor", "adaptive_ceiling", "required_calls"),
}


def _settings(view: ComponentView) -> dict[str, str]:
    """The settings that matter for this kind of breaker, in words."""
    policy = view.breaker.policy
    names = ["kind", *BY_KIND[policy.kind], *COMMON[1:]]
    names += [n for n in ("success_threshold", "slow_call_seconds") if getattr(policy, n)]
    names += ["max_failure_cycles"] if policy.auto_disable_enabled else []
    return {name.replace("_", " "): _setting(name, getattr(policy, name)) for name in names}


def _setting(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    if name in {"recovery_timeout", "longest_wait", "window_seconds", "slow_call_seconds"}:
        return words.duration(value)
    return f"\N{MULTIPLICATION SIGN} {value:g}" if name == "recovery_backoff" else str(value)


@cache
def _environment() -> Environment:
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
        iso=views.timestamp,
    )
    environment.globals.update(asset=assets.url, words=words.STATES)
    return environment


def _page(template: str, services: Services, **context: Any) -> web.Response:
    text = (
        _environment()
        .get_template(template)
        .render(
            **context,
            now=services.clock.time(),
            version=services.version,
            started_at=services.started_at,
        )
    )
    headers = {"X-Now": f"{services.clock.time():.3f}"}
    return web.Response(text=text, content_type="text/html", headers=headers)
