"""The API of what happened: events of every kind, and the audit log with its proof.

Rule: newest first; a cursor goes on exactly behind the last entry, whatever came in meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from cbmon.keeping import EventFilter
from cbmon.web import query as q
from cbmon.web import views
from cbmon.web.edge import answer
from cbmon.web.errors import bad_request
from cbmon.web.keys import SERVICES
from cbmon.web.route import API, Route

KINDS: Final = (
    "failed",
    "transition",
    "disabled",
    "enabled",
    "action",
    "settings_changed",
    "reload",
    "refused",
)
EVENT_QUERY: Final = ("component", "kind", "since", "until", "limit", "cursor")
AUDIT_QUERY: Final = (
    "component", "actor", "action", "refused", "since", "until", "limit", "cursor",
)  # fmt: skip


async def events(request: web.Request) -> web.Response:
    """Failed runs, moves, actions, refusals and changes of settings, newest first."""
    query = q.parameters(request, EVENT_QUERY)
    size = q.limit(query)
    wanted = EventFilter(
        component=query.get("component"),
        kinds=kinds_of(query),
        since=q.moment(query, "since"),
        until=q.moment(query, "until"),
    )
    rows = await request.app[SERVICES].record.events(
        wanted, limit=size + 1, before=q.cursor_key(query)
    )
    shown = rows[:size]
    cursor = q.to_cursor(str(shown[-1]["id"])) if len(rows) > size else None
    return answer({"events": [views.event(row) for row in shown], "next_cursor": cursor})


async def audit(request: web.Request) -> web.Response:
    """What people did and what they were refused, newest first."""
    query = q.parameters(request, AUDIT_QUERY)
    size = q.limit(query)
    refused = q.one_of(query, "refused", ("true", "false"))
    wanted = EventFilter(
        component=query.get("component"),
        actor=query.get("actor"),
        action=query.get("action"),
        refused=None if refused is None else refused == "true",
        since=q.moment(query, "since"),
        until=q.moment(query, "until"),
    )
    rows = await request.app[SERVICES].record.audit(wanted, limit=size + 1, before=_place(query))
    shown = rows[:size]
    cursor = q.to_cursor(str(shown[-1]["seq"])) if len(rows) > size else None
    return answer({"audit": [_entry(row) for row in shown], "next_cursor": cursor})


async def verify(request: web.Request) -> web.Response:
    """Whether the audit log is whole, or the first row where it is not."""
    q.parameters(request, ())
    return answer(await request.app[SERVICES].record.verify())


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "at": views.timestamp(row["at"])}


def kinds_of(query: Mapping[str, str]) -> frozenset[str] | None:
    """The kinds of events that are asked for, or None for all."""
    text = query.get("kind")
    if text is None:
        return None
    wanted = frozenset(part.strip() for part in text.split(","))
    for one in wanted:
        q.one_of({"kind": one}, "kind", KINDS)
    return wanted


def _place(query: Mapping[str, str]) -> int | None:
    key = q.cursor_key(query)
    if key is None:
        return None
    if not key.isdecimal() or not key.isascii() or len(key) > 18:
        raise bad_request(
            "cursor: expected the next_cursor of an earlier answer", parameter="cursor"
        )
    return int(key)


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        path=f"{API}/events",
        handler=events,
        summary="Failed runs, moves, actions, refusals and changes of settings, newest first",
        answer="Events",
        errors=(400, 503),
        query=EVENT_QUERY,
    ),
    Route(
        path=f"{API}/audit",
        handler=audit,
        summary="What people did and what they were refused, newest first",
        answer="Audit",
        errors=(400, 503),
        query=AUDIT_QUERY,
    ),
    Route(
        path=f"{API}/audit/verify",
        handler=verify,
        summary="Whether the audit log is whole, or the first row where it is not",
        answer="AuditReport",
        errors=(400, 503),
    ),
)
