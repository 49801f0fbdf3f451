"""The API of results: what the runs of a check found, one by one or summed up.

Rule: oldest first. Without a resolution the range chooses it: the finest one of which there are
not too many in it, and which reaches back that far.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from aiohttp import web

from cbmon.results.chunks import Sample
from cbmon.results.series import bucket
from cbmon.results.store import LEVELS, RAW, Series, Span
from cbmon.results.summary import TICK, Summary, total, word_of
from cbmon.web import query as q
from cbmon.web import views
from cbmon.web.api import check_component
from cbmon.web.edge import answer
from cbmon.web.errors import bad_request
from cbmon.web.history import DAY, HOUR, series_of
from cbmon.web.keys import SERVICES
from cbmon.web.route import API, Route
from cbmon.web.services import Services

RESOLUTIONS: Final = {"raw": RAW, **dict(zip(("5m", "1h", "1d"), LEVELS, strict=True))}
WORDS: Final = {level: word for word, level in RESOLUTIONS.items()}
LONGEST: Final = {RAW: 2 * HOUR, 300: 2 * DAY, 3600: 31 * DAY}
"""The longest range for which a resolution is chosen; days have none."""
QUERY: Final = ("since", "until", "resolution", "limit", "cursor")


async def results(request: web.Request) -> web.Response:
    """A page of results of one check."""
    name = check_component(request).info.name
    query = q.parameters(request, QUERY)
    services = request.app[SERVICES]
    now = services.clock.time()
    since, until = _range(query, now)
    chosen = q.one_of(query, "resolution", tuple(RESOLUTIONS))
    level = _level(services, since, until, now) if chosen is None else RESOLUTIONS[chosen]
    begin = max(since, now - services.kept[level] - level)
    end = min(until, now + max(level, 1))
    place = _place(query)
    if place is not None:
        begin = max(begin, place)
    size = q.limit(query)
    if level == RAW:
        points, following, sums = await _runs(services, name, Span(begin, end), size)
    else:
        points, following, sums = await _sums(services, name, level, Span(begin, end), size)
    return answer(
        {
            "name": name,
            "resolution": WORDS[level],
            "since": views.timestamp(since),
            "until": views.timestamp(until),
            "results": points,
            "total": _point(None, 0, sums),
            "next_cursor": None if following is None else q.to_cursor(repr(following)),
        }
    )


Page = tuple[list[dict[str, Any]], float | None, Summary]


async def _runs(services: Services, name: str, asked: Span, size: int) -> Page:
    if asked.begin >= asked.end:
        return [], None, Summary()
    try:
        found = await services.results.samples(name, *asked, size + 1)
    except KeyError:
        found = []
    shown = [(one.at, _alone(one)) for one in found[:size]]
    following = found[size].at if len(found) > size else None
    points = [_point(at, RAW, its) for at, its in shown]
    return points, following, total(its for _, its in shown)


async def _sums(services: Services, name: str, level: int, asked: Span, size: int) -> Page:
    border = bucket(asked.begin, level) + size * level
    last = min(asked.end, border)
    found: Series = {}
    if asked.begin < last:
        found = await series_of(services.results, name, level, asked.begin, last)
    points = [_point(at, level, its) for at, its in found.items()]
    return points, border if border < asked.end else None, total(found.values())


def _alone(one: Sample) -> Summary:
    its = Summary()
    its.add(one.verdict, one.seconds)
    return its


def _point(at: float | None, seconds: int, its: Summary) -> dict[str, Any]:
    return {
        "at": views.timestamp(at),
        "seconds": seconds,
        "runs": its.runs,
        "failures": its.failures,
        "reasons": {word_of(number): count for number, count in sorted(its.reasons.items())},
        "up_seconds": round(its.up * TICK, 2),
        "down_seconds": round(its.down * TICK, 2),
        "uptime": its.uptime,
        "duration_seconds": _durations(its),
    }


def _durations(its: Summary) -> dict[str, Any] | None:
    if not its.good:
        return None
    return {
        "min": round(its.least, 6),
        "mean": round(its.mean or 0.0, 6),
        "p50": round(its.quantile(0.5) or 0.0, 6),
        "p95": round(its.quantile(0.95) or 0.0, 6),
        "max": round(its.most, 6),
    }


def _range(query: Mapping[str, str], now: float) -> tuple[float, float]:
    until = q.moment(query, "until")
    until = now if until is None else until
    since = q.moment(query, "since")
    since = until - HOUR if since is None else since
    if since >= until:
        raise bad_request("since: expected a time before until", parameter="since")
    return since, until


def _level(services: Services, since: float, until: float, now: float) -> int:
    for level, longest in LONGEST.items():
        if until - since <= longest and since >= now - services.kept[level]:
            return level
    return LEVELS[-1]


def _place(query: Mapping[str, str]) -> float | None:
    key = q.cursor_key(query)
    if key is None:
        return None
    try:
        place = float(key)
    except ValueError:
        place = float("nan")
    if not isfinite(place):
        raise bad_request(
            "cursor: expected the next_cursor of an earlier answer", parameter="cursor"
        )
    return place


ROUTES: Final = (
    Route(
        path=f"{API}/checks/{{name}}/results",
        handler=results,
        summary="What its runs found: one by one, or summed up by five minutes, hours or days",
        answer="Results",
        errors=(400, 404, 503),
        query=QUERY,
    ),
)
