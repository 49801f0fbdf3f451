"""Every change of the database, each as a function of a connection inside a transaction.

Rule: doing one twice is doing it once; ids decide what is known already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Connection,
    ScalarSelect,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)

from cbmon.events import Transition
from cbmon.interfaces import Commit
from cbmon.model import MessageState
from cbmon.store import chain, rows
from cbmon.store.backend import Backend
from cbmon.store.record import prune_failures
from cbmon.store.rows import Row
from cbmon.store.schema import (
    CleanText,
    breakers,
    incidents,
    outbox,
    planning,
    silences,
    transitions,
)

CHUNK: Final = 500
"""Values in one IN list; SQLite's own limit is far above."""


def _text(name: str) -> BindParameter[str]:
    return bindparam(name, type_=CleanText())


_PENDING: Final = and_(
    outbox.c.id == bindparam("known"), outbox.c.state == str(MessageState.PENDING)
)
# Built once: making a statement costs as much as running it.
FINISH: Final = (
    update(outbox)
    .where(_PENDING)
    .values(
        state=bindparam("to"),
        finished_at=bindparam("finished_at"),
        attempts=outbox.c.attempts + bindparam("tries"),
        last_error=func.coalesce(_text("error"), outbox.c.last_error),
    )
)
POSTPONE: Final = (
    update(outbox)
    .where(_PENDING)
    .values(
        attempts=outbox.c.attempts + 1,
        next_attempt_at=bindparam("next_attempt_at"),
        last_error=bindparam("error"),
    )
)
FOLLOW: Final = (
    update(incidents)
    .where(incidents.c.id == bindparam("known"))
    .values(
        last_state=bindparam("state"),
        ended_at=bindparam("ended"),
        moves=incidents.c.moves + 1,
        trials=incidents.c.trials + bindparam("trial"),
        reason=func.coalesce(_text("why"), incidents.c.reason),
        last_error=func.coalesce(_text("error"), incidents.c.last_error),
    )
)
SETTLED: Final = (MessageState.DELIVERED, MessageState.DEAD, MessageState.DROPPED)


def commit(connection: Connection, backend: Backend, what: Commit, now: float) -> None:
    """Write a commit; what of it is known already is skipped."""
    moves = _unknown(connection, what.transitions)
    _insert(connection, backend, transitions, [rows.transition_row(move) for move in moves])
    _add_to_incidents(connection, backend, moves)
    _insert(connection, backend, outbox, [rows.message_row(message) for message in what.messages])
    chain.append(connection, what.actions)
    _plan(connection, backend, what.planning)
    snapshots = {move.component: move.snapshot for move in moves if move.snapshot}
    if moves or not what.transitions:
        snapshots |= what.snapshots
    save_snapshots(connection, backend, rows.snapshot_rows(snapshots, now))


def save_snapshots(connection: Connection, backend: Backend, new: Sequence[Row]) -> None:
    """Replace the snapshots of the components that ``new`` names."""
    if new:
        connection.execute(backend.upsert(breakers, "component"), list(new))


def save_silence(connection: Connection, backend: Backend, silence: Row) -> None:
    """Add or replace a silence."""
    connection.execute(backend.upsert(silences, "id"), [silence])


def forget(connection: Connection, components: Sequence[str], now: float) -> None:
    """Drop snapshots, and end the incidents of components that nobody watches any more."""
    for some in _chunks(components):
        connection.execute(delete(breakers).where(breakers.c.component.in_(some)))
        running = and_(incidents.c.component.in_(some), incidents.c.ended_at.is_(None))
        connection.execute(update(incidents).where(running).values(ended_at=now))


def finish(
    connection: Connection, ids: Sequence[str], state: MessageState, at: float, error: str | None
) -> None:
    """Settle pending messages; one that is settled already stays as it is."""
    told = state is MessageState.DELIVERED
    changes = {"to": str(state), "finished_at": at, "error": error, "tries": int(told)}
    if ids:
        connection.execute(FINISH, [{"known": name, **changes} for name in ids])


def postpone(connection: Connection, message_id: str, next_attempt_at: float, error: str) -> None:
    """Note a failed attempt and when the next one is due."""
    changes = {"known": message_id, "next_attempt_at": next_attempt_at, "error": error}
    connection.execute(POSTPONE, changes)


