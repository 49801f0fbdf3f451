"""How the services of a pool are, for an operator and for a health endpoint.

Rule: healthy admits calls, degraded is trying again, failed rejects. Pure functions of breakers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from cbmon.breaker import CircuitBreaker, State

HEALTH: Final = {
    State.CLOSED: "healthy",
    State.FORCED_CLOSED: "healthy",
    State.OBSERVE: "healthy",
    State.HALF_OPEN: "degraded",
    State.OPEN: "failed",
    State.FORCED_OPEN: "failed",
    State.DISABLED: "failed",
}
LEVELS: Final = ("healthy", "degraded", "failed")


def describe(breaker: CircuitBreaker) -> dict[str, Any]:
    """One breaker with its metrics; ``success_ratio`` is None before the first verdict."""
    its, judged = breaker.get_state(), 0
    counts = breaker.counts
    judged = counts.successes + counts.failures
    return {
        "name": breaker.name,
        "state": its["state"],
        "health": HEALTH[breaker.state],
        "retry_after": its["retry_after"],
        "last_error": its["last_error"],
        "metrics": {
            "total_calls": counts.calls,
            "successful_calls": counts.successes,
            "failed_calls": counts.failures,
            "rejected_calls": counts.rejections,
            "success_ratio": counts.successes / judged if judged else None,
            "consecutive_failures": counts.consecutive_failures,
            "trips": counts.trips,
        },
    }


def status(breakers: Iterable[tuple[str, CircuitBreaker]]) -> dict[str, Any]:
    """Summary, totals by state, each breaker; from pairs of category and breaker."""
    found = [(category, breaker, breaker.state) for category, breaker in breakers]
    states = Counter(state for _, _, state in found)
    return {
        "status": overall(state for _, _, state in found),
        "summary": _levels(state for _, _, state in found),
        "totals": {"total": len(found), **{state.value: states[state] for state in State}},
        "by_category": {
            category: _levels(state for its, _, state in found if its == category)
            for category in sorted({category for category, _, _ in found})
        },
        "services": {breaker.name: describe(breaker) for _, breaker, _ in found},
    }


def overall(states: Iterable[State]) -> str:
    """``ok``; ``degraded`` when something is not healthy; ``down`` when nothing is."""
    levels = Counter(HEALTH[state] for state in states)
    if levels["healthy"] == levels.total():
        return "ok"
    return "degraded" if levels["healthy"] or levels["degraded"] else "down"


def _levels(states: Iterable[State]) -> dict[str, int]:
    levels = Counter(HEALTH[state] for state in states)
    return {level: levels[level] for level in LEVELS}
