"""Every group and member of every line, and what of it changed since the last commit.

Rule: all changes go through here, so that each reaches its row in the store; what a plan holds is
all that changed, in the order in which it must be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cbmon.model import Message
from cbmon.notify.groups import (
    GROUP_ROW,
    MEMBER_ROW,
    Group,
    Member,
    group_row,
    member_row,
)

Rows = dict[str, Mapping[str, Any] | None]
"""Rows by their key; None is a row that goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a transition, or the passing of time, causes: to be committed together."""

    messages: tuple[Message, ...] = ()
    rows: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.messages or self.rows)


class Board:
    """What every line should know."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        self._members: dict[str, dict[str, Member]] = {}
        self._places: dict[str, dict[str, tuple[str, str]]] = {}
        """By component and line: group and key of the member that is not over."""
        self._needing: dict[str, set[str]] = {}
        """By component: who is down and depends on it."""
        self._changes: Rows = {}

    @classmethod
    def restored(cls, rows: Mapping[str, Mapping[str, Any]]) -> Board:
        """From the rows of the store."""
        board = cls()
        for key, row in rows.items():
            if key.startswith(GROUP_ROW):
                board.put_group(Group.from_row(row))
        for key, row in rows.items():
            group_id = key.removeprefix(MEMBER_ROW).partition(":")[0]
            if key.startswith(MEMBER_ROW) and group_id in board.groups:
                board.put(group_id, Member.from_row(row))
        board._changes.clear()
        return board

    def take_changes(self) -> Rows:
        """What changed since this was last asked."""
        changes, self._changes = self._changes, {}
        return changes

    def note(self, key: str, row: Mapping[str, Any] | None) -> None:
        """Something else to be written in the same transaction."""
        self._changes[key] = row

    def members(self, group_id: str) -> list[Member]:
        """Those of a group, oldest first."""
        return list(self._members.get(group_id, {}).values())

    def everyone(self) -> Iterator[tuple[Group, Member]]:
        """Every member with its group."""
        for group_id, members in self._members.items():
            for member in members.values():
                yield self.groups[group_id], member

    def lines_of(self, component: str) -> tuple[str, ...]:
        """The lines that know of an outage of the component which goes on."""
        return tuple(self._places.get(component, ()))

    def affected(self, component: str) -> list[str]:
        """Who is down and depends on the component, also through others that are down; by name."""
        found: set[str] = set()
        waiting = [component]
        while waiting:
            new = self._needing.get(waiting.pop(), set()) - found - {component}
            found |= new
            waiting += new
        return sorted(found)

    def needing(self, component: str) -> list[tuple[Group, Member]]:
        """The outages of those that are down and depend on the component directly."""
        pairs = (
            self.live(name, line)
            for name in sorted(self._needing.get(component, ()))
            for line in self.lines_of(name)
        )
        return [pair for pair in pairs if pair is not None]

    def live(self, component: str, line: str) -> tuple[Group, Member] | None:
        """The outage of a component that goes on at a line."""
        place = self._places.get(component, {}).get(line)
        if place is None:
            return None
        group_id, key = place
        return self.groups[group_id], self._members[group_id][key]

    def put_group(self, group: Group) -> None:
        """Add or replace a group."""
        self.groups[group.id] = group
        self._members.setdefault(group.id, {})
        self._changes[group_row(group.id)] = group.as_row()

    def put(self, group_id: str, member: Member) -> None:
        """Add or replace a member."""
        self._members[group_id][member.key] = member
        line = self.groups[group_id].line
        if member.is_over:
            self._leave(member, line, group_id)
        else:
            self._places.setdefault(member.component, {})[line] = (group_id, member.key)
            for parent in member.depends_on:
                self._needing.setdefault(parent, set()).add(member.component)
        self._changes[member_row(group_id, member.key)] = member.as_row()

    def drop(self, group_id: str, members: Iterable[Member]) -> None:
        """Forget members; a group without any goes too."""
        for member in members:
            self._members[group_id].pop(member.key, None)
            self._leave(member, self.groups[group_id].line, group_id)
            self._changes[member_row(group_id, member.key)] = None
        if not self._members[group_id]:
            del self._members[group_id], self.groups[group_id]
            self._changes[group_row(group_id)] = None

    def move(self, source: str, target: str) -> None:
        """Put all members of one group into another one of the same line."""
        members = self.members(source)
        self.drop(source, members)
        for member in members:
            self.put(target, member)

    def _leave(self, member: Member, line: str, group_id: str) -> None:
        lines = self._places.get(member.component, {})
        if lines.get(line) == (group_id, member.key):
            del lines[line]
            if not lines:
                del self._places[member.component]
                for parent in member.depends_on:
                    self._needing.get(parent, set()).discard(member.component)
