"""asyncpg behind a breaker: connecting, statements, transactions, pools.

    pool = await create_pool(CircuitBreaker("orders-db"), "postgresql://db.example.net/orders")

Rules:

* A rejection is an ``asyncpg.PostgresConnectionError`` (SQLSTATE 08000) and a
  ``CircuitOpenError``.
* Connecting and each statement, prepared or not, is a call; so is a commit, which is never
  refused, nor is a rollback or the pool's own reset: connections go back to their pool. The rows
  of a cursor are no calls of their own.
* Constraint errors, deadlocks, bad SQL and asyncpg's own ``InterfaceError`` say nothing bad of
  the database; see :func:`cbmon.integrations.databases.judge_database`.
* A cancelled statement says nothing; ``timeout=``, ``command_timeout`` and the policy's
  ``call_timeout`` are failures.
* A server that is frozen keeps nothing: when it does not acknowledge a cancellation, or does not
  take a connection back, within :data:`END_DEADLINE`, the connection is dropped and its place in
  the pool is free again. asyncpg alone would wait for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ClassVar, Final

from cbmon.breaker import CircuitBreaker, CircuitOpenError, State
from cbmon.errors import MissingExtraError
from cbmon.integrations.calls import (
    Breakers,
    admit_unless_shut,
    awaited,
    breaker_of,
    checked,
    run_async,
)
from cbmon.integrations.databases import judge_database

try:
    import asyncpg
    from asyncpg.prepared_stmt import PreparedStatement
except ImportError as error:
    raise MissingExtraError("cbmon.integrations.asyncpg", "asyncpg") from error

__all__ = [
    "AsyncpgCallTimeoutError",
    "AsyncpgCircuitOpenError",
    "EndingConnection",
    "connect",
    "connection_class",
    "create_pool",
]

_NEVER_REFUSED: Final = ("COMMIT", "ROLLBACK", "RELEASE", "END", "ABORT")
"""What ends a transaction or a part of it."""

END_DEADLINE: Final = 2.0
"""Seconds that a server has to acknowledge a cancellation, and again to reset a connection."""

Method = Callable[..., Coroutine[Any, Any, Any]]


class AsyncpgCallTimeoutError(asyncpg.QueryCanceledError, TimeoutError):  # type: ignore[misc]
    """The policy's ``call_timeout`` ran out before the database answered."""


class AsyncpgCircuitOpenError(CircuitOpenError, asyncpg.PostgresConnectionError):  # type: ignore[misc]
    """The breaker rejected the statement or the connection; nothing was sent."""

    late = AsyncpgCallTimeoutError

    def __init__(self, name: str, state: State, retry_after: float | None) -> None:
        Exception.__init__(self, name, state, retry_after)


async def connect(breakers: Breakers, dsn: str | None = None, **options: Any) -> Any:
    """``asyncpg.connect`` behind a breaker: a connection whose statements are, too.

    A registry gives the breaker named ``host:port/database``, as far as ``dsn`` or the options
    tell them.
    """
    guarded = options.pop("connection_class", None) or connection_class(breakers)
    key = _address(dsn, options)
    connection = await run_async(
        breaker_of(breakers, key), AsyncpgCircuitOpenError, judge_database,
        asyncpg.connect, dsn, connection_class=guarded, **options,
    )  # fmt: skip
    connection.cbmon_key = key
    return connection


