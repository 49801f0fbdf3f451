"""The page of silences: what is held back, a form for another one, and an end to one.

Rule: a silence is for something in particular, for a time, with a reason; the page shows at once
how many components it would cover.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import web

from cbmon.config.routes import Matcher
from cbmon.config.units import parse_duration
from cbmon.notify.routing import labels_of
from cbmon.web import query as q
from cbmon.web.errors import not_found
from cbmon.web.forms import FieldError, line, read_form
from cbmon.web.keys import ACCESS, SERVICES
from cbmon.web.rendering import page
from cbmon.web.requests import author_of
from cbmon.web.services import Services

MOST: Final = 20
LONGEST: Final = 366 * 86_400.0
DONE: Final = {"made": "Silenced.", "ended": "The silence is over."}


async def silences(request: web.Request) -> web.Response:
    """Silences and the form; ``component`` fills it in."""
    query = q.parameters(request, ("component", "expired", "done"))
    name = query.get("component", "")
    given = {"matchers": str(Matcher("component", "=", name))} if name else {}
    return await _page(request, given, expired=query.get("expired") == "true")


async def add(request: web.Request) -> web.Response:
    """Make one."""
    fields = await read_form(request, {"matchers", "for", "reason", "intent"})
    checked = fields.get("intent") == "check"
    try:
        matchers = _matchers(fields.get("matchers", ""))
        seconds = _seconds(fields.get("for", ""))
        reason = line(fields, "reason", needed=True)
    except FieldError as error:
        problems, status = {error.field: error.message}, 200 if checked else 422
        return await _page(request, fields, problems=problems, status=status)
    if checked:
        return await _page(request, fields)
    author = request.app[ACCESS].identity(request).name
    services = request.app[SERVICES]
    made = await services.notifying.mute(matchers, seconds, author=author, reason=reason)
    services.record.note("silence", author_of(request, reason), details={"id": made.id})
    raise web.HTTPSeeOther("/silences?done=made")


async def expire(request: web.Request) -> web.Response:
    """End one now."""
    fields = await read_form(request, {"id"})
    name = fields.get("id", "")
    try:
        await request.app[SERVICES].notifying.expire_silence(name)
    except KeyError:
        raise not_found(f"no silence {name[:40]!r} that goes on", id=name[:40]) from None
    request.app[SERVICES].record.note("expire_silence", author_of(request), details={"id": name})
    raise web.HTTPSeeOther("/silences?done=ended")


async def _page(
    request: web.Request,
    given: Mapping[str, str],
    *,
    problems: Mapping[str, str] | None = None,
    expired: bool = False,
    status: int = 200,
) -> web.Response:
    services = request.app[SERVICES]
    now = services.clock.time()
    found = await services.notifying.silences(expired=expired)
    return page(
        request,
        "silences.html",
        here="/silences",
        status=status,
        silences=[(one, one.state(now), _covered(services, one.matchers)) for one in found],
        given=given,
        covers=_would_cover(services, given.get("matchers", "")),
        problems=problems or {},
        expired=expired,
        done=DONE.get(request.query.get("done", ""), ""),
    )


def _matchers(text: str) -> list[Matcher]:
    """One condition on each line."""
    parts = [part.strip() for part in text.splitlines() if part.strip()]
    if not parts:
        raise FieldError("matchers", 'say what, such as team="shop" or component=~"shop-.*"')
    if len(parts) > MOST:
        raise FieldError("matchers", f"at most {MOST} conditions, this has {len(parts)}")
    try:
        return [Matcher.parse(part) for part in parts]
    except ValueError as error:
        raise FieldError("matchers", str(error)) from error


def _seconds(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise FieldError("for", str(error)) from error
    if not 0 < seconds <= LONGEST:
        raise FieldError("for", f"expected more than 0 and at most a year, got {text[:40]!r}")
    return seconds


def _would_cover(services: Services, text: str) -> list[str] | None:
    """The components that it would cover; None while it cannot be read."""
    try:
        return _covered(services, _matchers(text))
    except FieldError:
        return None


def _covered(services: Services, matchers: Sequence[Matcher]) -> list[str]:
    return [
        view.info.name
        for view in services.components()
        if all(matcher.matches(labels_of(view.info)) for matcher in matchers)
    ]
