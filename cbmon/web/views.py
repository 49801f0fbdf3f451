"""What the API shows of a component, a breaker and the whole: plain JSON-able values.

Rule: pure functions of what they are given; times leave as RFC 3339 in UTC with milliseconds,
durations as seconds in fields that say so. The page shows these same views.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cbmon.breaker import State
from cbmon.model import BreakerInfo, Result
from cbmon.settings import FIELDS, Source
from cbmon.web.services import ComponentView

HEALTHY: Final = frozenset({State.CLOSED, State.FORCED_CLOSED, State.OBSERVE})
REJECTING: Final = frozenset({State.OPEN, State.FORCED_OPEN})
JsonObject = dict[str, Any]


def timestamp(at: float | None) -> str | None:
    """A Unix time as RFC 3339 in UTC, to the millisecond."""
    if at is None:
        return None
    try:
        text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return None
    return text.replace("+00:00", "Z")


def breaker(view: ComponentView) -> JsonObject:
    """One breaker, completely: contract section 4."""
    it, info, policy = view.breaker, view.info, view.breaker.policy
    state = it.state
    details = it.get_state()
    counts = it.counts
    auto = details if details["auto_disabled"] else {}
    judged = counts.successes + counts.failures
    return {
        "name": info.name,
        "category": str(info.category),
        "kind": str(policy.kind),
        "state": state.value,
        "state_value": state.gauge,
        "is_available": details["is_available"],
        "failure_count": details["failure_count"],
        "success_count": details["success_count"],
        "last_failure_at": timestamp(details["last_failure_time"]),
        "last_failure_reason": details["last_failure_reason"],
        "last_error": details["last_error"],
        "opened_at": timestamp(counts.last_transition_at if state in REJECTING else None),
        "retry_after_seconds": it.retry_after,
        "timeout_remaining": it.retry_after,
        "failure_cycle_count": counts.cycles,
        "max_failure_cycles": policy.max_failure_cycles,
        "auto_disable": {
            "enabled": policy.auto_disable_enabled,
            "auto_disabled_at": timestamp(auto.get("disabled_at")),
            "auto_disabled_reason": auto.get("disabled_reason"),
            "can_auto_enable": state is not State.DISABLED or bool(auto),
        },
        "metrics": {
            "total_calls": counts.calls,
            "successful_calls": counts.successes,
            "failed_calls": counts.failures,
            "rejected_calls": counts.rejections,
            "slow_calls": counts.slow_calls,
            "trips": counts.trips,
            "success_ratio": counts.successes / judged if judged else None,
            "consecutive_failures": counts.consecutive_failures,
        },
        "last_transition_at": timestamp(counts.last_transition_at),
        "explanation": it.explain(),
        "policy": _plain(policy.as_dict()),
        "policy_sources": {name: view.sources.get(name, Source.YAML.value) for name in FIELDS},
        "tags": list(info.tags),
        "labels": dict(info.labels),
        "depends_on": list(info.depends_on),
    }


def check(view: ComponentView, next_run_in: float | None) -> JsonObject:
    """One check: its plan and what its last run found."""
    info = view.info
    return {
        "name": info.name,
        "type": info.kind,
        "group": info.group,
        "target": info.target,
        "tags": list(info.tags),
        "labels": dict(info.labels),
        "depends_on": list(info.depends_on),
        "interval_seconds": view.interval,
        "timeout_seconds": view.timeout,
        "state": view.breaker.state.value,
        "active": view.breaker.state is not State.DISABLED,
        "up": None if view.last is None else view.last.ok,
        "last_run_at": timestamp(view.last_run_at),
        "last_success_at": timestamp(view.last_success_at),
        "next_run_in_seconds": next_run_in,
        "last": None if view.last is None else result(view.last),
    }


def result(found: Result) -> JsonObject:
    """What one run found."""
    return {
        "ok": found.ok,
        "duration_seconds": found.duration,
        "reason": None if found.reason is None else found.reason.value,
        "error": found.error,
        "phases": {name: spent for name, spent in found.phases._asdict().items() if spent},
        "certificate_expires_at": timestamp(found.certificate_expiry),
        "facts": {name: _plain(value) for name, value in found.facts.items()},
    }


def summary(components: Iterable[ComponentView]) -> JsonObject:
    """The whole in one answer. ``down``: nothing works; ``degraded``: not everything does."""
    return summary_of([(view.info, view.breaker.state) for view in components])


def summary_of(states: Sequence[tuple[BreakerInfo, State]]) -> JsonObject:
    """The same of what was looked at before."""
    by_state = Counter(state for _, state in states)
    healthy = sum(by_state[state] for state in HEALTHY)
    return {
        "status": _status(healthy, len(states)),
        "health_percentage": percentage(healthy, len(states)),
        "breakers": {"total": len(states), **{state.value: by_state[state] for state in State}},
        "open": [info.name for info, state in states if state is State.OPEN],
        "half_open": [info.name for info, state in states if state is State.HALF_OPEN],
        "disabled": [info.name for info, state in states if state is State.DISABLED],
        "by_category": _by_category([(str(info.category), state) for info, state in states]),
    }


def percentage(healthy: int, total: int) -> float:
    """Healthy of all in per cent, one decimal; 100 only if all are, and for none at all."""
    if not total or healthy == total:
        return 100.0
    return min(99.9, round(100 * healthy / total, 1))


def event(row: Mapping[str, Any]) -> JsonObject:
    """A transition as the store has it, for a reader."""
    shown = {key: _plain(value) for key, value in row.items() if key not in {"snapshot", "info"}}
    times = {key: timestamp(row.get(key)) for key in ("at", "incident_started_at")}
    return {**shown, "kind": row.get("kind", "transition"), **times}


def _status(healthy: int, total: int) -> str:
    if healthy == total:
        return "ok"
    return "degraded" if healthy else "down"


def _by_category(states: Sequence[tuple[str, State]]) -> JsonObject:
    found: JsonObject = {}
    for category in sorted({category for category, _ in states}):
        counts = Counter(state for its, state in states if its == category)
        healthy = sum(counts[state] for state in HEALTHY)
        found[category] = {
            "total": counts.total(),
            "healthy": healthy,
            "health_percentage": percentage(healthy, counts.total()),
            **{state.value: counts[state] for state in State if counts[state]},
        }
    return found


def _plain(value: Any) -> Any:
    """JSON-able whatever it is; JSON has no infinity and no NaN."""
    if value is None or isinstance(value, (bool, int, str)):
        return value if type(value) in {bool, int, str, type(None)} else str(value)
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return str(value)
