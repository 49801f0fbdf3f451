"""The public status page and its badges: for everybody, when the configuration switches it on.

Rule: names, groups, states and times; no target, no error, no label, no reason, no person. What it
needs of the store is asked once for all who look.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from cbmon.breaker import State
from cbmon.errors import StoreError
from cbmon.model import Category
from cbmon.results.store import Series
from cbmon.web import query as q
from cbmon.web import uptime, words
from cbmon.web.badges import badge
from cbmon.web.errors import not_found
from cbmon.web.keys import SERVICES
from cbmon.web.known import DAYS, KNOWN, OVER
from cbmon.web.rendering import template_of
from cbmon.web.services import ComponentView, Services

log = logging.getLogger(__name__)

FRESH: Final = 15.0
PATIENCE: Final = 2.0
MOST: Final = 1000
"""Incidents that are looked at."""
RECENT: Final = 10
ANEW: Final = 2.0
LINES: Final = 300
"""Checks on the page; the verdict at its top is of all of them."""
PUBLIC: Final = {"Cache-Control": "public, max-age=15"}
EMBEDDED: Final = {**PUBLIC, "Cross-Origin-Resource-Policy": "cross-origin"}


@dataclass(frozen=True, slots=True)
class Saying:
    """A state for the public: its words, how bad it is (0 first), and its colour."""

    label: str
    badness: int
    colour: str


SAYINGS: Final = {
    State.OPEN: Saying("Down", 0, "bad"),
    State.FORCED_OPEN: Saying("Down", 0, "bad"),
    State.DISABLED: Saying("Out of service", 1, "off"),
    State.HALF_OPEN: Saying("Recovering", 2, "warn"),
    State.CLOSED: Saying("Operational", 3, "good"),
    State.OBSERVE: Saying("Operational", 3, "good"),
    State.FORCED_CLOSED: Saying("Operational", 3, "good"),
}
HEADLINES: Final = {
    0: "Some systems are down",
    1: "Some systems are out of service",
    2: "Some systems are recovering",
    3: "All systems are operational",
}


Outage = tuple[float, float | None]
"""When it began and when it ended, in Unix seconds; None goes on."""


@dataclass(frozen=True, slots=True)
class Past:
    """The latest outages of everything, newest first."""

    by_component: dict[str, list[Outage]] = field(default_factory=dict)
    readable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One check on the page."""

    name: str
    state: str
    saying: Saying
    days: Sequence[uptime.Day]
    share: float | None


class Outages:
    """Asks for the past once in a while."""

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._clock = clock
        self._past = Past()
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def get(self) -> Past:
        """The past, at most some seconds old; without the store, what was known before."""
        async with self._asking:
            if self._clock() - self._asked_at >= FRESH:
                self._asked_at = self._clock()
                self._past = await self._ask()
            return self._past

    async def _ask(self) -> Past:
        try:
            async with asyncio.timeout(PATIENCE):
                rows = await self._services.incidents(limit=MOST)
        except (StoreError, TimeoutError) as error:
            log.warning("history is not readable", extra={"fields": {"error": str(error)}})
            return Past(self._past.by_component, readable=False)
        return _past(rows)


OUTAGES: Final[web.AppKey[Outages]] = web.AppKey("outages", Outages)


Days = Mapping[str, Series]