def resend(connection: Connection, message_id: str, now: float) -> bool:
    """Put a dead letter back in line, and what was dropped behind it in the same line."""
    dead = and_(outbox.c.id == message_id, outbox.c.state == MessageState.DEAD)
    row = connection.execute(select(outbox).where(dead)).mappings().first()
    if row is None:
        return False
    behind = and_(
        outbox.c.receiver == row["receiver"],
        outbox.c.incident == row["incident"],
        outbox.c.sequence > row["sequence"],
        outbox.c.state == MessageState.DROPPED,
    )
    connection.execute(
        update(outbox)
        .where(or_(outbox.c.id == message_id, behind))
        .values(
            state=str(MessageState.PENDING),
            created_at=now,
            attempts=0,
            next_attempt_at=0.0,
            finished_at=None,
        )
    )
    return True


def expire(connection: Connection, before: float, at: float, keep: Sequence[str]) -> int:
    """Bury old messages of receivers that are not in ``keep``."""
    chosen = and_(
        outbox.c.state == MessageState.PENDING,
        outbox.c.created_at < before,
        outbox.c.receiver.not_in(list(keep)),
    )
    error = "its receiver is no longer configured"
    changes = {"state": str(MessageState.DEAD), "finished_at": at, "last_error": error}
    return connection.execute(update(outbox).where(chosen).values(changes)).rowcount


def prune(connection: Connection, before: float, limit: int) -> int:
    """Drop at most ``limit`` old rows of each table; what belongs to an open incident stays."""
    running = select(incidents.c.id).where(incidents.c.ended_at.is_(None)).scalar_subquery()
    return (
        _drop(connection, transitions, transitions.c.at < before, running, limit)
        + _drop(
            connection,
            outbox,
            and_(outbox.c.finished_at < before, outbox.c.state.in_(SETTLED)),
            running,
            limit,
        )
        + chain.prune(connection, before, limit)
        + prune_failures(connection, before, limit)
        + _drop(connection, silences, silences.c.ends_at < before, None, limit)
        + _drop(connection, incidents, incidents.c.ended_at < before, None, limit)
    )


def _drop(
    connection: Connection, table: Any, old: Any, running: ScalarSelect[Any] | None, limit: int
) -> int:
    if running is not None:
        old = and_(old, or_(table.c.incident.is_(None), table.c.incident.not_in(running)))
    doomed = select(table.c.id).where(old).limit(limit).scalar_subquery()
    return connection.execute(delete(table).where(table.c.id.in_(doomed))).rowcount


def _plan(
    connection: Connection, backend: Backend, changes: Mapping[str, Mapping[str, Any] | None]
) -> None:
    kept = [rows.planning_row(key, row) for key, row in changes.items() if row is not None]
    if kept:
        connection.execute(backend.upsert(planning, "key"), kept)
    for some in _chunks([key for key, row in changes.items() if row is None]):
        connection.execute(delete(planning).where(planning.c.key.in_(some)))


def _unknown(connection: Connection, moves: Sequence[Transition]) -> list[Transition]:
    distinct = {move.id: move for move in moves}
    known: set[str] = set()
    for some in _chunks(list(distinct)):
        known.update(
            connection.execute(select(transitions.c.id).where(transitions.c.id.in_(some))).scalars()
        )
    return [move for move in distinct.values() if move.id not in known]


def _add_to_incidents(
    connection: Connection, backend: Backend, moves: Sequence[Transition]
) -> None:
    concerned = [move for move in moves if move.incident is not None]
    begun = {move.incident: rows.incident_row(move) for move in reversed(concerned)}
    _insert(connection, backend, incidents, list(begun.values()))
    if concerned:
        connection.execute(FOLLOW, [rows.incident_changes(move) for move in concerned])


def _insert(connection: Connection, backend: Backend, table: Any, new: Sequence[Row]) -> None:
    if new:
        connection.execute(backend.insert_new(table), list(new))


def _chunks(values: Sequence[str]) -> list[list[str]]:
    return [list(values[start : start + CHUNK]) for start in range(0, len(values), CHUNK)]
