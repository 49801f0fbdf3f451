"""From what an application reports to the daemon's transitions.

Rule: pure but for the incident that it keeps on the breaker. A move is told once: by its number
within one run of the application, and by the state when no number says it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cbmon.apps.members import Process, Reported, is_up
from cbmon.apps.report import Move
from cbmon.breaker import State
from cbmon.events import Transition, new_id
from cbmon.model import Reason

LOST: Final = "reported"
"""The cause of a move that only its result was seen of."""


def told_by(
    found: Reported, before: State | None, process: Process, now: float
) -> Iterator[Transition]:
    """The transitions that a report means, oldest first.

    ``before`` is the state that was known; None for a breaker that is new.
    """
    report = found.breaker.report
    run = process.report.run
    if run != found.run:
        found.run, found.last_number = run, 0
        fresh = _since_it_was_well(report.moves) if before is None else report.moves
    else:
        fresh = report.moves
    state = State.CLOSED if before is None else before
    latest = 0.0
    for move in sorted(fresh, key=lambda one: one.number):
        if move.number <= found.last_number or move.to_state is state:
            found.last_number = max(found.last_number, move.number)
            continue
        found.last_number = move.number
        latest = min(max(move.at, latest), now)
        yield _transition(found, state, move, latest)
        state = move.to_state
    if state is not report.state:
        yield _transition(found, state, _seen(found, state), now)


def _since_it_was_well(moves: tuple[Move, ...]) -> tuple[Move, ...]:
    """The moves of the present outage; what was over before it was first heard of is no news."""
    ordered = sorted(moves, key=lambda one: one.number)
    if not ordered or is_up(ordered[-1].to_state):
        return ()
    start = len(ordered) - 1
    while start > 0 and not is_up(ordered[start].from_state):
        start -= 1
    return tuple(ordered[start:])


def _seen(found: Reported, state: State) -> Move:
    report = found.breaker.report
    return Move(
        number=found.last_number,
        at=0.0,
        from_state=state,
        to_state=report.state,
        cause=LOST,
        text=f"the application reported {report.state}",
        last_reason=report.details["last_failure_reason"],
        last_error=report.details["last_error"],
        failure_count=report.counts.failure_count,
        cycles=report.counts.cycles,
        retry_after=report.retry_after,
    )


def _transition(found: Reported, state: State, move: Move, at: float) -> Transition:
    if found.incident is None and not is_up(move.to_state):
        found.incident, found.incident_started_at = new_id(at), at
    incident, started = found.incident, found.incident_started_at
    if is_up(move.to_state):
        found.incident = found.incident_started_at = None
    info = found.info
    return Transition(
        id=new_id(at),
        at=at,
        component=found.name,
        category=info.category,
        from_state=state.value,
        to_state=move.to_state.value,
        cause=move.cause or LOST,
        text=move.reason or move.text,
        reason=_reason(move.last_reason),
        last_error=move.last_error,
        actor=move.actor,
        incident=incident,
        incident_started_at=started,
        retry_after=move.retry_after,
        failure_count=move.failure_count,
        cycles=move.cycles,
        trips=found.breaker.counts.trips,
        info=info,
        snapshot=found.snapshot(),
    )


def _reason(told: str | None) -> Reason | None:
    return Reason(told) if told in set(Reason) else None
