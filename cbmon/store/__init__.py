"""What survives a restart: breakers, transitions, incidents, the outbox, the audit log.

Rule: a write that returned is durable; a write whose outcome is unknown may be repeated.
"""

from __future__ import annotations

from cbmon.interfaces import Store
from cbmon.store.journal import Journal, JournalHooks

__all__ = ["Journal", "JournalHooks", "open_store"]


def open_store(url: str) -> Store:
    """The store at ``url``, not yet opened: ``await store.open()`` locks, connects and migrates.

    ``sqlite:///var/lib/cbmon/cbmon.db`` is an absolute path, ``sqlite:data/cbmon.db`` one
    relative to the working directory, ``postgresql://user@host/name`` a PostgreSQL database.
    Raises StoreError for a URL that is none of these.
    """
    from cbmon.store.sql import SqlStore  # noqa: PLC0415 - SQLAlchemy is imported when it is used
    from cbmon.store.url import backend_of  # noqa: PLC0415

    return SqlStore(backend_of(url))
