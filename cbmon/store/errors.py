"""What went wrong in the database, said so that a person knows what to do.

Rule: only these leave the store. UnstorableError means that trying again cannot help.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
)

from cbmon.errors import CbmonError, StoreError, UnstorableError

__all__ = ["StoreError", "UnstorableError", "is_outage", "translated"]

REFUSED: Final = (DataError, IntegrityError, TypeError, ValueError)
"""The content itself is refused: its type, its size, a character."""

Explain = Callable[[BaseException], str]


def is_outage(error: BaseException) -> bool:
    """Whether the database as a whole does not work now, rather than one statement."""
    return isinstance(error, OperationalError | InternalError | OSError)


def translated(error: BaseException, explain: Explain) -> StoreError:
    """The store's error for one that SQLAlchemy, the driver or the encoding raised."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, CbmonError):
        return StoreError(str(error))
    if isinstance(error, REFUSED):
        return UnstorableError(f"the database refuses this content: {first_line(error)}")
    if isinstance(error, DBAPIError):
        return StoreError(explain(error.orig or error))
    if isinstance(error, SQLAlchemyError):
        return StoreError(f"the database cannot be used: {first_line(error)}")
    return StoreError(explain(error))


def first_line(error: BaseException) -> str:
    """The error in one line, without SQLAlchemy's statement and parameters."""
    inner = error.orig if isinstance(error, DBAPIError) and error.orig else error
    lines = str(inner).strip().splitlines()
    return lines[0] if lines else type(inner).__name__
