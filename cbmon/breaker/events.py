"""What a breaker tells its listeners.

Rule: frozen facts, told outside any lock and in order; times (``at``) are Unix seconds. An event
that nobody listens to is never made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cbmon.breaker.states import State, Trigger

if TYPE_CHECKING:
    from cbmon.breaker.policy import BreakerPolicy

KINDS: Final = frozenset(
    {
        "success",
        "failure",
        "ignored",
        "cancelled",
        "rejected",
        "stale",
        "transition",
        "reset",
        "failure_rate_exceeded",
        "slow_call_rate_exceeded",
        "reconfigured",
    }
)
"""Every ``kind`` that there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerEvent:
    """Something happened to the breaker called ``name``."""

    kind: str
    name: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent(BreakerEvent):
    """A call ended or was rejected: success, failure, ignored, cancelled, rejected, stale.

    ``state`` is the state in which that was noticed, ``duration`` seconds where it was measured.
    """

    state: State
    duration: float | None = None
    reason: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateEvent(BreakerEvent):
    """A rate went to its threshold or above: told once per excursion."""

    state: State
    rate: float
    threshold: float
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionEvent(BreakerEvent):
    """The breaker moved.

    ``cause`` is the trigger, ``text`` one sentence for a person. ``actor`` and ``reason`` are
    those of a person's move; ``last_reason`` and ``last_error`` those of the last failure.
    ``retry_after`` is in seconds from the move, None when the new state has no deadline.
    """

    from_state: State
    to_state: State
    cause: Trigger
    text: str
    actor: str | None
    reason: str | None
    last_reason: str | None
    last_error: str | None
    failure_count: int
    cycles: int
    retry_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetEvent(BreakerEvent):
    """Somebody reset the breaker, or a snapshot was unusable, as ``reason`` says."""

    actor: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconfiguredEvent(BreakerEvent):
    """``policy`` is in force from now on."""

    policy: BreakerPolicy
    actor: str | None
    reason: str | None
