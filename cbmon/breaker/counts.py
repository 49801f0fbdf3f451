"""A breaker's numbers at one moment.

Rule: taken under the lock, so that they agree with each other; totals never go down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cbmon.breaker.states import State

if TYPE_CHECKING:
    from cbmon.breaker.histogram import Histogram
    from cbmon.breaker.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Totals since the breaker was made, and what is true now."""

    calls: int
    """Admitted, those in forced_closed and those still running included."""
    successes: int
    failures: int
    ignored: int
    cancelled: int
    stale: int
    rejections: int
    slow_calls: int
    trips: int
    """Automatic openings."""
    would_trip: int
    """Trips that ``observe`` held back."""
    transitions: dict[tuple[State, State], int]
    failure_count: int
    """Kind count: the run of failures. Others: failures in the window. Kept while open."""
    success_count: int
    """Successful trial calls of the present half-open period, else 0."""
    consecutive_failures: int
    failure_ratio: float | None
    """None for kind count and below ``minimum_calls``."""
    slow_ratio: float | None
    cycles: int
    openings: int
    """Openings since the last closed: the k of the backoff."""
    in_flight: int
    open_until: float | None
    """Unix time of the recovery deadline; None when there is none."""
    last_failure_at: float | None
    last_transition_at: float | None
    histogram: Histogram | None
    adaptive: dict[str, float | None] | None
    """What an adaptive breaker has learnt; None for the other kinds."""


def count(machine: Machine, successes: int, running: int, histogram: Histogram | None) -> Counts:
    """The numbers at the machine's time; ``running`` calls are inside the guard."""
    in_flight = running + machine.out
    window = machine.window
    if window is not None:
        window.expire(machine.now)
    last, move, opening = machine.last_failure, machine.last_move, machine.opening
    enough = window is not None and window.calls >= machine.policy.required_calls
    rated = window if enough and window is not None else None
    measured = rated if machine.policy.slow_call_seconds is not None else None
    return Counts(
        calls=successes + machine.finished_otherwise() + in_flight,
        successes=successes,
        failures=machine.failures,
        ignored=machine.ignored,
        cancelled=machine.cancelled,
        stale=machine.stale,
        rejections=machine.rejections,
        slow_calls=machine.slow_calls,
        trips=machine.trips,
        would_trip=machine.would_trip,
        transitions=dict(machine.transitions or {}),
        failure_count=machine.failure_count(),
        success_count=0 if machine.trials is None else machine.trials.successes,
        consecutive_failures=machine.run,
        failure_ratio=None if rated is None else rated.failures / rated.calls,
        slow_ratio=None if measured is None else measured.slow / measured.calls,
        cycles=machine.cycles,
        openings=machine.openings,
        in_flight=in_flight,
        open_until=None if opening is None else opening.until - opening.margin + machine.offset,
        last_failure_at=None if last is None else last.at,
        last_transition_at=None if move is None else move.at,
        histogram=histogram,
        adaptive=learnt(machine),
    )


class Glance(NamedTuple):
    """The part of the numbers that every call changes, and a token for the rest of them."""

    calls: int
    in_flight: int
    rest: object
    """Equal to an earlier one: nothing else has changed. None: that cannot be told."""


def glance(machine: Machine, successes: int, running: int) -> Glance:
    """Much cheaper than :func:`count`; windows age by themselves, so they have no token."""
    in_flight = running + machine.out
    calls = successes + machine.finished_otherwise() + in_flight
    if machine.window is not None:
        return Glance(calls, in_flight, None)
    opening = machine.opening
    return Glance(
        calls,
        in_flight,
        (
            machine.generation,
            machine.failures,
            machine.slow_calls,
            machine.rejections,
            machine.run,
            None if opening is None else opening.until,
        ),
    )


def learnt(machine: Machine) -> dict[str, float | None] | None:
    """What the adaptive rules know, with the share of calls that throttling rejects."""
    if machine.learner is None:
        return None
    share = 0.0
    if machine.shedding is not None and machine.state is State.CLOSED:
        share = machine.shedding.probability(machine.window, machine.now)
    return {**machine.learner.export(), "rejection_share": share}