class Front:
    """The page as everybody gets it, written at most every :data:`ANEW` seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._text = ""
        self._of: tuple[object, ...] = ()
        self._past: Past | None = None
        self._days: Days | None = None
        self._written_at = float("-inf")

    def get(self, services: Services, past: Past, days: Days, *, readable: bool) -> str:
        """The text; written anew too when the configuration of the page is another one."""
        options = services.status_page
        of = (options.title, tuple(options.groups), readable)
        same = of == self._of and past is self._past and days is self._days
        if not same or self._clock() - self._written_at >= ANEW:
            self._text = _write(services, past, days, readable=readable)
            self._of, self._past, self._days = of, past, days
            self._written_at = self._clock()
        return self._text


FRONT: Final[web.AppKey[Front]] = web.AppKey("front", Front)


async def public_page(request: web.Request) -> web.Response:
    """The page."""
    services, known = request.app[SERVICES], request.app[KNOWN]
    shown = _public(services)[:LINES]
    past = await request.app[OUTAGES].get()
    days = await known.days([view.info.name for view in shown])
    readable = past.readable and known.readable
    text = request.app[FRONT].get(services, past, days, readable=readable)
    return web.Response(text=text, content_type="text/html", headers=PUBLIC)


def _write(services: Services, past: Past, days: Days, *, readable: bool) -> str:
    options, now = services.status_page, services.clock.time()
    public = _public(services)
    shown = public[:LINES]
    groups: dict[str, list[Line]] = {}
    for view in shown:
        line = _line(view, days.get(view.info.name, {}), now)
        groups.setdefault(view.info.group, []).append(line)
    order = options.groups or sorted(groups)
    lines = [line for group in groups.values() for line in group]
    worst = min((SAYINGS[view.breaker.state].badness for view in public), default=3)
    text: str = template_of("public.html").render(
        title=options.title,
        headline=HEADLINES[worst] if lines else "Nothing is shown here",
        worst=worst,
        groups=[(name, groups[name]) for name in order if name in groups],
        recent=_recent(past, {line.name for line in lines}),
        readable=readable,
        more=len(public) - len(shown),
        now=now,
    )
    return text


async def public_badge(request: web.Request) -> web.Response:
    """The badge of one check: its state, or how much of a time it was up."""
    services = request.app[SERVICES]
    view = _public_one(services, request.match_info["name"])
    query = q.parameters(request, ("show", "over", "label"))
    show = q.one_of(query, "show", ("state", "uptime")) or "state"
    over = q.one_of(query, "over", tuple(OVER)) or "30d"
    label = (query.get("label") or view.info.name) if show == "state" else query.get("label")
    if show == "state":
        saying = SAYINGS[view.breaker.state]
        picture = badge(label or "", saying.label.lower(), saying.colour)
    else:
        share = await request.app[KNOWN].share(view.info.name, over)
        picture = badge(label or f"uptime {over}", words.percent(share), _colour(share))
    return web.Response(text=picture, content_type="image/svg+xml", headers=EMBEDDED)


def _public(services: Services) -> list[ComponentView]:
    """The checks that are public; ApiError when nothing is."""
    options = services.status_page
    if not options.enabled:
        raise not_found("there is no public status page; see web.status_page")
    wanted = set(options.groups)
    return [
        view
        for view in services.components()
        if view.info.category is Category.CHECK
        and view.info.group
        and (not wanted or view.info.group in wanted)
    ]


def _public_one(services: Services, name: str) -> ComponentView:
    for view in _public(services):
        if view.info.name == name:
            return view
    raise not_found("no such check is public")


def _line(view: ComponentView, by_day: Series, now: float) -> Line:
    state = view.breaker.state
    days = uptime.days(by_day, now=now, count=DAYS)
    return Line(
        name=view.info.name,
        state=state.value,
        saying=SAYINGS[state],
        days=days,
        share=uptime.uptime(by_day, since=days[0].start),
    )


def _colour(share: float | None) -> str:
    if share is None:
        return "unknown"
    return "good" if share >= 0.99 else "warn" if share >= 0.9 else "bad"


def _recent(past: Past, names: set[str]) -> list[tuple[str, float, float | None]]:
    """The latest outages of what is public: name, beginning, end."""
    found = [
        (name, began, ended)
        for name in names
        for began, ended in past.by_component.get(name, [])[:RECENT]
    ]
    return sorted(found, key=lambda one: -one[1])[:RECENT]


def _past(rows: Sequence[dict[str, Any]]) -> Past:
    found: dict[str, list[Outage]] = defaultdict(list)
    for row in rows:
        found[str(row["component"])].append((float(row["started_at"]), row["ended_at"]))
    return Past(dict(found))
