"""Many messages at once become one digest per route. Pure.

Rule: a storm is more messages of one route to one line within a short span than anyone reads; what
belongs to it shares a group, and so its messages, until all of it is over.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from dataclasses import dataclass

from cbmon.notify.groups import Group

Front = tuple[str, str]
"""A line and the path of a route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """When a storm begins, and how long it gathers; seconds. No messages: there are no storms."""

    messages: int = 10
    within: float = 60.0
    gather: float = 5.0


class Fronts:
    """Counts what was sent and what waits, by line and route."""

    def __init__(self, rules: Storm) -> None:
        self.rules = rules
        self._sent: defaultdict[Front, deque[float]] = defaultdict(deque)
        self._waiting: defaultdict[Front, set[str]] = defaultdict(set)

    def waits(self, group: Group, *, news: bool) -> None:
        """Whether a group has something to say that is not said yet."""
        waiting = self._waiting[_front(group)]
        if news and not group.storm:
            waiting.add(group.id)
        else:
            waiting.discard(group.id)

    def sent(self, group: Group, now: float) -> None:
        """A group spoke."""
        sent = self._sent[_front(group)]
        sent.append(now)
        while len(sent) > self.rules.messages:
            sent.popleft()

    def gone(self, group: Group) -> None:
        """A group is no more."""
        self._waiting[_front(group)].discard(group.id)

    def storm(self, group: Group, now: float) -> frozenset[str]:
        """The groups that belong to a storm with this one; nothing when there is none."""
        if self.rules.messages <= 0 or group.storm:
            return frozenset()
        front = _front(group)
        recent = sum(now - at < self.rules.within for at in self._sent[front])
        waiting = frozenset(self._waiting[front] | {group.id})
        return waiting if recent + len(waiting) > self.rules.messages else frozenset()


def storm_of(group: Group) -> Group:
    """The empty group that a storm of this one's route gathers in."""
    name = group_id(group.line, group.route, "storm")
    return Group(id=name, line=group.line, route=group.route, timing=group.timing, storm=True)


def group_id(line: str, route: str, key: str) -> str:
    """16 hex digits that name a group, the same after a restart."""
    return hashlib.sha256(f"{line}\0{route}\0{key}".encode()).hexdigest()[:16]


def _front(group: Group) -> Front:
    return group.line, group.route
