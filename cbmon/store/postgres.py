"""PostgreSQL: one database, one daemon.

Rule: the advisory lock is held by the session that writes, so that whoever lost it cannot write.
It is a guard against a second daemon started by mistake, not a lease for a hand-over: after a
network cut the server notices the dead session by TCP keep-alive, in about half a minute.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, QueuePool, Table, create_engine, event, text
from sqlalchemy.dialects.postgresql import insert

from cbmon.errors import LockedError, MissingExtraError, StoreError
from cbmon.store.backend import replacing
from cbmon.store.listening import notices

LOCK_KEY: Final = 0x63626D6F6E
"""The advisory lock's number: the letters of cbmon."""
SESSION: Final = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "synchronous_commit": "on",
}
"""Settings of the writer's session; a server or role default must not weaken durability."""


class PostgresBackend:
    """The database that ``url`` names; see :class:`cbmon.store.backend.Backend`."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self._writer: Engine | None = None
        self._reader: Engine | None = None

    @property
    def where(self) -> str:
        """The URL without its password."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=True)

    def open(self) -> None:
        """Connect and take the lock."""
        try:
            import psycopg  # noqa: F401, PLC0415 - an optional package
        except ImportError as error:
            raise MissingExtraError("storage on PostgreSQL", "postgres") from error
        self._writer = self._engine()
        self._reader = self._engine(default_transaction_read_only="on")
        event.listen(self._writer, "connect", self._guard)
        with self._writer.connect():
            pass

    @contextmanager
    def writing(self, *, durable: bool) -> Iterator[Connection]:
        """A transaction on the session that holds the lock."""
        with self._opened(self._writer).begin() as connection:
            if not durable:
                connection.execute(text("SET LOCAL synchronous_commit = off"))
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read-only transaction."""
        with self._opened(self._reader).begin() as connection:
            yield connection

    def insert_new(self, table: Table) -> Any:
        """INSERT … ON CONFLICT DO NOTHING."""
        return _insert_new(table)

    def upsert(self, table: Table, key: str) -> Any:
        """INSERT … ON CONFLICT DO UPDATE."""
        return _upsert(table, key)

    def explain(self, error: BaseException) -> str:
        """By SQLSTATE, or what the connection attempt said."""
        state = getattr(error, "sqlstate", None) or ""
        said = " ".join(str(error).split())
        return f"{self.where}: {said}; {_advice(state)}"

    def notices(self) -> AsyncGenerator[None, None]:
        """By LISTEN, on a connection of its own."""
        return notices(self.url)

    def close(self) -> None:
        """Disconnect, which gives the lock back."""
        for engine in (self._writer, self._reader):
            if engine is not None:
                engine.dispose()
        self._writer = self._reader = None

    def _opened(self, engine: Engine | None) -> Engine:
        if engine is None:
            raise StoreError(f"{self.where} is not open")
        return engine

    def _engine(self, **settings: str) -> Engine:
        options = " ".join(f"-c {name}={value}" for name, value in (SESSION | settings).items())
        return create_engine(
            self.url,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5, "application_name": "cbmon", "options": options},
        )

    def _guard(self, connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (LOCK_KEY,))
            taken = not cursor.fetchone()[0]
            holder = self._holder(cursor) if taken else ""
        connection.commit()
        if taken:
            raise LockedError(
                f"{self.where} is in use by {holder}; one daemon per database: "
                f"stop that one, or give this one another storage.url"
            )

    @staticmethod
    def _holder(cursor: Any) -> str:
        cursor.execute(
            "SELECT a.pid, a.client_addr FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
            "WHERE l.locktype = 'advisory' AND l.granted AND l.database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND (l.classid::bigint << 32) + l.objid::bigint = %s",
            (LOCK_KEY,),
        )
        row = cursor.fetchone()
        if row is None:
            return "another daemon"
        return f"the daemon of backend process {row[0]} from {row[1] or 'this host'}"


@lru_cache
def _insert_new(table: Table) -> Any:
    return insert(table).on_conflict_do_nothing()


@lru_cache
def _upsert(table: Table, key: str) -> Any:
    return replacing(insert(table), table, key)


def _advice(state: str) -> str:
    match state[:2]:
        case "28":
            return "check user and password, and the server's pg_hba.conf"
        case "3D":
            return "create the database: createdb"
        case "53":
            return "the server is out of room or connections; what is waiting is written then"
        case "42":
            return "check that this user may create and write tables in the database's schema"
        case "25":
            return "the server is read-only, perhaps a standby; name the primary in storage.url"
        case _:
            return "check that the server runs and can be reached"
