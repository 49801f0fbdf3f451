"""Records in PostgreSQL: one row for each breaker, in a table that is made when it is missing.

Rule: the time is the server's (``clock_timestamp()``); one connection, made anew after an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString

from cbmon.errors import MissingExtraError
from cbmon.sharing.record import Record
from cbmon.sharing.store import NOTHING, Seen, StoreDownError, seen

try:
    import psycopg
except ImportError as error:
    raise MissingExtraError("breakers shared over PostgreSQL", "postgres") from error

_TABLE: Final = """
create table if not exists cbmon_shared_breakers (
    program text not null,
    name text not null,
    version bigint not null,
    record text not null,
    changed_at timestamptz not null default clock_timestamp(),
    primary key (program, name)
)
"""
_READ: Final = """
select name, version, record from cbmon_shared_breakers where program = %s and name = any(%s)
"""
_INSERT: Final = """
insert into cbmon_shared_breakers (program, name, version, record) values (%s, %s, 1, %s)
on conflict do nothing
"""
_UPDATE: Final = """
update cbmon_shared_breakers set version = version + 1, record = %s, changed_at = clock_timestamp()
where program = %s and name = %s and version = %s
"""
_NOW: Final = "select extract(epoch from clock_timestamp())::float8"


class PostgresStore:
    """``conninfo`` as libpq reads it; ``group`` separates programs in one database."""

    def __init__(self, conninfo: str, *, group: str = "cbmon") -> None:
        self._conninfo = conninfo
        self._group = group
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._busy = asyncio.Lock()

    async def read(self, names: Sequence[str]) -> tuple[float, Mapping[str, Seen]]:
        """The time and the rows."""
        rows = await self._ask(_READ, (self._group, list(names)), fetch=True)
        (now,) = (await self._ask(_NOW, (), fetch=True))[0]
        found = {name: seen(name, version, text) for name, version, text in rows}
        return now, {name: found.get(name, NOTHING) for name in names}

    async def swap(self, name: str, version: int, record: Record) -> bool:
        """Compare and set."""
        if version == 0:
            return bool(await self._ask(_INSERT, (self._group, name, record.dump())))
        return bool(await self._ask(_UPDATE, (record.dump(), self._group, name, version)))

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _ask(
        self, query: LiteralString, values: Sequence[Any], *, fetch: bool = False
    ) -> Any:
        """The rows, or how many were changed; a connection that failed is not used again."""
        async with self._busy:
            try:
                connection = self._connection or await self._connect()
                async with connection.cursor() as cursor:
                    await cursor.execute(query, values)
                    return await cursor.fetchall() if fetch else cursor.rowcount
            except psycopg.Error as error:
                await self.close()
                raise StoreDownError(f"postgresql: {error}") from error
            except asyncio.CancelledError:  # an answer may still be under way on it
                await self.close()
                raise

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        self._connection = connection
        await connection.execute(_TABLE)
        return connection
