"""Facts to rows and back.

Rule: the only place that knows how a fact lies in its table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import RowMapping

from cbmon.events import Action, RunFailed, SettingsChanged, Transition
from cbmon.model import UP_STATES, Message, MessageState
from cbmon.store.schema import cleaned

Row = dict[str, Any]


def encoded(value: object) -> str:
    """JSON as it is stored. TypeError for what JSON does not know."""
    return json.dumps(value, separators=(",", ":"))


def transition_row(move: Transition) -> Row:
    """A row of ``transitions``."""
    return {
        "id": move.id,
        "at": move.at,
        "component": move.component,
        "category": str(move.category),
        "from_state": str(move.from_state),
        "to_state": str(move.to_state),
        "cause": str(move.cause),
        "text": move.text,
        "reason": None if move.reason is None else str(move.reason),
        "last_error": move.last_error,
        "actor": move.actor,
        "incident": move.incident,
        "incident_started_at": move.incident_started_at,
        "retry_after": move.retry_after,
        "failure_count": move.failure_count,
        "cycles": move.cycles,
        "trips": move.trips,
        "info": encoded(asdict(move.info)),
    }


def transition_dict(row: RowMapping) -> Row:
    """A transition as :func:`cbmon.events.as_json` gives it."""
    return {"kind": Transition.kind, **row, "info": json.loads(row["info"])}


def incident_row(move: Transition) -> Row:
    """The row of ``incidents`` that a move begins; later moves only add to it."""
    return {
        "id": move.incident,
        "component": move.component,
        "category": str(move.category),
        "started_at": move.at if move.incident_started_at is None else move.incident_started_at,
        "ended_at": None,
        "cause": str(move.cause),
        "last_state": str(move.to_state),
        "reason": None,
        "last_error": None,
        "moves": 0,
        "trials": 0,
    }


def incident_changes(move: Transition) -> Row:
    """What a move changes in its incident: parameters of ``writes.FOLLOW``."""
    return {
        "known": move.incident,
        "state": str(move.to_state),
        "ended": move.at if move.to_state in UP_STATES else None,
        "trial": int(move.to_state == "half_open"),
        "why": None if move.reason is None else str(move.reason),
        "error": move.last_error,
    }


def message_row(message: Message) -> Row:
    """A row of ``outbox``."""
    return {
        "id": message.id,
        "receiver": message.receiver,
        "incident": message.incident,
        "sequence": message.sequence,
        "kind": message.kind,
        "state": str(message.state),
        "created_at": message.created_at,
        "attempts": message.attempts,
        "next_attempt_at": message.next_attempt_at,
        "finished_at": None,
        "last_error": message.last_error,
        "body": encoded(message.body),
    }


def message_of(row: RowMapping) -> Message:
    """The message in a row of ``outbox``."""
    return Message(
        id=row["id"],
        receiver=row["receiver"],
        incident=row["incident"],
        sequence=row["sequence"],
        kind=row["kind"],
        created_at=row["created_at"],
        body=json.loads(row["body"]),
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        last_error=row["last_error"],
        state=MessageState(row["state"]),
    )


SETTINGS_ACTIONS: Final = ("change_settings", "remove_settings", "change_defaults")
"""Actions that are told as changes of settings."""


def action_row(action: Action) -> Row:
    """A row of ``audit`` without its place in the chain, as it will be read again."""
    return {
        "id": action.id,
        "at": float(action.at),
        "component": cleaned(action.component),
        "action": action.action,
        "actor": cleaned(action.actor),
        "text": cleaned(action.text),
        "refused": None if action.refused is None else cleaned(action.refused),
        "request": action.request,
        "details": cleaned(encoded(dict(action.details))),
    }


def audit_dict(row: RowMapping) -> Row:
    """A row of ``audit`` for a reader."""
    return {**row, "details": json.loads(row["details"])}


def action_dict(row: RowMapping) -> Row:
    """A row of ``audit`` as an event."""
    kind = _kind_of(row)
    its = {key: value for key, value in row.items() if key not in {"seq", "hash"}}
    return {**its, "kind": kind, "details": json.loads(row["details"])}


def move_dict(row: RowMapping) -> Row:
    """A transition as an event; into and out of disabled have kinds of their own."""
    its = {key: value for key, value in row.items() if key != "info"}
    kind = Transition.kind
    if row["to_state"] == "disabled":
        kind = "disabled"
    elif row["from_state"] == "disabled":
        kind = "enabled"
    return {**its, "kind": kind}


def failure_row(failed: RunFailed) -> Row:
    """A row of ``failures``."""
    return {
        "id": failed.id,
        "at": failed.at,
        "component": failed.component,
        "category": str(failed.category),
        "reason": str(failed.reason),
        "error": failed.error,
        "duration": failed.duration,
    }


def failure_dict(row: RowMapping) -> Row:
    """A failed run as an event."""
    its = {key: value for key, value in row.items() if key not in {"error", "duration"}}
    seconds = {"last_error": row["error"], "duration_seconds": row["duration"]}
    return {**its, **seconds, "kind": RunFailed.kind, "text": row["error"]}


def _kind_of(row: RowMapping) -> str:
    if row["refused"] is not None:
        return "refused"
    if row["action"] in SETTINGS_ACTIONS:
        return SettingsChanged.kind
    return "reload" if row["action"] == "reload" else Action.kind


def planning_row(key: str, value: Mapping[str, Any]) -> Row:
    """A row of ``planning``."""
    return {"key": key, "value": encoded(value)}


def silence_row(silence: Mapping[str, Any]) -> Row:
    """A row of ``silences``."""
    return {**silence, "matchers": encoded(list(silence["matchers"]))}


def silence_dict(row: RowMapping) -> Row:
    """A silence, with its matchers as texts."""
    return {**row, "matchers": json.loads(row["matchers"])}


def snapshot_rows(snapshots: Mapping[str, Mapping[str, Any]], now: float) -> list[Row]:
    """Rows of ``breakers``."""
    return [
        {"component": name, "snapshot": encoded(snapshot), "saved_at": now}
        for name, snapshot in snapshots.items()
    ]
