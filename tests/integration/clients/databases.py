"""The database clients that the same tests drive."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import psycopg
import psycopg_pool
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from cbmon.integrations import asyncpg as our_asyncpg
from cbmon.integrations import psycopg as our_psycopg
from cbmon.integrations.sqlalchemy import protect_engine
from tests.integration.clients.conftest import Postgres
from tests.integration.harness.processes import slowness

SIZE = 5


class Database:
    """``run`` executes a statement in a transaction of its own, on a connection of the pool."""

    kind: type[Exception]
    errors: tuple[type[BaseException], ...]
    """What code that uses the client has always caught when the server is not there."""
    unique: type[Exception]
    server: Postgres
    seconds: float | None = None

    @property
    def patience(self) -> float:
        """How long a client waits whose own timeout ends a statement."""
        return self.seconds or 0.4 * slowness()

    async def open(self, server: Postgres, breakers: Any) -> None:
        raise AssertionError

    async def run(self, statement: str) -> Any:
        raise AssertionError

    async def in_use(self) -> int:
        raise AssertionError

    async def close(self) -> None:
        raise AssertionError


class Asyncpg(Database):
    kind = asyncpg.PostgresConnectionError
    errors = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
    unique = asyncpg.UniqueViolationError
    pool: Any

    async def open(self, server: Postgres, breakers: Any) -> None:
        self.pool = await our_asyncpg.create_pool(
            breakers, server.dsn, min_size=0, max_size=SIZE, timeout=self.patience,
            command_timeout=self.patience,
        )  # fmt: skip

    async def run(self, statement: str) -> Any:
        async with self.pool.acquire() as connection, connection.transaction():
            return await connection.fetchval(statement)

    async def in_use(self) -> int:
        return int(self.pool.get_size() - self.pool.get_idle_size())

    async def close(self) -> None:
        self.pool.terminate()


class PsycopgAsync(Database):
    kind = psycopg.OperationalError
    errors = (psycopg.OperationalError,)
    unique = psycopg.errors.UniqueViolation

    async def open(self, server: Postgres, breakers: Any) -> None:
        self.pool = psycopg_pool.AsyncConnectionPool(
            server.dsn,
            connection_class=our_psycopg.async_connection_class(breakers),
            kwargs={"connect_timeout": 2},
            min_size=0, max_size=SIZE, timeout=self.patience, open=False, reconnect_timeout=0.5,
        )  # fmt: skip
        await self.pool.open()

    async def run(self, statement: str) -> Any:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(statement)
            row = await cursor.fetchone() if cursor.description else None
            return row and row[0]

    async def in_use(self) -> int:
        stats = self.pool.get_stats()
        return stats.get("pool_size", 0) - stats.get("pool_available", 0)

    async def close(self) -> None:
        await self.pool.close(0)


class _Engine(Database):
    kind = sqlalchemy.exc.OperationalError
    errors: tuple[type[BaseException], ...] = (sqlalchemy.exc.DBAPIError, OSError)
    unique = sqlalchemy.exc.IntegrityError
    url: str

    def arguments(self) -> dict[str, Any]:
        return {"connect_timeout": 2}

    async def open(self, server: Postgres, breakers: Any) -> None:
        url = server.dsn.replace("postgresql", self.url)
        self.engine = protect_engine(
            create_async_engine(
                url, pool_size=SIZE, max_overflow=0, pool_timeout=5, connect_args=self.arguments()
            ),
            breakers,
        )

    async def run(self, statement: str) -> Any:
        async with self.engine.begin() as connection:
            found = await connection.execute(sqlalchemy.text(statement))
            return found.scalar() if found.returns_rows else None

    async def in_use(self) -> int:
        pool: Any = self.engine.pool
        return int(pool.checkedout())

    async def close(self) -> None:
        await self.engine.dispose()


class SqlalchemyAsyncpg(_Engine):
    url = "postgresql+asyncpg"
    errors = (*_Engine.errors, TimeoutError)

    def arguments(self) -> dict[str, Any]:
        return {"timeout": self.patience, "command_timeout": self.patience}


class SqlalchemyPsycopgAsync(_Engine):
    url = "postgresql+psycopg"


class SqlalchemySync(_Engine):
    """Its calls run in threads, so that they can be given up."""

    async def open(self, server: Postgres, breakers: Any) -> None:
        url = server.dsn.replace("postgresql", "postgresql+psycopg")
        self.sync = protect_engine(
            sqlalchemy.create_engine(
                url, pool_size=SIZE, max_overflow=0, connect_args={"connect_timeout": 2}
            ),
            breakers,
        )

    async def run(self, statement: str) -> Any:
        return await asyncio.to_thread(self._run, statement)

    def _run(self, statement: str) -> Any:
        with self.sync.begin() as connection:
            found = connection.execute(sqlalchemy.text(statement))
            return found.scalar() if found.returns_rows else None

    async def in_use(self) -> int:
        pool: Any = self.sync.pool
        return int(pool.checkedout())

    async def close(self) -> None:
        self.sync.dispose()


class PsycopgSync(Database):
    kind = psycopg.OperationalError
    errors = (psycopg.OperationalError,)
    unique = psycopg.errors.UniqueViolation

    async def open(self, server: Postgres, breakers: Any) -> None:
        self.connected = our_psycopg.connection_class(breakers)
        self.dsn = server.dsn + "?connect_timeout=2"

    async def run(self, statement: str) -> Any:
        return await asyncio.to_thread(self._run, statement)

    def _run(self, statement: str) -> Any:
        with self.connected.connect(self.dsn) as connection:
            cursor = connection.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return row and row[0]

    async def in_use(self) -> int:
        return 0

    async def close(self) -> None:
        pass


EVERY = (
    Asyncpg,
    PsycopgAsync,
    PsycopgSync,
    SqlalchemyAsyncpg,
    SqlalchemyPsycopgAsync,
    SqlalchemySync,
)
CANCELLABLE = (Asyncpg, PsycopgAsync, SqlalchemyAsyncpg, SqlalchemyPsycopgAsync)
BOUNDED_READS = (Asyncpg, SqlalchemyAsyncpg)
"""Clients whose own timeout ends a statement when the server is frozen."""
