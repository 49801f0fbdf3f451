"""What a line should know and what it was told last: members in groups. Pure data.

Rule: frozen; each is one row of the store, written in the transaction of the transition that
changed it. A member is one outage at one line; a group is the members that share a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final

from cbmon.config.routes import Route
from cbmon.notify.severity import SEVERITY, severity_of


class Status(StrEnum):
    """What there is to know of an outage."""

    OPEN = "open"
    DISABLED = "disabled"
    FLAPPING = "flapping"
    OVER = "over"


NEWS: Final[Mapping[Status | None, Mapping[Status, str]]] = {
    None: {
        Status.OPEN: "opened",
        Status.DISABLED: "opened",
        Status.FLAPPING: "flapping",
        Status.OVER: "recovered",
    },
    Status.OPEN: {
        Status.DISABLED: "disabled",
        Status.FLAPPING: "flapping",
        Status.OVER: "recovered",
    },
    Status.DISABLED: {Status.FLAPPING: "flapping", Status.OVER: "recovered"},
    Status.FLAPPING: {
        Status.OPEN: "settled",
        Status.DISABLED: "settled",
        Status.OVER: "settled",
    },
    Status.OVER: {},
}
"""From what a line was told and what is true to the kind of its next message; no news, no kind."""
GROUP_ROW: Final = "group:"
MEMBER_ROW: Final = "member:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How patient a route is, in seconds, and when it is quiet (names of time intervals)."""

    wait: float = 10.0
    interval: float = 300.0
    repeat: float = 14_400.0
    mute: tuple[str, ...] = ()
    active: tuple[str, ...] = ()

    @classmethod
    def of(cls, route: Route) -> Timing:
        """That of a route."""
        return cls(
            wait=route.group_wait,
            interval=route.group_interval,
            repeat=route.repeat_interval,
            mute=route.mute_time_intervals,
            active=route.active_time_intervals,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One outage as one line sees it.

    ``status`` is what is true, ``told`` what the line's last message said; they differ exactly
    when there is news. Times are Unix seconds.
    """

    key: str
    """The incident that it began with; the same while the component flaps."""
    component: str
    incident: str
    status: Status
    told: Status | None = None
    since: float
    """When ``status`` became what it is."""
    started_at: float
    ended_at: float | None = None
    held_until: float | None = None
    """What it depends on is well again: it is told if it is still down then."""
    withdrawn: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What it is: component, group, target, labels, …."""
    move: Mapping[str, Any] = field(default_factory=dict)
    """How it last moved: state, text, cause, reason, last error, ….."""

    @property
    def news(self) -> str | None:
        """The kind of message that would tell it; None when the line knows."""
        kind = NEWS[self.told].get(self.status)
        return "withdrawn" if kind == "recovered" and self.withdrawn else kind

    @property
    def is_over(self) -> bool:
        """Whether the outage is over."""
        return self.status is Status.OVER

    @property
    def depends_on(self) -> tuple[str, ...]:
        """What it cannot work without."""
        return tuple(self.facts.get("depends_on", ()))

    @property
    def labels(self) -> dict[str, str]:
        """What matchers look at."""
        own = {
            "component": self.component,
            "category": self.facts.get("category"),
            "group": self.facts.get("group"),
            "kind": self.facts.get("type"),
        }
        found = {str(name): str(value) for name, value in self.facts.get("labels", {}).items()}
        own[SEVERITY] = severity_of(str(own["category"]), found)
        return {**found, **{name: str(value) for name, value in own.items() if value}}

    def as_row(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return _row(self)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Member:
        """Back from the store."""
        told = row["told"]
        found = {**row, "status": Status(row["status"]), "told": told and Status(told)}
        return cls(**found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What shares messages at one line. ``thread`` is its line in the outbox while it is told."""

    id: str
    line: str
    route: str
    labels: Mapping[str, str] = field(default_factory=dict)
    timing: Timing = Timing()
    storm: bool = False
    thread: str | None = None
    sequence: int = 0
    flushed_at: float | None = None
    gathers_until: float | None = None
    """A storm that just begins waits for those who come late."""
    absorbs: tuple[str, ...] = ()
    """Lines of the outbox that its next message takes over."""

    def told(self, thread: str, now: float) -> Group:
        """After one more message."""
        return replace(
            self,
            thread=thread,
            sequence=self.sequence + 1,
            flushed_at=now,
            gathers_until=None,
            absorbs=(),
        )

    def as_row(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {**_row(self), "timing": _row(self.timing)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Group:
        """Back from the store."""
        timing: dict[str, Any] = dict(row["timing"])
        quiet = {name: tuple(timing[name]) for name in ("mute", "active")}
        made = Timing(**{**timing, **quiet})
        return cls(**{**row, "timing": made, "absorbs": tuple(row["absorbs"])})


_NAMES: Final = {kind: tuple(one.name for one in fields(kind)) for kind in (Timing, Member, Group)}


def _row(one: Timing | Member | Group) -> dict[str, Any]:
    return {name: getattr(one, name) for name in _NAMES[type(one)]}


def group_row(group_id: str) -> str:
    """The key of a group's row."""
    return f"{GROUP_ROW}{group_id}"


def member_row(group_id: str, key: str) -> str:
    """The key of a member's row."""
    return f"{MEMBER_ROW}{group_id}:{key}"
