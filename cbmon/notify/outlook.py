"""What a group has to say, and when: Alertmanager's waits, read for outages. Pure.

Rule: the first message of a group waits ``group_wait`` for others; news of a group that was told
waits until ``group_interval`` has passed since; the end of everything is told at once; a group that
goes on without news is told again every ``repeat_interval``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cbmon.notify.groups import Group, Member
from cbmon.notify.policy import Conditions, Hold, Why, held, pointless


class Moment(StrEnum):
    """Why a group speaks when it does."""

    GROUP_WAIT = "group_wait"
    GROUP_INTERVAL = "group_interval"
    ALL_OVER = "all_over"
    GATHERING = "gathering"
    """A storm has just begun."""
    REPEAT_INTERVAL = "repeat_interval"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A group at a moment. ``due`` and ``look_again`` are Unix seconds."""

    news: tuple[Member, ...] = ()
    going_on: tuple[Member, ...] = ()
    """Known to the line and not over: listed with the news, or told again."""
    held: tuple[tuple[Member, Hold], ...] = ()
    pointless: tuple[tuple[Member, Why], ...] = ()
    due: float | None = None
    moment: Moment | None = None
    look_again: float | None = None

    @property
    def next_look(self) -> float | None:
        """When something is to be done, or may be."""
        return min((at for at in (self.due, self.look_again) if at is not None), default=None)


def outlook(group: Group, members: Sequence[Member], conditions: Conditions) -> Outlook:
    """What a group has to say under these conditions."""
    news, going_on, kept, never = [], [], [], []
    for member in members:
        hold = held(member, conditions)
        why = pointless(member, hold, conditions)
        if why is not None:
            never.append((member, why))
        elif hold is not None:
            kept.append((member, hold))
        elif member.news is not None:
            news.append(member)
        elif not member.is_over:
            going_on.append(member)
    due, moment = _due(group, news, going_on, [m for m, _ in kept], conditions.now)
    return Outlook(
        news=tuple(news),
        going_on=tuple(going_on),
        held=tuple(kept),
        pointless=tuple(never),
        due=due,
        moment=moment,
        look_again=min((hold.until for _, hold in kept if hold.until is not None), default=None),
    )


def _due(
    group: Group,
    news: Sequence[Member],
    going_on: Sequence[Member],
    kept: Sequence[Member],
    now: float,
) -> tuple[float | None, Moment | None]:
    # A time ahead was written before the wall clock went back.
    flushed = None if group.flushed_at is None else min(group.flushed_at, now)
    if not news:
        if flushed is None or not going_on:
            return None, None
        return flushed + group.timing.repeat, Moment.REPEAT_INTERVAL
    first = min(min(max(member.since, member.held_until or 0.0), now) for member in news)
    waited = first + group.timing.wait
    if group.gathers_until is not None:
        return min(group.gathers_until, now + group.timing.interval), Moment.GATHERING
    if flushed is None:
        return waited, Moment.GROUP_WAIT
    if all(member.is_over for member in (*news, *going_on, *kept)):
        return now, Moment.ALL_OVER
    return max(waited, flushed + group.timing.interval), Moment.GROUP_INTERVAL
