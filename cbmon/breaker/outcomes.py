"""What an exception says of the target.

Rule, in this order: a cancellation or an exit is nothing, an ignored or neutral exception is
nothing, an expected one is a failure, and any other one is the target's success: it answered.
What is no ``Exception`` and was not named is an exit, too. A group of exceptions is what the worst
of them is, unless the policy names groups.
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


_WORST_FIRST: Final = (Outcome.FAILURE, Outcome.SUCCESS, Outcome.IGNORED, Outcome.CANCELLED)


def classify(policy: BreakerPolicy, error: BaseException) -> Outcome:
    """The outcome of a call that raised ``error``."""
    if isinstance(error, _EXITS) or _is_cancellation(error):
        return Outcome.CANCELLED
    if isinstance(error, BaseExceptionGroup):
        return _of_group(policy, error)
    if isinstance(error, NeutralError) or _is_one_of(error, policy.ignored_exceptions):
        return Outcome.IGNORED
    if _is_one_of(error, policy.expected_exceptions):
        return Outcome.FAILURE
    return Outcome.SUCCESS if isinstance(error, Exception) else Outcome.CANCELLED


def _of_group(policy: BreakerPolicy, group: BaseExceptionGroup[BaseException]) -> Outcome:
    if _is_one_of(group, _groups(policy.ignored_exceptions)):
        return Outcome.IGNORED
    if _is_one_of(group, _groups(policy.expected_exceptions)):
        return Outcome.FAILURE
    found = {classify(policy, error) for error in group.exceptions}
    return next(outcome for outcome in _WORST_FIRST if outcome in found)


def _groups(classes: tuple[type, ...]) -> tuple[type, ...]:
    return tuple(each for each in classes if issubclass(each, BaseExceptionGroup))


def in_words(error: BaseException) -> str:
    """An exception as one printable line of bounded length."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - somebody else's __str__ must not lose the call's outcome
        text = type(error).__name__
    line = " ".join(text[:_LONGEST_ERROR].split()).removesuffix(":")
    return line if line.isprintable() else "".join(c if c.isprintable() else "�" for c in line)


def _is_cancellation(error: BaseException) -> bool:
    exceptions = sys.modules.get("asyncio.exceptions")
    if exceptions is not None and isinstance(error, exceptions.CancelledError):
        return True
    trios = getattr(sys.modules.get("trio"), "Cancelled", None)
    return trios is not None and isinstance(error, trios)


def _is_one_of(error: BaseException, classes: tuple[type, ...]) -> bool:
    return any(_is_instance(error, each) for each in classes)


def _is_instance(error: BaseException, each: type) -> bool:
    try:
        return isinstance(error, each)
    except Exception:  # noqa: BLE001 - an odd metaclass must not hide the classes after it
        return False
