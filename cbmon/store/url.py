"""From ``storage.url`` to the database that it names.

Rule: ``sqlite:///path`` is absolute, as in any other URL with an empty host; SQLAlchemy's own
reading of three slashes as a relative path is not used.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from cbmon.errors import StoreError
from cbmon.store.backend import Backend
from cbmon.store.sqlite import SqliteBackend

EXAMPLES = "sqlite:///var/lib/cbmon/cbmon.db or postgresql://cbmon@db.example.net/cbmon"


def backend_of(url: str) -> Backend:
    """The backend for a storage URL. Raises StoreError for one that cannot be used."""
    scheme, colon, rest = url.partition(":")
    if colon and scheme == "sqlite":
        return SqliteBackend(_path(rest))
    if colon and scheme.partition("+")[0] in {"postgresql", "postgres"}:
        from cbmon.store.postgres import PostgresBackend  # noqa: PLC0415 - with its dialect

        return PostgresBackend(_postgres(rest))
    raise StoreError(f"storage.url: got scheme {scheme!r}, expected {EXAMPLES}")


def _path(rest: str) -> Path:
    path = rest.removeprefix("//") if rest.startswith("//") else rest
    if path.startswith("//"):
        path = path[1:]
    if not path or path.endswith("/") or "\0" in path or ":memory:" in path:
        raise StoreError(f"storage.url: got no path of a file in 'sqlite:{rest}', try {EXAMPLES}")
    return Path(path)


def _postgres(rest: str) -> URL:
    try:
        url = make_url(f"postgresql:{rest}")
    except (ArgumentError, ValueError):
        # The text may hold a password: it is not repeated.
        raise StoreError(f"storage.url: not a PostgreSQL URL, expected {EXAMPLES}") from None
    if not url.database:
        raise StoreError(f"storage.url: no database name, expected {EXAMPLES}")
    return url.set(drivername="postgresql+psycopg")
