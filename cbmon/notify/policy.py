"""Send now, or not, and why: pure decisions, one per line.

Rule: every decision has a reason out of :class:`Why`, which reaches metrics and logs. A reason to
stay silent is one function in STAGES; the first that speaks decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cbmon.events import Transition
from cbmon.model import Category
from cbmon.notify.incidents import Change, Incident
from cbmon.notify.routing import Routing


class Why(StrEnum):
    """Why a message goes to a line or not; the ``reason`` label of the suppressed counter."""

    SEND = "send"
    TRIAL = "trial"
    """A move inside an incident: half-open, or back to open."""
    NOT_TOLD = "not_told"
    """The line was not told of the outage, so its end is no news."""
    RECEIVER = "receiver"
    """The breaker of a receiver itself: telling a receiver that receivers are down helps nobody."""
    FOLDED = "folded"
    """The outage was over before it could be told: both are told in one message."""
    OUTAGE_LOST = "outage_lost"
    """The message of the outage is a dead letter, so its end is not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that a decision may look at."""

    move: Transition
    change: Change
    incident: Incident
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do about one line."""

    line: str
    why: Why

    @property
    def send(self) -> bool:
        """Whether a message goes there."""
        return self.why is Why.SEND


Stage = Callable[[Case], Why | None]


def _trials_are_silent(case: Case) -> Why | None:
    return Why.TRIAL if case.change is Change.UPDATED else None


def _receivers_do_not_tell_of_receivers(case: Case) -> Why | None:
    return Why.RECEIVER if case.move.category == Category.RECEIVER else None


def _an_end_needs_a_beginning(case: Case) -> Why | None:
    if case.change is Change.RECOVERED and case.line not in case.incident.told:
        return Why.NOT_TOLD
    return None


STAGES: Final[tuple[Stage, ...]] = (
    _receivers_do_not_tell_of_receivers,
    _trials_are_silent,
    _an_end_needs_a_beginning,
)


def decide(
    move: Transition, change: Change, incident: Incident | None, routing: Routing
) -> tuple[Decision, ...]:
    """What becomes of a transition at each line that is concerned.

    Those who were told of an outage hear of its end, also when the routes have changed since.
    """
    if incident is None or change is Change.NONE:
        return ()
    return tuple(
        Decision(
            line=line,
            why=_judged(Case(move=move, change=change, incident=incident, line=line)),
        )
        for line in _concerned(move, change, incident, routing)
    )


def _concerned(
    move: Transition, change: Change, incident: Incident, routing: Routing
) -> tuple[str, ...]:
    routed = routing.recipients(move.info)
    told = tuple(line for line in incident.told if routing.knows(line))
    if change is Change.OPENED:
        return routed
    return tuple(dict.fromkeys((*told, *routed)))


def _judged(case: Case) -> Why:
    return next((why for stage in STAGES if (why := stage(case)) is not None), Why.SEND)
