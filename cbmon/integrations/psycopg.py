"""psycopg 3 behind a breaker: connecting, statements and commits, sync and async.

    connection = connection_class(CircuitBreaker("orders-db")).connect("dbname=orders")
    pool = ConnectionPool("dbname=orders", connection_class=connection_class(breaker))

Rules:

* A rejection is a ``psycopg.OperationalError`` and a ``CircuitOpenError``.
* Connecting and each statement is a call; so is a commit, which is never refused, nor is a
  rollback: what was admitted may end, and connections go back to their pool. Rows that are
  fetched later, the pieces of a COPY and waiting for notifications are no calls of their own;
  only a connection that is lost meanwhile counts.
* Constraint errors, deadlocks and bad SQL say nothing bad of the database; see
  :func:`cbmon.integrations.databases.judge_database`.
* The policy's ``call_timeout`` is for connecting by asyncio only: else use ``connect_timeout``
  and ``statement_timeout``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from cbmon.breaker import CircuitBreaker, CircuitOpenError, State
from cbmon.errors import MissingExtraError
from cbmon.integrations.calls import (
    Breakers,
    HeldCall,
    admit,
    admit_unless_shut,
    breaker_of,
    checked,
    run,
    run_async,
    tell_loss,
)
from cbmon.integrations.databases import judge_database

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
except ImportError as error:
    raise MissingExtraError("cbmon.integrations.psycopg", "postgres") from error

__all__ = ["PsycopgCircuitOpenError", "async_connection_class", "connection_class"]

_NEVER_REFUSED: Final = frozenset(
    {"_commit_gen", "_rollback_gen", "_exit_gen", "_close_gen", "_tpc_finish_gen", "copy_end"}
)
"""What ends something, by the name of the generator that psycopg runs on the connection."""
_PARTS: Final = frozenset(
    {
        "_read_gen", "_read_row_gen", "_end_copy_out_gen", "copy_to", "_stream_fetchone_gen",
        "_fetch_gen", "_sync_gen", "notifies",
    }
)  # fmt: skip
"""What goes on with a statement that was a call, or waits for somebody else."""


class PsycopgCallTimeoutError(psycopg.errors.ConnectionTimeout, TimeoutError):
    """The policy's ``call_timeout`` ran out while an AsyncConnection was made."""


class PsycopgCircuitOpenError(CircuitOpenError, psycopg.OperationalError):
    """The breaker rejected the statement or the connection; nothing was sent."""

    late = PsycopgCallTimeoutError

    def __init__(self, name: str, state: State, retry_after: float | None) -> None:
        psycopg.OperationalError.__init__(self, "rejected")
        self.args = (name, state, retry_after)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args


def connection_class(breakers: Breakers) -> type[psycopg.Connection[Any]]:
    """A class of connections behind a breaker, for its ``connect`` or for a pool.

    A registry gives the breaker named ``host:port/database``.
    """
    checked(breakers, "psycopg; use connect_timeout and statement_timeout")
    return type("BreakerConnection", (_Connection,), {"cbmon_breakers": breakers})


def async_connection_class(breakers: Breakers) -> type[psycopg.AsyncConnection[Any]]:
    """The same for asyncio."""
    checked(breakers, "statements of psycopg; use statement_timeout")
    return type("AsyncBreakerConnection", (_AsyncConnection,), {"cbmon_breakers": breakers})


class _Connection(psycopg.Connection[Any]):
    """A connection whose round trips are calls."""

    cbmon_breakers: ClassVar[Breakers]
    cbmon_key = ""

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Any:
        key = _address(conninfo, kwargs)
        connection = run(
            breaker_of(cls.cbmon_breakers, key), PsycopgCircuitOpenError, judge_database,
            super().connect, conninfo, **kwargs,
        )  # fmt: skip
        connection.cbmon_key = key
        return connection

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Every round trip to the server goes through here."""
        name = getattr(gen, "__name__", "")
        breaker = breaker_of(type(self).cbmon_breakers, self.cbmon_key)
        if name in _PARTS:
            try:
                return super().wait(gen, *args, **kwargs)
            except Exception as error:
                tell_loss(breaker, error, judge_database)
                raise
        held = _admitted(breaker, name)
        try:
            result = super().wait(gen, *args, **kwargs)
        except BaseException as error:
            held.raised(error, judge_database)
            raise
        held.answered()
        return result


class _AsyncConnection(psycopg.AsyncConnection[Any]):
    """The same for asyncio."""

    cbmon_breakers: ClassVar[Breakers]
    cbmon_key = ""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Any:
        key = _address(conninfo, kwargs)
        connection = await run_async(
            breaker_of(cls.cbmon_breakers, key), PsycopgCircuitOpenError, judge_database,
            super().connect, conninfo, **kwargs,
        )  # fmt: skip
        connection.cbmon_key = key
        return connection

    async def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Every round trip to the server goes through here."""
        name = getattr(gen, "__name__", "")
        breaker = breaker_of(type(self).cbmon_breakers, self.cbmon_key)
        if name in _PARTS:
            try:
                return await super().wait(gen, *args, **kwargs)
            except Exception as error:
                tell_loss(breaker, error, judge_database)
                raise
        held = _admitted(breaker, name)
        try:
            result = await super().wait(gen, *args, **kwargs)
        except BaseException as error:
            held.raised(error, judge_database)
            raise
        held.answered()
        return result


def _admitted(breaker: CircuitBreaker, name: str) -> HeldCall:
    if name in _NEVER_REFUSED:
        return admit_unless_shut(breaker)
    return admit(breaker, PsycopgCircuitOpenError)


def _address(conninfo: str, kwargs: dict[str, Any]) -> str:
    try:
        found = conninfo_to_dict(conninfo, **{k: v for k, v in kwargs.items() if v is not None})
    except psycopg.ProgrammingError:
        found = {}  # connecting will say it, or knows keywords that libpq does not
    host, port = found.get("host") or "localhost", found.get("port") or 5432
    return f"{host}:{port}/{found.get('dbname') or ''}"
