"""The table of settings that people may edit, and what of it is in force.

Rule: a trigger counts every change of the table, so that an edit with another program is noticed
by asking for one number. Nobody's edit is overwritten unseen.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, delete, select

from cbmon.events import Action
from cbmon.keeping import SettingsRow, SettingsState, Texts
from cbmon.logs import fields as fields_of
from cbmon.store import chain
from cbmon.store.backend import Backend
from cbmon.store.rows import encoded
from cbmon.store.schema import SETTINGS, audit, breaker_settings, meta, settings_in_force

VERSION: Final = "settings_version"
CHANGES: Final = ("change_settings", "change_defaults", "remove_settings")
"""The actions that are about a row."""
LOOKED_THROUGH: Final = 500
Read = Callable[[Callable[[Connection], Any]], Awaitable[Any]]
Write = Callable[[Callable[[Connection], Any]], Awaitable[Any]]

log = logging.getLogger(__name__)


class SettingsTable:
    """See :class:`cbmon.keeping.SettingsStore`."""

    def __init__(
        self,
        backend: Backend,
        read: Read,
        write: Write,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._backend = backend
        self._read = read
        self._write = write
        self._wall = wall

    async def version(self) -> int:
        """Grows with every change of the table."""
        found: int = await self._read(_version)
        return found

    def notices(self) -> AsyncGenerator[None, None]:
        """Tells when the table may have been edited."""
        return self._backend.notices()

    async def load(self) -> SettingsState:
        """Everything, as of one moment."""
        found: SettingsState = await self._read(_load)
        return found

    async def change(
        self, component: str, fields: Texts | None, *, action: Action, expected: int
    ) -> int | None:
        """Write or delete a row, unless the table has changed meanwhile."""
        work = partial(self._change, component=component, fields=fields, action=action)
        version: int | None = await self._write(partial(work, expected=expected))
        return version

    async def accept(self, fields: Mapping[str, Texts | None], actions: Sequence[Action]) -> None:
        """These edits are in force now."""
        await self._write(partial(self._accept, fields=fields, actions=actions))

    async def refusals(self, component: str, actor: str) -> tuple[str, ...]:
        """What was recorded against a row since it was last accepted, the newest first."""
        found: tuple[str, ...] = await self._read(partial(_refusals, component=component, by=actor))
        return found

    def _change(
        self,
        connection: Connection,
        *,
        component: str,
        fields: Texts | None,
        action: Action,
        expected: int,
    ) -> int | None:
        if _version(connection) != expected:
            return None
        mine = breaker_settings.c.component == component
        if fields is None:
            connection.execute(delete(breaker_settings).where(mine))
        else:
            row = {**dict.fromkeys(SETTINGS), **fields, "component": component}
            row |= {"changed_at": self._wall(), "changed_by": action.actor}
            connection.execute(self._backend.upsert(breaker_settings, "component"), [row])
        self._accept(connection, fields={component: fields}, actions=[action])
        return _version(connection)

    def _accept(
        self,
        connection: Connection,
        *,
        fields: Mapping[str, Texts | None],
        actions: Sequence[Action],
    ) -> None:
        for component, its in fields.items():
            if its:
                row = {"component": component, "fields": encoded(dict(its))}
                connection.execute(self._backend.upsert(settings_in_force, "component"), [row])
            else:
                mine = settings_in_force.c.component == component
                connection.execute(delete(settings_in_force).where(mine))
        chain.append(connection, actions)


def _version(connection: Connection) -> int:
    value = connection.execute(select(meta.c.value).where(meta.c.key == VERSION)).scalar()
    return int(value) if value is not None and value.isdecimal() else 0


def _load(connection: Connection) -> SettingsState:
    return SettingsState(
        version=_version(connection),
        rows={
            row["component"]: SettingsRow(
                fields={name: str(row[name]) for name in SETTINGS if row[name] is not None},
                changed_at=row["changed_at"],
                changed_by=row["changed_by"],
            )
            for row in connection.execute(select(breaker_settings)).mappings()
            if _has_name(row)
        },
        in_force={
            row["component"]: _texts(row["fields"])
            for row in connection.execute(select(settings_in_force)).mappings()
        },
    )


def _refusals(connection: Connection, *, component: str, by: str) -> tuple[str, ...]:
    mine = (audit.c.component == component) & audit.c.action.in_(CHANGES)
    newest = select(audit.c.actor, audit.c.refused).where(mine).order_by(audit.c.seq.desc())
    found = []
    for actor, refused in connection.execute(newest.limit(LOOKED_THROUGH)):
        if refused is None:
            break
        if actor == by:
            found.append(refused)
    return tuple(found)


def _has_name(row: Mapping[Any, Any]) -> bool:
    """SQLite lets a hand put in anything as a key, also nothing; such a row is of no breaker."""
    named = isinstance(row["component"], str)
    if not named:
        log.error(
            "a row of breaker_settings has no name; delete it",
            extra=fields_of(component=repr(row["component"])),
        )
    return named


def _texts(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
