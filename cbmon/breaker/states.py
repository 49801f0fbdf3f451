"""States, triggers and the one table of moves.

Rules:

* Whatever moves a breaker is in :data:`MOVES`, or it does not happen: an illegal move raises
  :class:`~cbmon.breaker.errors.InvalidTransitionError` and changes nothing.
* The breaker itself moves only between ``closed``, ``open`` and ``half_open``, and from
  ``half_open`` to ``disabled`` when its failure cycles are used up. Every other move is a
  person's.
* ``disabled`` is left by ``enable`` and ``reset`` only.
* A move to the present state is no move: it is not in the table and does nothing.

The diagram in ``docs/breaker-states.md`` is drawn from the table by
:func:`cbmon.breaker.diagram.page`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """What a breaker does with the next call. The values are label values."""

    CLOSED = "closed"
    """Admits and records all; opens at its thresholds."""
    OPEN = "open"
    """Rejects all until the recovery deadline."""
    HALF_OPEN = "half_open"
    """Admits a counted number of trial calls, whose outcomes decide."""
    FORCED_OPEN = "forced_open"
    """Rejects all until a person releases it."""
    FORCED_CLOSED = "forced_closed"
    """Admits all and records nothing."""
    OBSERVE = "observe"
    """Admits and records all, never trips, counts what it would have done."""
    DISABLED = "disabled"
    """Out of service: rejects all until enabled or reset."""

    @property
    def gauge(self) -> float:
        """The state as a number: 1 calls pass, 0.5 trial calls pass, 0 none passes."""
        return _GAUGE[self]


_GAUGE: Final[dict[State, float]] = {
    State.CLOSED: 1.0,
    State.OPEN: 0.0,
    State.HALF_OPEN: 0.5,
    State.FORCED_OPEN: 0.0,
    State.FORCED_CLOSED: 1.0,
    State.OBSERVE: 1.0,
    State.DISABLED: 0.0,
}


MEANING: Final[dict[State, str]] = {
    State.CLOSED: "every call is admitted and recorded",
    State.OPEN: "every call is rejected until the recovery deadline",
    State.HALF_OPEN: "a counted number of trial calls is admitted; they decide",
    State.FORCED_OPEN: "every call is rejected until a person releases the breaker",
    State.FORCED_CLOSED: "every call is admitted and nothing is recorded",
    State.OBSERVE: "every call is admitted and recorded; the breaker never trips",
    State.DISABLED: "out of service: every call is rejected until enabled or reset",
}
"""What each state does, in words."""


class Trigger(StrEnum):
    """Why a breaker moves; the ``cause`` of a transition."""

    FAILURES_IN_A_ROW = "failures_in_a_row"
    """Kind count: as many consecutive failures as ``failure_threshold``."""
    FAILURE_RATE = "failure_rate"
    """The failure ratio of the window, or the adaptive error rate, reached its threshold."""
    SLOW_CALL_RATE = "slow_call_rate"
    """The ratio of slow calls in the window reached its threshold."""
    THROTTLING = "throttling"
    """Adaptive throttling had to reject more than its ceiling allows."""
    LATENCY_DRIFT = "latency_drift"
    """Calls became much slower than the learnt baseline."""
    RECOVERY_TIMEOUT = "recovery_timeout"
    """The wait is over: trial calls may try."""
    TRIALS_PASSED = "trials_passed"
    """The trial calls say that the target is back."""
    TRIALS_FAILED = "trials_failed"
    """The trial calls say that it is not."""
    TRIALS_TIMED_OUT = "trials_timed_out"
    """``half_open_max_wait`` passed without a verdict."""
    CYCLES_EXHAUSTED = "cycles_exhausted"
    """The last of ``max_failure_cycles`` failed and ``auto_disable_enabled`` is set."""
    RESET = "reset"
    CLOSE = "close"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCE_OPEN = "force_open"
    FORCE_CLOSE = "force_close"
    OBSERVE = "observe"
    DISABLE = "disable"
    ENABLE = "enable"
    """A person put a disabled breaker back into service, with its counters reset."""
    ENABLE_ON_TRIAL = "enable_on_trial"
    """The same with the counters kept: one more chance."""


_BY_HAND: Final[dict[Trigger, State]] = {
    Trigger.RESET: State.CLOSED,
    Trigger.CLOSE: State.CLOSED,
    Trigger.OPEN: State.OPEN,
    Trigger.FORCE_OPEN: State.FORCED_OPEN,
    Trigger.FORCE_CLOSE: State.FORCED_CLOSED,
    Trigger.OBSERVE: State.OBSERVE,
    Trigger.DISABLE: State.DISABLED,
}


AUTOMATIC: Final = frozenset(
    {
        Trigger.FAILURES_IN_A_ROW,
        Trigger.FAILURE_RATE,
        Trigger.SLOW_CALL_RATE,
        Trigger.THROTTLING,
        Trigger.LATENCY_DRIFT,
        Trigger.RECOVERY_TIMEOUT,
        Trigger.TRIALS_PASSED,
        Trigger.TRIALS_FAILED,
        Trigger.TRIALS_TIMED_OUT,
        Trigger.CYCLES_EXHAUSTED,
    }
)
"""What the breaker decides by itself."""


def _by_hand_from(state: State) -> dict[Trigger, State]:
    return {trigger: target for trigger, target in _BY_HAND.items() if target is not state}


MOVES: Final[dict[State, dict[Trigger, State]]] = {
    State.CLOSED: {
        Trigger.FAILURES_IN_A_ROW: State.OPEN,
        Trigger.FAILURE_RATE: State.OPEN,
        Trigger.SLOW_CALL_RATE: State.OPEN,
        Trigger.THROTTLING: State.OPEN,
        Trigger.LATENCY_DRIFT: State.OPEN,
        **_by_hand_from(State.CLOSED),
    },
    State.OPEN: {
        Trigger.RECOVERY_TIMEOUT: State.HALF_OPEN,
        Trigger.HALF_OPEN: State.HALF_OPEN,
        **_by_hand_from(State.OPEN),
    },
    State.HALF_OPEN: {
        Trigger.TRIALS_PASSED: State.CLOSED,
        Trigger.TRIALS_FAILED: State.OPEN,
        Trigger.TRIALS_TIMED_OUT: State.OPEN,
        Trigger.CYCLES_EXHAUSTED: State.DISABLED,
        **_by_hand_from(State.HALF_OPEN),
    },
    State.FORCED_OPEN: _by_hand_from(State.FORCED_OPEN),
    State.FORCED_CLOSED: _by_hand_from(State.FORCED_CLOSED),
    State.OBSERVE: _by_hand_from(State.OBSERVE),
    State.DISABLED: {
        Trigger.ENABLE: State.CLOSED,
        Trigger.ENABLE_ON_TRIAL: State.HALF_OPEN,
        Trigger.RESET: State.CLOSED,
    },
}

BY_HAND: Final = frozenset({*_BY_HAND, Trigger.HALF_OPEN, Trigger.ENABLE, Trigger.ENABLE_ON_TRIAL})
"""The triggers that are a person's."""

TRIPS: Final = frozenset(
    {
        Trigger.FAILURES_IN_A_ROW,
        Trigger.FAILURE_RATE,
        Trigger.SLOW_CALL_RATE,
        Trigger.THROTTLING,
        Trigger.LATENCY_DRIFT,
        Trigger.TRIALS_FAILED,
        Trigger.TRIALS_TIMED_OUT,
    }
)
"""The triggers by which a breaker opens on its own; each such opening is a trip."""
