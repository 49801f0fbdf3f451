"""SQLite: one file, its lock beside it, in write-ahead mode.

Rule: what must survive a power cut is committed with synchronous=FULL, on a connection of its own
(NORMAL loses acknowledged commits in a power cut; measured), everything else with NORMAL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, QueuePool, Table, create_engine, event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import OperationalError

from cbmon.errors import StoreError
from cbmon.store.backend import replacing
from cbmon.store.lock import FileLock

BUSY_SECONDS: Final = 5.0
"""How long a statement waits for another process, such as a backup, to let go."""
WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
FULL, NORMAL = 2, 1


class SqliteBackend:
    """The database in the file ``path``; see :class:`cbmon.store.backend.Backend`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        self._engines: dict[str, Engine] = {}

    @property
    def where(self) -> str:
        """The file."""
        return str(self.path)

    def open(self) -> None:
        """Lock, create the directory and the file if missing, verify the settings."""
        try:
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the data directory {self.path.parent}: {error.strerror}"
            ) from error
        self._lock.acquire()
        self._engines = {
            "durable": _engine(self.path, begin="BEGIN IMMEDIATE", synchronous=FULL),
            "relaxed": _engine(self.path, begin="BEGIN IMMEDIATE", synchronous=NORMAL),
            "reader": _engine(self.path, begin="BEGIN", synchronous=NORMAL, query_only=True),
        }
        with self.writing(durable=True) as connection:
            _verify(connection, self.where)

    @contextmanager
    def writing(self, *, durable: bool) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start."""
        with _transaction(self._engine("durable" if durable else "relaxed")) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction on the reader's connection; writers do not block it."""
        with _transaction(self._engine("reader")) as connection:
            yield connection

    def insert_new(self, table: Table) -> Any:
        """INSERT … ON CONFLICT DO NOTHING."""
        return _insert_new(table)

    def upsert(self, table: Table, key: str) -> Any:
        """INSERT … ON CONFLICT DO UPDATE."""
        return _upsert(table, key)

    def explain(self, error: BaseException) -> str:
        """By SQLite's result code."""
        code = getattr(error, "sqlite_errorname", None) or ""
        for prefix, text in ADVICE.items():
            if code.startswith(prefix):
                return text.format(path=self.path, error=error)
        return f"{self.path}: {error}"

    async def notices(self) -> AsyncGenerator[None, None]:
        """Nothing: a file tells nobody."""
        for _ in ():
            yield None

    def close(self) -> None:
        """Fold the write-ahead log into the file, disconnect, unlock."""
        engines, self._engines = self._engines, {}
        for engine in engines.values():
            engine.dispose()
        self._lock.release()

    def _engine(self, role: str) -> Engine:
        if not self._engines:
            raise StoreError(f"{self.path} is not open")
        return self._engines[role]


@lru_cache
def _insert_new(table: Table) -> Any:
    return insert(table).on_conflict_do_nothing()


@lru_cache
def _upsert(table: Table, key: str) -> Any:
    return replacing(insert(table), table, key)


ADVICE: Final = {
    "SQLITE_BUSY": "{path} is locked by another process for more than 5 s; "
    "find it with: fuser {path}",
    "SQLITE_LOCKED": "{path} is locked by another process; find it with: fuser {path}",
    "SQLITE_READONLY": "{path} cannot be written ({error}); "
    "check owner and mode of the file and its directory, and the mount",
    "SQLITE_FULL": "the disk is full: no room to write {path}; "
    "free some space, what is waiting is written then",
    "SQLITE_CANTOPEN": "cannot open {path}; "
    "check that its directory exists and that this user may write to it",
    "SQLITE_NOTADB": "{path} is damaged or no SQLite database ({error}); stop cbmon, move it "
    "away with its -wal and -shm files, then restore a backup or start with an empty one",
    "SQLITE_CORRUPT": "{path} is damaged ({error}); stop cbmon, move it away with its -wal and "
    "-shm files, then restore a backup or start with an empty one",
    "SQLITE_IOERR": "the disk failed under {path} ({error}); "
    "look for I/O errors in the kernel log: dmesg",
}


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        try:
            with connection.begin():
                yield connection
        except OperationalError:
            # A connection keeps its file even when someone moved it away: take a new one.
            connection.invalidate()
            raise


def _engine(path: Path, *, begin: str, synchronous: int, query_only: bool = False) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )

    def connected(connection: sqlite3.Connection, _record: object) -> None:
        # Python's sqlite3 begins transactions by itself only before some statements: it is
        # told not to, and BEGIN is sent below.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        connection.execute(f"PRAGMA query_only = {int(query_only)}")

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine


def _verify(connection: Connection, where: str) -> None:
    mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    level = connection.exec_driver_sql("PRAGMA synchronous").scalar()
    if mode != "wal" or level != FULL:
        raise StoreError(
            f"{where}: got journal_mode={mode} and synchronous={level}, expected wal and {FULL}; "
            f"put it on a local file system"
        )
