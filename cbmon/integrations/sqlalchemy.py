"""SQLAlchemy behind a breaker: connecting, statements and commits, sync and async engines.

    protect_engine(engine, CircuitBreaker("orders-db"))

Rules:

* A rejection is a ``sqlalchemy.exc.OperationalError`` and a ``CircuitOpenError``. A connection
  that the pool still has is given out; what it is used for is refused.
* Each connect, statement and commit is a call. A commit and a rollback are never refused: what
  was admitted may end, and connections go back to their pool.
* Constraint errors, deadlocks, bad SQL and the pool's own timeout say nothing bad of the
  database; see :func:`cbmon.integrations.databases.judge_database`.
* It works by engine events. Listeners of one's own for ``do_connect`` must be there before; an
  engine with ``creator=`` connects unseen. ``call_timeout`` does not apply: use the driver's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cbmon.breaker import CircuitBreaker, CircuitOpenError, State
from cbmon.errors import MissingExtraError
from cbmon.integrations.calls import Breakers, admit_unless_shut, breaker_of, run
from cbmon.integrations.databases import judge_database

try:
    import sqlalchemy
    from sqlalchemy import event
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
    sync: Any = getattr(engine, "sync_engine", engine)
    key = _address(sync.url)

    def breaker() -> CircuitBreaker:
        return breaker_of(breakers, key)

    _protect_connecting(sync, breaker)
    _protect_statements(sync, breaker)
    _protect_commits(sync.dialect, breaker)
    return engine


def _address(url: sqlalchemy.URL) -> str:
    host = f"{url.host or 'localhost'}:{url.port}" if url.port else url.host or ""
    return f"{host}/{url.database or ''}" if host else url.database or url.drivername


Breaker = Callable[[], CircuitBreaker]


def _protect_connecting(engine: sqlalchemy.Engine, breaker: Breaker) -> None:
    def do_connect(dialect: Any, _record: Any, cargs: Any, cparams: Any) -> Any:
        return run(
            breaker(),
            SqlalchemyCircuitOpenError,
            judge_database,
            dialect.connect,
            *cargs,
            **cparams,
        )

    event.listen(engine, "do_connect", do_connect)


def _protect_statements(engine: sqlalchemy.Engine, breaker: Breaker) -> None:
    dialect = engine.dialect

    def protected(send: Callable[..., Any]) -> Callable[..., bool]:
        def handler(*args: Any) -> bool:
            run(breaker(), SqlalchemyCircuitOpenError, judge_database, send, *args)
            return True

        return handler

    event.listen(engine, "do_execute", protected(dialect.do_execute))
    event.listen(engine, "do_executemany", protected(dialect.do_executemany))
    event.listen(engine, "do_execute_no_params", protected(dialect.do_execute_no_params))


def _protect_commits(dialect: Any, breaker: Breaker) -> None:
    commit = dialect.do_commit

    def do_commit(connection: Any) -> None:
        held = admit_unless_shut(breaker())
        try:
            commit(connection)
        except BaseException as error:
            held.raised(error, judge_database)
            raise
        held.answered()

    dialect.do_commit = do_commit
