"""Looking at a database that is not opened as a store: a backup, or beside a running daemon.

Rule: read only, without a lock; nothing is made, migrated or tidied up.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, NullPool, create_engine, select
from sqlalchemy.exc import SQLAlchemyError

from cbmon.errors import StoreError
from cbmon.store import chain
from cbmon.store.errors import first_line
from cbmon.store.postgres import PostgresBackend
from cbmon.store.schema import audit
from cbmon.store.url import backend_of


def verify_database(where: str, head: str | None = None) -> dict[str, Any]:
    """Whether the audit log in a file or at a storage URL is whole.

    ``head`` is one that was noted earlier: its row must still be there and be the same, unless
    the retention has dropped it. Raises StoreError, and ValueError for a head that is none.
    """
    noted = None if head is None else chain.Link.parse(head)
    engine = _engine(where)
    try:
        with engine.connect() as connection:
            report = chain.verify(connection)
            if noted is not None and report["ok"]:
                query = select(audit.c.hash).where(audit.c.seq == noted.seq)
                _hold_against(report, noted, connection.execute(query).scalar())
    except SQLAlchemyError as error:
        raise StoreError(f"{where} cannot be read as a store: {first_line(error)}") from error
    finally:
        engine.dispose()
    return report


def _hold_against(report: dict[str, Any], noted: chain.Link, found: str | None) -> None:
    if found == noted.hash or noted.seq < report["first_seq"]:
        return
    why = "the row is missing" if found is None else "its hash is not the one that was noted"
    report |= {"ok": False, "broken": {"seq": noted.seq, "id": None, "why": why}}


def _engine(where: str) -> Engine:
    scheme, colon, _ = where.partition(":")
    if not colon or scheme not in {"sqlite", "postgresql", "postgres"}:
        return _file(Path(where))
    backend = backend_of(where)
    if isinstance(backend, PostgresBackend):
        options = {"options": "-c default_transaction_read_only=on", "connect_timeout": 5}
        return create_engine(backend.url, poolclass=NullPool, connect_args=options)
    return _file(Path(backend.where))


def _file(path: Path) -> Engine:
    if not path.is_file():
        raise StoreError(f"there is no database {path}")
    address = f"file:{quote(str(path.absolute()))}?mode=ro"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True)

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)
