"""From a decision to the message that lies in the outbox.

Rule: a message says what happened, complete and in no receiver's own form; its id depends only on
the event and the line, so that making it again makes the same message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cbmon.events import Transition
from cbmon.model import BreakerInfo, Message
from cbmon.notify.incidents import Change, Incident

WITHDRAWN: Final = "withdrawn"
"""The kind of the message that ends an incident whose component is no longer configured."""
ENDINGS: Final = frozenset({str(Change.RECOVERED), WITHDRAWN})
"""The kinds after which nothing more comes of an incident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What every message says of the daemon that sends it."""

    external_url: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def message_of(
    move: Transition, change: Change, incident: Incident, line: str, site: Site
) -> Message:
    """The message that tells a line of a transition."""
    ended = move.at if change is Change.RECOVERED else None
    body = _component(move.info, site) | _outage(incident, ended) | _state(move)
    return _message(move.id, line, incident, str(change), at=move.at, body=body)


def withdrawal_of(
    event_id: str, info: BreakerInfo, incident: Incident, line: str, *, at: float, site: Site
) -> Message:
    """The message that ends an incident which nobody watches any more."""
    state = {"state": "closed", "text": "it is no longer configured"}
    body = _component(info, site) | _outage(incident, at) | state
    return _message(event_id, line, incident, WITHDRAWN, at=at, body=body)


def _message(
    event_id: str, line: str, incident: Incident, kind: str, *, at: float, body: dict[str, Any]
) -> Message:
    digest = hashlib.sha256(f"{event_id}\0{line}\0{kind}".encode()).hexdigest()
    return Message(
        id=f"msg_{digest[:32]}",
        receiver=line,
        incident=incident.id,
        sequence=incident.sequence,
        kind=kind,
        created_at=at,
        body=body | {"kind": kind, "receiver": line.partition("/")[0]},
    )


def _component(info: BreakerInfo, site: Site) -> dict[str, Any]:
    return {
        "component": info.name,
        "category": str(info.category),
        "group": info.group,
        "target": info.target,
        "type": info.kind,
        "labels": {**site.labels, **info.labels},
        "tags": list(info.tags),
        "depends_on": list(info.depends_on),
        "external_url": site.external_url,
    }


def _outage(incident: Incident, ended_at: float | None) -> dict[str, Any]:
    return {
        "incident": incident.id,
        "started_at": incident.started_at,
        "ended_at": ended_at,
        "trials": incident.trials,
        "reason": incident.reason,
        "last_error": incident.last_error,
    }


def _state(move: Transition) -> dict[str, Any]:
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
    }
