"""Pages that are lists: incidents, notifications with their dead letters, and who did what.

Rule: newest first, page by page behind a cursor; nothing is shown that the API would not show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from cbmon.keeping import EventFilter
from cbmon.model import MessageState
from cbmon.web import query as q
from cbmon.web.errors import bad_request, not_found
from cbmon.web.forms import read_form
from cbmon.web.keys import SERVICES
from cbmon.web.rendering import page
from cbmon.web.requests import author_of

PAGE: Final = 50
MESSAGES: Final = tuple(state.value for state in MessageState)
KIND_WORDS: Final = {
    "transition": "Moves",
    "failed": "Failed runs",
    "action": "Actions",
    "refused": "Refusals",
    "settings_changed": "Settings",
    "reload": "Reloads",
}
BLANK: Final = dict.fromkeys(
    ("component", "to_state", "reason", "last_error", "actor", "action", "text", "refused")
)
"""What not every kind of event has."""
KINDS: Final = tuple(KIND_WORDS)
REFUSED: Final = {"yes": True, "no": False}


async def incidents(request: web.Request) -> web.Response:
    """Outages: those that go on, then those that are over."""
    query = q.parameters(request, ("cursor",))
    services, before = request.app[SERVICES], q.cursor_key(query)
    found = await services.incidents(limit=PAGE + 1, before=before)
    going_on = await services.incidents(open_only=True, limit=PAGE) if before is None else []
    shown = found[:PAGE]
    return page(
        request,
        "incidents.html",
        here="/incidents",
        going_on=going_on,
        over=[one for one in shown if one["ended_at"] is not None],
        older=_older("/incidents", {}, str(shown[-1]["id"]) if len(found) > PAGE else None),
    )


async def events(request: web.Request) -> web.Response:
    """What happened to a component, or to all of them: failed runs, moves, actions, settings."""
    query = q.parameters(request, ("component", "kind", "cursor"))
    wanted = {name: query[name] for name in ("component", "kind") if query.get(name)}
    kind = q.one_of(wanted, "kind", KINDS)
    found = await request.app[SERVICES].record.events(
        EventFilter(
            component=wanted.get("component"), kinds=None if kind is None else frozenset({kind})
        ),
        limit=PAGE + 1,
        before=q.cursor_key(query),
    )
    shown = found[:PAGE]
    return page(
        request,
        "events.html",
        rows=[{**BLANK, **row} for row in shown],
        component=wanted.get("component", ""),
        kind=kind or "",
        kinds=KIND_WORDS,
        older=_older("/events", wanted, str(shown[-1]["id"]) if len(found) > PAGE else None),
    )


async def notifications(request: web.Request) -> web.Response:
    """Messages of the outbox."""
    query = q.parameters(request, ("outcome", "receiver", "cursor", "done"))
    wanted = {name: query[name] for name in ("outcome", "receiver") if query.get(name)}
    outcome = q.one_of(wanted, "outcome", MESSAGES)
    messaging = request.app[SERVICES].notifying
    found = await messaging.messages(
        receiver=wanted.get("receiver"),
        state=None if outcome is None else MessageState(outcome),
        limit=PAGE + 1,
        before=q.cursor_key(query),
    )
    dead = await messaging.messages(state=MessageState.DEAD, limit=PAGE + 1)
    shown = found[:PAGE]
    return page(
        request,
        "notifications.html",
        here="/notifications",
        messages=shown,
        known={view.info.name for view in request.app[SERVICES].components()},
        dead=len(dead),
        most=PAGE,
        outcome=outcome or "",
        receiver=wanted.get("receiver", ""),
        outcomes=MESSAGES,
        older=_older("/notifications", wanted, shown[-1].id if len(found) > PAGE else None),
        done="It is in line again." if query.get("done") == "retry" else "",
    )


async def retry(request: web.Request) -> web.Response:
    """Send a dead letter again."""
    fields = await read_form(request, {"id"})
    message = fields.get("id", "")
    if not message:
        raise bad_request("the form names no message", field="id")
    services = request.app[SERVICES]
    if not await services.notifying.retry(message):
        raise not_found(f"no dead letter {message[:40]!r}", id=message[:40])
    services.record.note("resend", author_of(request), details={"id": message})
    raise web.HTTPSeeOther("/notifications?outcome=dead&done=retry")


async def audit(request: web.Request) -> web.Response:
    """Who did what, and who was refused what."""
    query = q.parameters(request, ("component", "actor", "refused", "cursor"))
    wanted = {name: query[name] for name in ("component", "actor", "refused") if query.get(name)}
    refused = q.one_of(wanted, "refused", tuple(REFUSED))
    record = request.app[SERVICES].record
    found = await record.audit(
        EventFilter(
            component=wanted.get("component"),
            actor=wanted.get("actor"),
            refused=None if refused is None else REFUSED[refused],
        ),
        limit=PAGE + 1,
        before=_place(q.cursor_key(query)),
    )
    shown = found[:PAGE]
    return page(
        request,
        "audit.html",
        here="/audit",
        rows=[{**BLANK, **row} for row in shown],
        component=wanted.get("component", ""),
        actor=wanted.get("actor", ""),
        refused=refused or "",
        older=_older("/audit", wanted, str(shown[-1]["seq"]) if len(found) > PAGE else None),
    )


def _place(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise bad_request("cursor: expected the one of an earlier page", parameter="cursor")
    return int(cursor)


def _older(path: str, wanted: Mapping[str, Any], key: str | None) -> str:
    """The address of the next page; empty on the last one."""
    if key is None:
        return ""
    return f"{path}?{urlencode({**wanted, 'cursor': q.to_cursor(key)})}"
