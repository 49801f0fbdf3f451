"""Numbered steps from an empty database to the present schema.

Rule: a step that was released is never changed; a new one is appended. All missing steps run in
one transaction, and a database that is newer than this program is refused.

There are few tables and only forward steps, so this is a list rather than a tool such as Alembic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, insert, inspect, select, text, update

from cbmon.errors import StoreError
from cbmon.store import schema
from cbmon.store.administration import administration

VERSION_KEY: Final = "schema_version"

FIRST: Final = """
CREATE TABLE breakers (
    component {id} PRIMARY KEY, snapshot TEXT NOT NULL, saved_at DOUBLE PRECISION NOT NULL
);
CREATE TABLE transitions (
    id {id} PRIMARY KEY, at DOUBLE PRECISION NOT NULL, component {id} NOT NULL,
    category TEXT NOT NULL, from_state TEXT NOT NULL, to_state TEXT NOT NULL, cause TEXT NOT NULL,
    text TEXT NOT NULL, reason TEXT, last_error TEXT, actor TEXT,
    incident {id}, incident_started_at DOUBLE PRECISION, retry_after DOUBLE PRECISION,
    failure_count INTEGER NOT NULL, cycles INTEGER NOT NULL, trips INTEGER NOT NULL,
    info TEXT NOT NULL
);
CREATE INDEX transitions_component ON transitions (component, id);
CREATE INDEX transitions_at ON transitions (at);
CREATE TABLE incidents (
    id {id} PRIMARY KEY, component {id} NOT NULL, category TEXT NOT NULL,
    started_at DOUBLE PRECISION NOT NULL, ended_at DOUBLE PRECISION, cause TEXT NOT NULL,
    last_state TEXT NOT NULL, reason TEXT, last_error TEXT,
    moves INTEGER NOT NULL, trials INTEGER NOT NULL
);
CREATE INDEX incidents_ended ON incidents (ended_at);
CREATE TABLE outbox (
    id {id} PRIMARY KEY, receiver {id} NOT NULL, incident {id} NOT NULL, sequence INTEGER NOT NULL,
    kind TEXT NOT NULL, state TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL,
    attempts INTEGER NOT NULL, next_attempt_at DOUBLE PRECISION NOT NULL,
    finished_at DOUBLE PRECISION, last_error TEXT, body TEXT NOT NULL
);
CREATE INDEX outbox_line ON outbox (state, receiver, incident, sequence);
CREATE INDEX outbox_incident ON outbox (incident, receiver, sequence);
CREATE INDEX outbox_finished ON outbox (finished_at);
CREATE TABLE audit (
    id {id} PRIMARY KEY, at DOUBLE PRECISION NOT NULL, component {id} NOT NULL,
    action TEXT NOT NULL, actor TEXT NOT NULL, text TEXT NOT NULL, refused TEXT
);
CREATE INDEX audit_at ON audit (at)
"""

NOTIFYING: Final = """
CREATE TABLE planning (key {id} PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE silences (
    id {id} PRIMARY KEY, matchers TEXT NOT NULL, starts_at DOUBLE PRECISION NOT NULL,
    ends_at DOUBLE PRECISION NOT NULL, author TEXT NOT NULL, reason TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX silences_ends ON silences (ends_at)
"""

STEPS: Final[tuple[str | Callable[[Connection], None], ...]] = (FIRST, NOTIFYING, administration)
LATEST: Final = len(STEPS)


def migrate(connection: Connection, where: str) -> int:
    """Bring the database to LATEST; the version that it had. StoreError when it is newer."""
    found = version(connection)
    if found > LATEST:
        raise StoreError(
            f"{where} has schema version {found}, this cbmon knows up to {LATEST}: "
            f"a newer cbmon has used it; install that version again, or use another storage.url"
        )
    identifier = 'TEXT COLLATE "C"' if connection.dialect.name == "postgresql" else "TEXT"
    for step in STEPS[found:]:
        if callable(step):
            step(connection)
            continue
        for statement in step.split(";"):
            connection.execute(text(statement.format(id=identifier)))
    if found < LATEST:
        _stamp(connection, found)
    return found


def version(connection: Connection) -> int:
    """The schema's version; 0 for an empty database, whose version table is made."""
    if not inspect(connection).has_table("meta"):
        connection.execute(text("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)"))
    query = select(schema.meta.c.value).where(schema.meta.c.key == VERSION_KEY)
    value = connection.execute(query).scalar()
    return int(value) if value is not None else 0


def _stamp(connection: Connection, found: int) -> None:
    values = {"value": str(LATEST)}
    if found:
        connection.execute(
            update(schema.meta).where(schema.meta.c.key == VERSION_KEY).values(values)
        )
    else:
        connection.execute(insert(schema.meta).values(key=VERSION_KEY, **values))
