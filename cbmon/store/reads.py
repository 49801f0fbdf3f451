"""Every question to the database, each as a function of a connection.

Rule: nothing here changes anything; newest first, and a page goes on behind an id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, and_, bindparam, func, not_, or_, select

from cbmon.model import Message, MessageState
from cbmon.store import rows
from cbmon.store.schema import (
    audit,
    breakers,
    incidents,
    outbox,
    planning,
    silences,
    transitions,
)

FAR: Final = 7200.0
"""Seconds; nothing is put off for so long, so a time further ahead was written before the wall
clock went back, and counts as due."""


def _heads() -> Any:
    """The condition for pending messages of a line with no pending one before them."""
    earlier = outbox.alias("earlier")
    blocked = (
        select(earlier.c.id)
        .where(
            earlier.c.state == str(MessageState.PENDING),
            earlier.c.receiver == outbox.c.receiver,
            earlier.c.incident == outbox.c.incident,
            earlier.c.sequence < outbox.c.sequence,
        )
        .exists()
    )
    mine = and_(outbox.c.receiver == bindparam("line"), outbox.c.state == str(MessageState.PENDING))
    return and_(mine, not_(blocked))


# Built once: making a statement costs as much as running it.
PENDING: Final = (
    select(outbox)
    .where(
        _heads(),
        or_(
            outbox.c.next_attempt_at <= bindparam("now"),
            outbox.c.next_attempt_at > bindparam("far"),
        ),
    )
    .order_by(outbox.c.created_at, outbox.c.incident, outbox.c.id)
    .limit(bindparam("most"))
)
NEXT_ATTEMPT: Final = select(func.min(outbox.c.next_attempt_at)).where(_heads())


def load_breakers(connection: Connection) -> dict[str, dict[str, Any]]:
    """Snapshots by component; one that is no JSON object reads as an empty one."""
    found = connection.execute(select(breakers.c.component, breakers.c.snapshot))
    return {component: _object(snapshot) for component, snapshot in found}


def list_transitions(
    connection: Connection, component: str | None, limit: int, before: str | None
) -> list[dict[str, Any]]:
    """Moves, newest first."""
    query = _page(transitions, limit, before)
    if component is not None:
        query = query.where(transitions.c.component == component)
    return [rows.transition_dict(row) for row in connection.execute(query).mappings()]


def list_incidents(
    connection: Connection, *, open_only: bool, limit: int, before: str | None
) -> list[dict[str, Any]]:
    """Incidents, newest first, with who was told."""
    query = _page(incidents, limit, before)
    if open_only:
        query = query.where(incidents.c.ended_at.is_(None))
    found = {row["id"]: dict(row) for row in connection.execute(query).mappings()}
    for incident in found.values():
        incident |= {"receivers": [], "sequence": 0}
    told = (
        select(outbox.c.incident, outbox.c.receiver, func.max(outbox.c.sequence))
        .where(outbox.c.incident.in_(query.with_only_columns(incidents.c.id).scalar_subquery()))
        .group_by(outbox.c.incident, outbox.c.receiver)
        .order_by(outbox.c.receiver)
    )
    for name, receiver, sequence in connection.execute(told):
        incident = found[name]
        incident["receivers"].append(receiver)
        incident["sequence"] = max(incident["sequence"], sequence)
    return list(found.values())


def load_planning(connection: Connection) -> dict[str, dict[str, Any]]:
    """What lines know and wait for, by key; a row that is no JSON object is left out."""
    found = connection.execute(select(planning.c.key, planning.c.value))
    return {key: row for key, value in found if (row := _object(value))}


def list_silences(connection: Connection, ends_after: float | None) -> list[dict[str, Any]]:
    """Silences, newest first."""
    query = select(silences).order_by(silences.c.id.desc())
    if ends_after is not None:
        query = query.where(silences.c.ends_at > ends_after)
    return [rows.silence_dict(row) for row in connection.execute(query).mappings()]


def list_audit(connection: Connection, limit: int, before: str | None) -> list[dict[str, Any]]:
    """What people did, newest first."""
    return [dict(row) for row in connection.execute(_page(audit, limit, before)).mappings()]


def pending(connection: Connection, receiver: str, now: float, limit: int) -> list[Message]:
    """The heads that are due, oldest first."""
    values = {"line": receiver, "now": now, "far": now + FAR, "most": limit}
    return [rows.message_of(row) for row in connection.execute(PENDING, values).mappings()]


def next_attempt(connection: Connection, receiver: str) -> float | None:
    """When the earliest head is due."""
    due: float | None = connection.execute(NEXT_ATTEMPT, {"line": receiver}).scalar()
    return due


def line(connection: Connection, receiver: str, incident: str) -> list[Message]:
    """Everything of one incident for one receiver, in order."""
    query = (
        select(outbox)
        .where(outbox.c.receiver == receiver, outbox.c.incident == incident)
        .order_by(outbox.c.sequence)
    )
    return [rows.message_of(row) for row in connection.execute(query).mappings()]


def lines(
    connection: Connection, receiver: str, incidents: Sequence[str]
) -> dict[str, list[Message]]:
    """Everything of some incidents for one receiver, each in order."""
    found: dict[str, list[Message]] = {name: [] for name in incidents}
    query = (
        select(outbox)
        .where(outbox.c.receiver == receiver, outbox.c.incident.in_(list(found)))
        .order_by(outbox.c.sequence)
    )
    for row in connection.execute(query).mappings():
        found[row["incident"]].append(rows.message_of(row))
    return found


def list_messages(
    connection: Connection,
    receiver: str | None,
    state: MessageState | None,
    limit: int,
    before: str | None,
) -> list[Message]:
    """Messages, newest first."""
    query = select(outbox).order_by(outbox.c.created_at.desc(), outbox.c.id.desc()).limit(limit)
    if receiver is not None:
        query = query.where(outbox.c.receiver == receiver)
    if state is not None:
        query = query.where(outbox.c.state == state)
    if before is not None:
        query = query.where(_older(before))
    return [rows.message_of(row) for row in connection.execute(query).mappings()]


def backlog(connection: Connection) -> dict[str, tuple[int, float | None, int]]:
    """By receiver: how many are pending, since when, and how many are dead."""
    query = (
        select(outbox.c.receiver, outbox.c.state, func.count(), func.min(outbox.c.created_at))
        .where(outbox.c.state.in_([MessageState.PENDING, MessageState.DEAD]))
        .group_by(outbox.c.receiver, outbox.c.state)
    )
    found: dict[str, tuple[int, float | None, int]] = {}
    for receiver, state, count, oldest in connection.execute(query):
        waiting, since, dead = found.get(receiver, (0, None, 0))
        if state == MessageState.PENDING:
            waiting, since = count, oldest
        else:
            dead = count
        found[receiver] = (waiting, since, dead)
    return found


def _older(than: str) -> Any:
    other = outbox.alias("other")
    made = select(other.c.created_at).where(other.c.id == than).scalar_subquery()
    same = and_(outbox.c.created_at == made, outbox.c.id < than)
    return (outbox.c.created_at < made) | same


def _page(table: Table, limit: int, before: str | None) -> Select[Any]:
    query = select(table).order_by(table.c.id.desc()).limit(limit)
    return query if before is None else query.where(table.c.id < before)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