def create_pool(breakers: Breakers, dsn: str | None = None, **options: Any) -> Any:
    """``asyncpg.create_pool`` behind a breaker: each new connection and each statement."""
    guarded = connection_class(breakers)

    async def connecting(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("loop", None)
        return await connect(breakers, *args, **kwargs)

    return asyncpg.create_pool(dsn, connection_class=guarded, connect=connecting, **options)


def connection_class(breakers: Breakers) -> type[Any]:
    """A class of connections whose statements are calls, for ``connection_class=``."""
    return type("BreakerConnection", (_Connection,), {"cbmon_breakers": checked(breakers)})


def _call(method: Method) -> Method:
    """A method of a connection as a call."""

    @wraps(method)
    async def guarded(self: _Connection, *args: Any, **kwargs: Any) -> Any:
        return await run_async(
            self.breaker(), AsyncpgCircuitOpenError, judge_database, method, self, *args, **kwargs
        )

    return guarded


class EndingConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that always comes back to its pool: for ``connection_class=``.

    asyncpg cancels a statement by another connection and waits until the server has closed that
    one and has answered on this one; only ``command_timeout`` bounds the wait. Whoever gives the
    connection back waits for the same, behind a shield. A frozen server's kernel accepts the
    other connection, and nothing ever comes of it.
    """

    async def _cancel(self, *waiters: Any) -> None:
        scope = asyncio.timeout(END_DEADLINE)
        try:
            async with scope:
                await super()._cancel(*waiters)
        except TimeoutError:
            pass  # asyncpg takes the cancellation as its own, or not, by version
        if scope.expired():
            self.terminate()

    async def reset(self, *, timeout: float | None = None) -> None:
        """Make it as new, within the deadline; AsyncpgCallTimeoutError, and the pool drops it."""
        try:
            async with asyncio.timeout(END_DEADLINE if timeout is None else timeout):
                await super().reset()
        except AsyncpgCallTimeoutError:
            raise
        except TimeoutError as error:
            text = "the server did not take the connection back in time; it was dropped"
            raise AsyncpgCallTimeoutError(text) from error


class _Connection(EndingConnection):
    """A connection whose statements are calls."""

    cbmon_breakers: ClassVar[Breakers]
    cbmon_key = ""
    _cbmon_resetting = False

    def breaker(self) -> CircuitBreaker:
        """The breaker of its server."""
        return breaker_of(type(self).cbmon_breakers, self.cbmon_key)

    fetch = _call(asyncpg.Connection.fetch)
    fetchval = _call(asyncpg.Connection.fetchval)
    fetchrow = _call(asyncpg.Connection.fetchrow)
    fetchmany = _call(asyncpg.Connection.fetchmany)
    executemany = _call(asyncpg.Connection.executemany)
    copy_from_table = _call(asyncpg.Connection.copy_from_table)
    copy_from_query = _call(asyncpg.Connection.copy_from_query)
    copy_to_table = _call(asyncpg.Connection.copy_to_table)
    copy_records_to_table = _call(asyncpg.Connection.copy_records_to_table)

    async def execute(self, query: str, *args: Any, **kwargs: Any) -> Any:
        if self._cbmon_resetting or query.lstrip().upper().startswith(_NEVER_REFUSED):
            held = admit_unless_shut(self.breaker(), AsyncpgCircuitOpenError)
            result = await awaited(held, judge_database, super().execute, query, *args, **kwargs)
            held.answered()
            return result
        try:
            return await run_async(
                self.breaker(), AsyncpgCircuitOpenError, judge_database,
                super().execute, query, *args, **kwargs,
            )  # fmt: skip
        except AsyncpgCircuitOpenError:
            if query.startswith("BEGIN"):
                self._top_xact = None  # else the next transaction would be taken for a nested one
            raise

    async def prepare(self, *args: Any, **kwargs: Any) -> Any:
        prepared = await run_async(
            self.breaker(), AsyncpgCircuitOpenError, judge_database,
            super().prepare, *args, **kwargs,
        )  # fmt: skip
        prepared.__class__ = _Statement
        return prepared

    async def reset(self, **kwargs: Any) -> None:
        self._cbmon_resetting = True
        try:
            await super().reset(**kwargs)
        finally:
            self._cbmon_resetting = False


def _statement_call(method: Method) -> Method:
    @wraps(method)
    async def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await run_async(
            self._connection.breaker(), AsyncpgCircuitOpenError, judge_database,
            method, self, *args, **kwargs,
        )  # fmt: skip

    return guarded


class _Statement(PreparedStatement):  # type: ignore[misc]
    """A prepared statement whose executions are calls."""

    __slots__ = ()

    fetch = _statement_call(PreparedStatement.fetch)
    fetchval = _statement_call(PreparedStatement.fetchval)
    fetchrow = _statement_call(PreparedStatement.fetchrow)
    fetchmany = _statement_call(PreparedStatement.fetchmany)
    executemany = _statement_call(PreparedStatement.executemany)


def _address(dsn: str | None, options: dict[str, Any]) -> str:
    if dsn:
        return dsn.partition("://")[2].partition("?")[0].rpartition("@")[2] or dsn
    host, port = options.get("host") or "localhost", options.get("port") or 5432
    return f"{host}:{port}/{options.get('database') or ''}"
