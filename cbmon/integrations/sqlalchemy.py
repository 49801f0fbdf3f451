"""SQLAlchemy behind a breaker: connecting, statements and commits, sync and async engines.

    protect_engine(engine, CircuitBreaker("orders-db"))

Rules:

* A rejection is a ``sqlalchemy.exc.OperationalError`` and a ``CircuitOpenError``. A connection
  that the pool still has is given out; what it is used for is refused.
* Each connect, statement and commit is a call. A commit and a rollback are never refused: what
  was admitted may end, and connections go back to their pool.
* Constraint errors, deadlocks, bad SQL and the pool's own timeout say nothing bad of the
  database; see :func:`cbmon.integrations.databases.judge_database`.
* It stands around the methods of the engine's own dialect, through which SQLAlchemy reaches the
  driver; the events of the engine go on as they were. An engine with ``creator=`` connects
  unseen. ``call_timeout`` does not apply: use the driver's timeouts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cbmon.breaker import CircuitBreaker, CircuitOpenError, State
from cbmon.errors import MissingExtraError
from cbmon.integrations.calls import Breakers, admit, admit_unless_shut, breaker_of, checked
from cbmon.integrations.databases import judge_database

try:
    import sqlalchemy
    from sqlalchemy.exc import OperationalError
except ImportError as error:
    raise MissingExtraError("cbmon.integrations.sqlalchemy", "sqlalchemy") from error

__all__ = ["SqlalchemyCircuitOpenError", "protect_engine"]

E = TypeVar("E")


class SqlalchemyCircuitOpenError(CircuitOpenError, OperationalError):
    """The breaker rejected the statement or the connection; nothing was sent."""

    def __init__(self, name: str, state: State, retry_after: float | None) -> None:
        OperationalError.__init__(self, None, None, RuntimeError("the circuit breaker is open"))
        self.args = (name, state, retry_after)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args


def protect_engine(engine: E, breakers: Breakers) -> E:
    """Put an ``Engine`` or an ``AsyncEngine`` behind a breaker, and give it back.

    A registry gives the breaker named ``host:port/database`` of the engine's URL.
    """
    checked(breakers, "SQLAlchemy; use the timeouts of the driver")
    sync: Any = getattr(engine, "sync_engine", engine)
    key = _address(sync.url)

    def breaker() -> CircuitBreaker:
        return breaker_of(breakers, key)

    dialect: Any = sync.dialect
    for name in ("connect", "do_execute", "do_executemany", "do_execute_no_params"):
        setattr(dialect, name, _guarded(getattr(dialect, name), breaker))
    dialect.do_commit = _counted(dialect.do_commit, breaker)
    return engine


def _address(url: sqlalchemy.URL) -> str:
    host = f"{url.host or 'localhost'}:{url.port}" if url.port else url.host or ""
    return f"{host}/{url.database or ''}" if host else url.database or url.drivername


Breaker = Callable[[], CircuitBreaker]


def _guarded(method: Callable[..., Any], breaker: Breaker) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        held = admit(breaker(), SqlalchemyCircuitOpenError)
        try:
            result = method(*args, **kwargs)
        except BaseException as error:
            held.raised(error, judge_database)
            raise
        held.answered()
        return result

    return guarded


def _counted(method: Callable[[Any], None], breaker: Breaker) -> Callable[[Any], None]:
    def counted(connection: Any) -> None:
        held = admit_unless_shut(breaker())
        try:
            method(connection)
        except BaseException as error:
            held.raised(error, judge_database)
            raise
        held.answered()

    return counted
