"""A breaker's state as JSON, and back.

Rules: a restored wait is what remains by wall time, never more than the wait itself; half-open
starts its trials anew; a snapshot that is not one gives a closed breaker and a ``reset`` event.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from cbmon.breaker.gate import learner_for, window_for
from cbmon.breaker.parts import LastFailure, LastMove, Opening, Trials
from cbmon.breaker.states import MOVES, State, Trigger
from cbmon.breaker.telling import tell_reset

if TYPE_CHECKING:
    from cbmon.breaker.machine import Machine

VERSION: Final = 1
TOTALS: Final = (
    "successes", "failures", "ignored", "cancelled", "stale", "unrecorded", "rejections",
    "slow_calls", "trips", "would_trip",
)  # fmt: skip
NOW: Final = ("run", "kept_failures", "cycles", "openings", "drawn")
_LARGEST: Final = 1 << 63


def take(machine: Machine) -> dict[str, Any]:
    """Everything that must survive a restart; JSON-able, times are Unix seconds."""
    opening, last, move = machine.opening, machine.last_failure, machine.last_move
    at = machine.offset
    return {
        "version": VERSION,
        "state": machine.state.value,
        "kind": machine.policy.kind,
        "at": machine.now + at,
        "totals": {name: getattr(machine, name) for name in TOTALS},
        "now": {name: getattr(machine, name) for name in NOW},
        "seed": machine.seed,
        "opening": opening
        and {"at": opening.at + at, "until": opening.until + at, "counted": opening.counted},
        "adaptive": machine.learner and machine.learner.dump(),
        "window": machine.window and machine.window.dump(machine.now, at),
        "transitions": [
            [source.value, target.value, number]
            for (source, target), number in (machine.transitions or {}).items()
        ],
        "last_failure": last and {"at": last.at, "reason": last.reason, "error": last.error},
        "last_move": move
        and {
            "source": move.source.value, "cause": move.cause.value, "at": move.at,
            "text": move.text, "actor": move.actor, "reason": move.reason,
        },
    }  # fmt: skip


def put(machine: Machine, snapshot: object) -> None:
    """Become what the snapshot says; nothing is told, unless it is corrupt."""
    try:
        parts = _Parts(machine, snapshot)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        _corrupt(machine, f"corrupt snapshot: {_cause(error)}")
        return
    parts.apply(machine)


class _Parts:
    """A snapshot read and checked as a whole before any of it is applied."""

    def __init__(self, machine: Machine, snapshot: Any) -> None:
        if not isinstance(snapshot, dict):
            raise TypeError("not an object")
        if snapshot["version"] != VERSION:
            raise ValueError(f"version {snapshot['version']!r}, expected {VERSION}")
        self.state = State(snapshot["state"])
        self.totals = {name: _whole(snapshot["totals"][name], name) for name in TOTALS}
        self.now = {name: _whole(snapshot["now"][name], name) for name in NOW}
        self.seed = None if snapshot["seed"] is None else _integer(snapshot["seed"], "seed")
        self.transitions = _transitions(snapshot["transitions"])
        self.last_failure = _last_failure(snapshot["last_failure"])
        self.last_move = _last_move(snapshot["last_move"])
        self.opening = None
        if self.state is State.OPEN:
            self.opening = _opening(machine, snapshot["opening"])
        self.window = window_for(machine.policy)
        if self.window is not None and snapshot["kind"] == machine.policy.kind:
            self.window.load(snapshot["window"], machine.now, machine.offset)
        self.learner = learner_for(machine.policy, None)
        if self.learner is not None and snapshot["kind"] == machine.policy.kind:
            self.learner.load(snapshot["adaptive"])

    def apply(self, machine: Machine) -> None:
        machine.generation += 1
        machine.high = 0
        machine.state = self.state
        for name, value in {**self.totals, **self.now}.items():
            setattr(machine, name, value)
        machine.known = machine.successes
        machine.seed = machine.seed if self.seed is None else self.seed
        machine.transitions = self.transitions
        machine.last_failure = self.last_failure
        machine.last_move = self.last_move
        machine.opening = self.opening
        machine.trials = Trials() if self.state is State.HALF_OPEN else None
        machine.window = self.window
        machine.learner = self.learner


def _opening(machine: Machine, data: Any) -> Opening:
    begun, until = _time(data["at"], "opening.at"), _time(data["until"], "opening.until")
    if not isinstance(data["counted"], bool):
        raise TypeError(f"opening.counted: {data['counted']!r} is not true or false")
    wait = max(0.0, until - begun)
    remaining = min(max(until - (machine.now + machine.offset), 0.0), wait)
    end = machine.now + remaining
    return Opening(end - wait, end, counted=data["counted"])


def _transitions(data: Any) -> dict[tuple[State, State], int] | None:
    found = {}
    for source, target, number in data:
        found[State(source), State(target)] = _whole(number, "transitions")
    return found or None


def _last_failure(data: Any) -> LastFailure | None:
    if data is None:
        return None
    at = _time(data["at"], "last_failure.at")
    return LastFailure(at, _words(data["reason"]), _words(data["error"]))


def _last_move(data: Any) -> LastMove | None:
    if data is None:
        return None
    return LastMove(
        source=State(data["source"]),
        cause=Trigger(data["cause"]),
        at=_time(data["at"], "last_move.at"),
        text=_words(data["text"]) or "",
        actor=_words(data["actor"]),
        reason=_words(data["reason"]),
    )


def _corrupt(machine: Machine, reason: str) -> None:
    if Trigger.RESET in MOVES[machine.state]:
        machine.move(Trigger.RESET, text=reason, reason=reason)
    else:
        machine.begin_anew()
    tell_reset(machine, None, reason)


def _whole(value: Any, name: str) -> int:
    number = _integer(value, name)
    if not 0 <= number < _LARGEST:
        raise ValueError(f"{name}: {value!r} is negative or too large")
    return number


def _integer(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: {value!r} is not a whole number")
    return value


def _time(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise TypeError(f"{name}: {value!r} is not a time")
    return float(value)


def _words(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _cause(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
