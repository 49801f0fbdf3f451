"""From members to the message that lies in the outbox.

Rule: a message says what happened, complete and in no receiver's own form. One that tells of
several outages holds each of them in ``entries``, just as a message of its own would tell it; its
id depends only on its place in the line, so that making it again makes the same message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cbmon.events import Transition
from cbmon.model import BreakerInfo, Message
from cbmon.notify.groups import Group, Member
from cbmon.notify.incidents import Incident

WITHDRAWN: Final = "withdrawn"
"""The kind of the message that ends an incident whose component is no longer configured."""
ENDINGS: Final = frozenset({"recovered", WITHDRAWN, "reconnected"})
"""The kinds that tell of an end; a ``settled`` one does when its body says ``over``."""
UNCHANGED: Final = "unchanged"
"""The kind of an entry that is no news: it goes on, and the receiver knows."""
UPDATED: Final = "updated"
REMINDER: Final = "reminder"
NAMES_SHOWN: Final = 5

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What every message says of the daemon that sends it."""

    external_url: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    dashboard_url: str | None = None


def facts_of(info: BreakerInfo, site: Site) -> Body:
    """What a component is."""
    return {
        "component": info.name,
        "category": str(info.category),
        "group": info.group,
        "target": info.target,
        "type": info.kind,
        "labels": {**site.labels, **info.labels},
        "tags": list(info.tags),
        "depends_on": list(info.depends_on),
    } | ({"receivers": list(info.receivers)} if info.receivers else {})


def move_of(move: Transition, incident: Incident) -> Body:
    """How it moved."""
    return {
        "state": str(move.to_state),
        "from_state": str(move.from_state),
        "cause": str(move.cause),
        "text": move.text,
        "actor": move.actor,
        "at": move.at,
        "retry_after": move.retry_after,
        "failure_count": move.failure_count,
        "cycles": move.cycles,
        "trials": incident.trials,
        "reason": incident.reason,
        "last_error": incident.last_error,
    }


def entry_of(member: Member, kind: str, line: str, site: Site) -> Body:
    """The body that tells of one member."""
    return {
        **member.facts,
        **member.move,
        "external_url": site.external_url,
        "dashboard_url": site.dashboard_url,
        "incident": member.incident,
        "episode": member.key,
        "started_at": member.started_at,
        "ended_at": member.ended_at,
        "over": member.is_over,
        "kind": kind,
        "receiver": line.partition("/")[0],
    } | ({"folded": True} if member.is_over and member.told is None else {})


def message_of(
    group: Group, entries: Sequence[Body], thread: str, now: float, kind: str | None = None
) -> Message:
    """The next message of a group; ``kind`` for what is not told by the entries themselves."""
    sequence = group.sequence + 1
    body = combined(entries, group.labels, first=sequence == 1)
    if kind is not None:
        body["kind"] = kind
    absorbed = {"absorbs": list(group.absorbs)} if group.absorbs else {}
    digest = hashlib.sha256(f"{group.line}\0{thread}\0{sequence}".encode()).hexdigest()
    return Message(
        id=f"msg_{digest[:32]}",
        receiver=group.line,
        incident=thread,
        sequence=sequence,
        kind=str(body["kind"]),
        created_at=now,
        body=body | absorbed,
    )


def combined(
    entries: Sequence[Body], labels: Mapping[str, str] | None = None, *, first: bool = False
) -> Body:
    """One body for all entries: the entry itself if it is one, else what they have in common."""
    if len(entries) == 1:
        return dict(entries[0])
    over = all(entry["over"] for entry in entries)
    lead = entries[0]
    names = ", ".join(str(entry["component"]) for entry in entries[:NAMES_SHOWN])
    more = ", …" if len(entries) > NAMES_SHOWN else ""
    ends = [entry["ended_at"] for entry in entries if entry["ended_at"] is not None]
    going_on = "recovered" if over else "opened" if first else UPDATED
    return {
        "component": f"{len(entries)} components ({names}{more})",
        "category": _common(entries, "category") or lead["category"],
        "group": _common(entries, "group") or "",
        "target": "",
        "type": "",
        "labels": _common_labels(entries),
        "tags": [],
        "depends_on": [],
        "external_url": lead["external_url"],
        "dashboard_url": lead.get("dashboard_url"),
        "incident": lead["incident"],
        "episode": None,
        "started_at": min(entry["started_at"] for entry in entries),
        "ended_at": max(ends) if over and ends else None,
        "over": over,
        "state": "closed" if over else "open",
        "from_state": "",
        "cause": "",
        "text": "",
        "actor": None,
        "at": max(entry["at"] for entry in entries),
        "retry_after": None,
        "failure_count": 0,
        "cycles": 0,
        "trials": 0,
        "reason": _common(entries, "reason"),
        "last_error": None,
        "receiver": lead["receiver"],
        "kind": going_on,
        "group_labels": dict(labels or {}),
        "entries": [dict(entry) for entry in entries],
    }


def entries_of(body: Mapping[str, Any]) -> list[Body]:
    """The entries of a message, its own body if it tells of one outage only."""
    found = body.get("entries")
    return [dict(entry) for entry in found] if found else [dict(body)]


def singles(message: Message) -> list[Message]:
    """The same told one by one, for a receiver that does so; of the message's own id."""
    return [
        replace(message, kind=str(entry.get("kind", message.kind)), body=entry)
        for entry in entries_of(message.body)
    ]


def _common(entries: Sequence[Body], name: str) -> Any:
    values = {entry.get(name) for entry in entries}
    return values.pop() if len(values) == 1 else None


def _common_labels(entries: Sequence[Body]) -> dict[str, str]:
    shared = set(entries[0]["labels"].items())
    for entry in entries[1:]:
        shared &= set(entry["labels"].items())
    return dict(sorted(shared))
