"""A breaker's state for people: a dict for pages, a text for the one who asks why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cbmon.breaker.states import MEANING, State, Trigger

if TYPE_CHECKING:
    from cbmon.breaker.counts import Counts
    from cbmon.breaker.machine import Machine


def describe(machine: Machine, counts: Counts) -> dict[str, Any]:
    """What a status page shows, JSON-able; times are Unix seconds."""
    state, move, last = machine.state, machine.last_move, machine.last_failure
    disabled = move if state is State.DISABLED else None
    return {
        "name": machine.name,
        "kind": machine.policy.kind,
        "state": state.value,
        "state_value": state.gauge,
        "is_available": is_available(machine),
        "failure_count": counts.failure_count,
        "success_count": counts.success_count,
        "last_failure_time": counts.last_failure_at,
        "last_failure_reason": last and last.reason,
        "last_error": last and last.error,
        "retry_after": machine.retry_after,
        "open_until": counts.open_until,
        "last_transition_at": counts.last_transition_at,
        "failure_cycles": counts.cycles,
        "max_failure_cycles": machine.policy.max_failure_cycles,
        "auto_disable_enabled": machine.policy.auto_disable_enabled,
        "auto_disabled": disabled is not None and disabled.cause is Trigger.CYCLES_EXHAUSTED,
        "disabled_at": disabled and disabled.at,
        "disabled_reason": disabled and (disabled.reason or disabled.text),
        "calls": counts.calls,
        "successes": counts.successes,
        "failures": counts.failures,
        "rejections": counts.rejections,
        "slow_calls": counts.slow_calls,
        "trips": counts.trips,
        "would_trip": counts.would_trip,
        "in_flight": counts.in_flight,
        "consecutive_failures": counts.consecutive_failures,
        "failure_ratio": counts.failure_ratio,
        "slow_ratio": counts.slow_ratio,
        "adaptive": counts.adaptive,
    }


def is_available(machine: Machine) -> bool:
    """Whether a call made now would be admitted."""
    if machine.state is State.HALF_OPEN and machine.trials is not None:
        return machine.trials.admitted < machine.policy.trial_calls
    return machine.state.gauge == 1.0


def explain(machine: Machine, counts: Counts) -> str:
    """Why it is in this state, in a few lines."""
    lines = [f"{machine.name} is {machine.state}: {MEANING[machine.state]}"]
    move, last = machine.last_move, machine.last_failure
    if move is None:
        lines.append("it has not moved since it was made")
    else:
        by = f" by {move.actor}" if move.actor else ""
        lines.append(f"moved from {move.source}{by}: {move.text or move.cause.replace('_', ' ')}")
    lines.extend(_present(machine, counts))
    if last is not None and (last.reason or last.error):
        lines.append(f"last failure: {': '.join(filter(None, (last.reason, last.error)))}")
    return "\n".join(lines)


def _present(machine: Machine, counts: Counts) -> list[str]:
    if machine.state is State.OPEN:
        return [f"first trial call in {machine.retry_after:.3f} s, opening {counts.openings}"]
    if machine.trials is not None:
        trials, allowed = machine.trials, machine.policy.trial_calls
        admitted = f"{trials.admitted} of {allowed} trial calls admitted"
        return [f"{admitted}, {trials.successes} succeeded, {trials.failures} failed"]
    if machine.state in {State.CLOSED, State.OBSERVE}:
        return [_distance(machine, counts.failure_ratio)]
    return []


def _distance(machine: Machine, ratio: float | None) -> str:
    policy, window, learner = machine.policy, machine.window, machine.learner
    if window is None:
        return f"{machine.run} failures in a row, opens at {policy.failure_threshold}"
    if ratio is None:
        return f"{window.calls} calls seen, no verdict below {policy.required_calls}"
    if learner is None:
        return f"failure ratio {ratio:.3f}, opens at {policy.failure_rate_threshold:g}"
    return (
        f"error rate {learner.trend:.3f}, opens at {learner.limit():.3f}; learnt {learner.base:.3f}"
    )
