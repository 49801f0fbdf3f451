"""What a database's errors say of the database, for every driver alike.

Rule: an answer is a success, also "duplicate key" and "deadlock detected": the database did its
work. A failure is a database that cannot be reached, cannot be used or has lost itself.

Sources: PostgreSQL, appendix A "Error Codes" (SQLSTATE classes); PEP 249 for drivers without
SQLSTATE; SQLite's result codes; MySQL's error reference for the lock errors that its drivers call
operational.
"""

from __future__ import annotations

from typing import Final

from cbmon.integrations.verdicts import (
    ANSWERED,
    CONNECT,
    INTERNAL,
    NEUTRAL,
    STATUS,
    TIMEOUT,
    Verdict,
)

_SQLSTATES: Final = {
    "57014": TIMEOUT,  # query_canceled: what statement_timeout raises
    "57P01": STATUS,  # admin_shutdown
    "57P02": STATUS,  # crash_shutdown
    "57P03": STATUS,  # cannot_connect_now: starting up, or in recovery
}
_CLASSES: Final = {
    "08": CONNECT,  # connection exception
    "53": STATUS,  # insufficient resources: disk full, too many connections
    "58": INTERNAL,  # system error
    "F0": INTERNAL,  # configuration file error
    "XX": INTERNAL,  # internal error, corrupted data or index
}
_PEP_249: Final = {
    "ConnectionTimeout": TIMEOUT,
    "PipelineAborted": ANSWERED,
    "_WaitTimeout": NEUTRAL,  # nobody notified within the time that the caller gave
    "IntegrityError": ANSWERED,
    "DataError": ANSWERED,
    "ProgrammingError": ANSWERED,
    "NotSupportedError": ANSWERED,
    "Warning": ANSWERED,
    "OperationalError": CONNECT,
    "InternalError": INTERNAL,
    "InternalClientError": INTERNAL,
    "DatabaseError": INTERNAL,
    "InterfaceError": NEUTRAL,
}
"""By class name, the most special first; an InterfaceError is of the driver, says the PEP."""
_MYSQL_ANSWERS: Final = frozenset({1205, 1213, 3572})
"""Lock wait timeout exceeded, deadlock found, lock not available (NOWAIT)."""
_SQLITE_FAILURES: Final = frozenset({5, 6, 10, 11, 13, 14, 15, 26})
"""SQLITE_BUSY, LOCKED, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOTADB; a mistake in a statement
is SQLITE_ERROR, though the driver calls it operational, too."""
_LENGTH: Final = 5


def judge_database(error: BaseException) -> Verdict:
    """What an exception of a database's driver says of the database."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str) and len(state) == _LENGTH:
        return _SQLSTATES.get(state) or _CLASSES.get(state[:2], ANSWERED)
    if isinstance(error, TimeoutError):
        return TIMEOUT
    if isinstance(error, OSError):
        return CONNECT
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int) and code & 0xFF not in _SQLITE_FAILURES:
        return ANSWERED
    verdict = _KNOWN.get(type(error)) or _by_class(type(error))
    if verdict is CONNECT and error.args and error.args[0] in _MYSQL_ANSWERS:
        return ANSWERED
    return verdict


_KNOWN: Final[dict[type, Verdict]] = {}
"""By class, since going through a hierarchy takes longer than a query's own bookkeeping."""


def _by_class(kind: type) -> Verdict:
    for each in kind.__mro__:
        verdict = None if each.__module__ == "builtins" else _PEP_249.get(each.__name__)
        if verdict is not None:
            return _KNOWN.setdefault(kind, verdict)
    return _KNOWN.setdefault(kind, NEUTRAL)
