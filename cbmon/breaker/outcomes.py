"""What an exception says of the target.

Rule, in this order: a cancellation or an exit is nothing, an ignored or neutral exception is
nothing, an expected one is a failure, and any other one is the target's success: it answered.
"""

from __future__ import annotations

import sys
from enum import Enum
from typing import TYPE_CHECKING, Final

from cbmon.breaker.errors import NeutralError

if TYPE_CHECKING:
    from cbmon.breaker.policy import BreakerPolicy

_EXITS: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)
_LONGEST_ERROR: Final = 300


class Outcome(Enum):
    """How a call ended, for the breaker."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"
    CANCELLED = "cancelled"


def classify(policy: BreakerPolicy, error: BaseException) -> Outcome:
    """The outcome of a call that raised ``error``."""
    if isinstance(error, _EXITS) or _is_cancellation(error):
        return Outcome.CANCELLED
    if isinstance(error, NeutralError) or _is_one_of(error, policy.ignored_exceptions):
        return Outcome.IGNORED
    if _is_one_of(error, policy.expected_exceptions):
        return Outcome.FAILURE
    return Outcome.SUCCESS


def in_words(error: BaseException) -> str:
    """An exception as one line of bounded length."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - somebody else's __str__ must not lose the call's outcome
        text = type(error).__name__
    return " ".join(text[:_LONGEST_ERROR].split()).removesuffix(":")


def _is_cancellation(error: BaseException) -> bool:
    exceptions = sys.modules.get("asyncio.exceptions")
    return exceptions is not None and isinstance(error, exceptions.CancelledError)


def _is_one_of(error: BaseException, classes: tuple[type, ...]) -> bool:
    return any(_is_instance(error, each) for each in classes)


def _is_instance(error: BaseException, each: type) -> bool:
    try:
        return isinstance(error, each)
    except Exception:  # noqa: BLE001 - an odd metaclass must not hide the classes after it
        return False
