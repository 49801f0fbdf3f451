"""Send now, or not, and why: pure decisions, one per member of a group.

Rule: every decision has a reason out of :class:`Why`, which reaches metrics and logs. A reason to
stay silent is one function in STAGES; the first that speaks decides. Being silent never forgets:
what is held is told when the reason is gone, if it is still news then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cbmon.notify.calendar import Calendar
from cbmon.notify.groups import Member, Timing
from cbmon.notify.silences import Silence, Window


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
    ISOLATED = "isolated"
    """cbmon itself is cut off: what it sees says nothing of the targets."""
    AWAITING_TRIAL = "awaiting_trial"
    """What it needed is well again; told if its own next trial fails too."""
    WINDOW = "window"
    """A maintenance window is going on."""
    SILENCED = "silenced"
    """Someone silenced it."""
    MUTED = "muted"
    """Its route is quiet at this time."""
    DEPENDENCY = "dependency"
    """Something that it depends on is down and tells of it."""
    RESOLVED_OFF = "resolved_off"
    """The receiver does not want to hear of ends."""
    FLAPPING = "flapping"
    """It goes up and down; told when that begins and when it has settled."""
    STORM = "storm"
    """One of many at once: told in a digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A reason to stay silent, and when to look again (Unix seconds); None is at an event."""

    why: Why
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """All that a decision may look at besides the member."""

    now: float
    timing: Timing = field(default_factory=Timing)
    silences: Sequence[Silence] = ()
    windows: Sequence[Window] = ()
    calendar: Calendar = field(default_factory=Calendar)
    down: Collection[str] = frozenset()
    """Components with an outage."""
    isolated: bool = False
    resolves: bool = True
    """Whether the line wants to hear of ends."""


Stage = Callable[[Member, Conditions], Hold | None]


def _nothing_is_known_while_isolated(_: Member, conditions: Conditions) -> Hold | None:
    return Hold(why=Why.ISOLATED) if conditions.isolated else None


def _maintenance_is_expected(member: Member, conditions: Conditions) -> Hold | None:
    for window in conditions.windows:
        if window.covers(member.labels) and conditions.calendar.any(window.during, conditions.now):
            until = conditions.calendar.next_change(window.during, conditions.now)
            return Hold(why=Why.WINDOW, until=until)
    return None


def _silenced_by_someone(member: Member, conditions: Conditions) -> Hold | None:
    ends = [
        silence.ends_at
        for silence in conditions.silences
        if silence.covers(member.labels, conditions.now)
    ]
    return Hold(why=Why.SILENCED, until=min(ends)) if ends else None


def _quiet_at_this_time(_: Member, conditions: Conditions) -> Hold | None:
    timing, calendar, now = conditions.timing, conditions.calendar, conditions.now
    muted = calendar.any(timing.mute, now)
    inactive = bool(timing.active) and not calendar.any(timing.active, now)
    if not muted and not inactive:
        return None
    return Hold(why=Why.MUTED, until=calendar.next_change((*timing.mute, *timing.active), now))


def _explained_by_what_it_depends_on(member: Member, conditions: Conditions) -> Hold | None:
    if member.is_over and member.told is not None:
        return None
    if any(name in conditions.down for name in member.depends_on):
        return Hold(why=Why.DEPENDENCY)
    return None


def _may_recover_by_itself(member: Member, conditions: Conditions) -> Hold | None:
    until = member.held_until
    if until is None or (conditions.now >= until and not member.is_over):
        return None
    return Hold(why=Why.AWAITING_TRIAL, until=until)


STAGES: Final[tuple[Stage, ...]] = (
    _nothing_is_known_while_isolated,
    _maintenance_is_expected,
    _silenced_by_someone,
    _quiet_at_this_time,
    _explained_by_what_it_depends_on,
    _may_recover_by_itself,
)


def held(member: Member, conditions: Conditions) -> Hold | None:
    """Why a line is not told of a member now; None when it may be."""
    return next((hold for stage in STAGES if (hold := stage(member, conditions))), None)


def pointless(member: Member, hold: Hold | None, conditions: Conditions) -> Why | None:
    """Why an end is never told: nobody knew of its beginning, or nobody wants to know."""
    if not member.is_over or member.news is None:
        return None
    if not conditions.resolves:
        return Why.RESOLVED_OFF
    return hold.why if hold is not None and member.told is None else None
