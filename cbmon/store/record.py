"""Events of every kind in one list, and the audit log.

Rule: each fact lies in one table only; a page of events is merged from the newest of each.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, and_, delete, or_, select

from cbmon.events import RunFailed
from cbmon.keeping import EventFilter
from cbmon.store import chain, rows
from cbmon.store.backend import Backend
from cbmon.store.rows import Row
from cbmon.store.schema import audit, failures, transitions

Read = Callable[[Callable[[Connection], Any]], Awaitable[Any]]
Write = Callable[..., Awaitable[Any]]
Found = Callable[[Any], Row]

MOST_FAILURES: Final = 200_000
"""Failed runs that are kept, however long the retention is; about 40 MB."""
_LEFT_OR_ENTERED: Final = or_(
    transitions.c.to_state == "disabled", transitions.c.from_state == "disabled"
)
MOVES: Final[dict[str, Any]] = {
    "transition": ~_LEFT_OR_ENTERED,
    "disabled": transitions.c.to_state == "disabled",
    "enabled": transitions.c.from_state == "disabled",
}
_DONE: Final = audit.c.refused.is_(None)
_SETTINGS: Final = audit.c.action.in_(rows.SETTINGS_ACTIONS)
_RELOAD: Final = audit.c.action == "reload"
ACTIONS: Final[dict[str, Any]] = {
    "refused": audit.c.refused.is_not(None),
    "settings_changed": and_(_DONE, _SETTINGS),
    "reload": and_(_DONE, _RELOAD),
    "action": and_(_DONE, ~_SETTINGS, ~_RELOAD),
}
FAILED: Final = {"failed": None}


class RecordTable:
    """See :class:`cbmon.keeping.RecordStore`."""

    def __init__(self, backend: Backend, read: Read, write: Write) -> None:
        self._backend = backend
        self._read = read
        self._write = write

    async def events(
        self, wanted: EventFilter, *, limit: int, before: str | None = None
    ) -> list[dict[str, Any]]:
        """Events, newest first."""
        ask = partial(list_events, wanted=wanted, limit=limit, before=before)
        found: list[dict[str, Any]] = await self._read(ask)
        return found

    async def audit(
        self, wanted: EventFilter, *, limit: int, before: int | None = None
    ) -> list[dict[str, Any]]:
        """Actions and refusals, newest first."""
        ask = partial(list_audit, wanted=wanted, limit=limit, before=before)
        found: list[dict[str, Any]] = await self._read(ask)
        return found

    async def verify(self) -> dict[str, Any]:
        """Whether the chain is whole."""
        found: dict[str, Any] = await self._read(chain.verify)
        return found

    async def add_failures(self, failed: Sequence[RunFailed]) -> None:
        """Runs that failed."""
        new = [rows.failure_row(one) for one in failed]
        work = partial(_add, backend=self._backend, new=new)
        await self._write(work, durable=False)


def list_events(
    connection: Connection, wanted: EventFilter, limit: int, before: str | None
) -> list[Row]:
    """The newest of every table that has events of the wanted kinds, merged."""
    sources: list[tuple[Table, dict[str, Any], Found]] = [
        (failures, FAILED, rows.failure_dict),
        (transitions, MOVES, rows.move_dict),
        (audit, ACTIONS, rows.action_dict),
    ]
    pages = []
    for table, kinds, found in sources:
        if _kinds(kinds, wanted.kinds):
            query = _query(table, kinds, wanted, before).limit(limit)
            pages.append([found(row) for row in connection.execute(query).mappings()])
    merged = heapq.merge(*pages, key=itemgetter("id"), reverse=True)
    return [row for row, _ in zip(merged, range(limit), strict=False)]


def list_audit(
    connection: Connection, wanted: EventFilter, limit: int, before: int | None
) -> list[Row]:
    """Rows of the audit log, newest first."""
    query = select(audit).order_by(audit.c.seq.desc()).limit(limit)
    query = query.where(*_common(audit, wanted))
    if before is not None:
        query = query.where(audit.c.seq < before)
    if wanted.actor is not None:
        query = query.where(audit.c.actor == wanted.actor)
    if wanted.action is not None:
        query = query.where(audit.c.action == wanted.action)
    if wanted.refused is not None:
        query = query.where(audit.c.refused.is_not(None) if wanted.refused else _DONE)
    return [rows.audit_dict(row) for row in connection.execute(query).mappings()]


def prune_failures(connection: Connection, before: float, limit: int) -> int:
    """Drop at most ``limit`` failed runs that are old, or too many."""
    newest = select(failures.c.id).order_by(failures.c.id.desc())
    border = connection.execute(newest.offset(MOST_FAILURES).limit(1)).scalar()
    old = failures.c.at < before
    if border is not None:
        old = or_(old, failures.c.id <= border)
    doomed = select(failures.c.id).where(old).limit(limit).scalar_subquery()
    return connection.execute(delete(failures).where(failures.c.id.in_(doomed))).rowcount


def _add(connection: Connection, *, backend: Backend, new: Sequence[Row]) -> None:
    if new:
        connection.execute(backend.insert_new(failures), list(new))


def _kinds(known: dict[str, Any], wanted: Collection[str] | None) -> list[str]:
    return [kind for kind in known if wanted is None or kind in wanted]


def _query(
    table: Table, kinds: dict[str, Any], wanted: EventFilter, before: str | None
) -> Select[Any]:
    query = select(table).order_by(table.c.id.desc()).where(*_common(table, wanted))
    chosen = _kinds(kinds, wanted.kinds)
    if len(chosen) < len(kinds):
        query = query.where(or_(*(kinds[kind] for kind in chosen)))
    return query if before is None else query.where(table.c.id < before)


def _common(table: Table, wanted: EventFilter) -> list[Any]:
    found: list[Any] = []
    if wanted.component is not None:
        found.append(table.c.component == wanted.component)
    if wanted.since is not None:
        found.append(table.c.at >= wanted.since)
    if wanted.until is not None:
        found.append(table.c.at <= wanted.until)
    return found
