"""What the store needs of a database: three ways in, and its errors in words.

Rule: SQL that only one database knows lives in that database's backend.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import Connection, Table


class Backend(Protocol):
    """One database. Its methods block: the store calls them in its own two threads."""

    @property
    def where(self) -> str:
        """Which database this is, for a person; without a password."""
        ...

    def open(self) -> None:
        """Lock the database and connect."""
        ...

    def writing(self, *, durable: bool) -> AbstractContextManager[Connection]:
        """A transaction that is committed at the end; ``durable``: even in a power cut."""
        ...

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one consistent state and changes nothing."""
        ...

    def insert_new(self, table: Table) -> Any:
        """An INSERT that skips rows whose primary key exists."""
        ...

    def upsert(self, table: Table, key: str) -> Any:
        """An INSERT that replaces the rows whose ``key`` exists."""
        ...

    def explain(self, error: BaseException) -> str:
        """What is wrong and what to do, for a driver's error."""
        ...

    def notices(self) -> AsyncGenerator[None, None]:
        """Tells when the settings may have been edited; ends at once where nothing tells."""
        ...

    def close(self) -> None:
        """Disconnect and unlock; may be called twice."""
        ...


def replacing(statement: Any, table: Table, key: str) -> Any:
    """The dialect's INSERT, turned into one that replaces the row of the same ``key``."""
    fresh = {column.name: statement.excluded[column.name] for column in table.columns}
    return statement.on_conflict_do_update(index_elements=[key], set_=fresh)
