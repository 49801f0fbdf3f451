"""Who gets a message: the tree of routes, and the receivers that a check names itself.

Rule: Alertmanager's reading of a tree. A receiver of several integrations is several lines, each
with its own outbox, so that a dead mail server does not hold up Slack.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cbmon.config import NotificationsConfig
from cbmon.config.routes import Route
from cbmon.model import BreakerInfo
from cbmon.notify.groups import Timing
from cbmon.notify.severity import SEVERITY, severity_of

_OWN: Final = "{}/own"
"""The path for receivers that a check names itself."""
NEVER_AGAIN: Final = 1e12
"""Seconds between reminders to a receiver that has its own."""


def line_name(receiver: str, integration: str) -> str:
    """The name of a line: ``oncall/slack``; the ``receiver`` label and the outbox's key."""
    return f"{receiver}/{integration}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a component belongs at a line: the route's path, its group's labels, its timing."""

    route: str
    labels: Mapping[str, str]
    timing: Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The tree, and the lines of each receiver."""

    route: Route | None = None
    lines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ungrouped: Collection[str] = frozenset()
    """Lines that get each outage at once and by itself: their receiver groups itself."""

    @classmethod
    def of(cls, config: NotificationsConfig, ungrouped: Collection[str] = ()) -> Routing:
        """The routing that a configuration describes; ``ungrouped`` are kinds of receivers."""
        return cls(
            route=config.route,
            ungrouped=frozenset(
                line_name(receiver.name, kind)
                for receiver in config.receivers
                for kind, _ in receiver.integrations
                if kind in ungrouped
            ),
            lines={
                receiver.name: tuple(
                    line_name(receiver.name, kind) for kind, _ in receiver.integrations
                )
                for receiver in config.receivers
            },
        )

    def recipients(self, info: BreakerInfo) -> tuple[str, ...]:
        """The lines for news of a component: those of its routes, then those that it names."""
        return tuple(self.placements(info))

    def placements(self, info: BreakerInfo) -> dict[str, Placement]:
        """By line: which group of it news of a component belongs to.

        A line that several routes lead to gets them once, by the first route. Without any of the
        labels that a route groups by, a component is a group of its own.
        """
        if self.route is None:
            routed: list[tuple[str, Route]] = []
            root = Route(receiver="")
        else:
            root = self.route
            routed = list(_matching(root, labels_of(info), "{}"))
        named = ((_OWN, replace(root, receiver=name)) for name in info.receivers)
        found: dict[str, Placement] = {}
        for path, route in (*routed, *named):
            together = Placement(
                route=path, labels=_group_labels(route.group_by, info), timing=Timing.of(route)
            )
            for line in self.lines.get(route.receiver, ()):
                alone = line in self.ungrouped
                found.setdefault(line, _by_itself(together, info) if alone else together)
        return found

    def timings(self) -> dict[str, Timing]:
        """The timing of every route by its path."""
        return {} if self.route is None else dict(_timings(self.route, "{}"))

    def root_lines(self) -> tuple[str, ...]:
        """The lines for news of cbmon itself."""
        return () if self.route is None else self.lines.get(self.route.receiver, ())

    def knows(self, line: str) -> bool:
        """Whether the line belongs to a configured receiver."""
        return any(line in lines for lines in self.lines.values())


def labels_of(info: BreakerInfo) -> dict[str, str]:
    """What matchers look at: the component's labels, and what cbmon itself knows of it."""
    own = {
        "component": info.name,
        "category": str(info.category),
        "group": info.group,
        "kind": info.kind,
        SEVERITY: severity_of(info.category, info.labels),
    }
    return {**info.labels, **{name: value for name, value in own.items() if value}}


def _by_itself(placement: Placement, info: BreakerInfo) -> Placement:
    timing = replace(placement.timing, wait=0.0, interval=0.0, repeat=NEVER_AGAIN)
    return replace(placement, labels={"component": info.name}, timing=timing)


def _group_labels(group_by: Iterable[str], info: BreakerInfo) -> dict[str, str]:
    labels, names = labels_of(info), tuple(group_by)
    if names == ("...",):
        return {**labels, "component": info.name}
    found = {name: labels.get(name, "") for name in names}
    return found if not names or any(found.values()) else {**found, "component": info.name}


def _matching(route: Route, labels: Mapping[str, str], path: str) -> Iterator[tuple[str, Route]]:
    """The routes that take these labels: the deepest that match, one unless ``continue`` is set."""
    if not all(matcher.matches(labels) for matcher in route.matchers):
        return
    found = False
    for child in route.routes:
        taken = tuple(_matching(child, labels, _path(path, child)))
        found = found or bool(taken)
        yield from taken
        if taken and not child.continue_:
            break
    if not found:
        yield path, route


def _timings(route: Route, path: str) -> Iterator[tuple[str, Timing]]:
    yield path, Timing.of(route)
    for child in route.routes:
        yield from _timings(child, _path(path, child))


def _path(parent: str, child: Route) -> str:
    """A name for a route that stays while its matchers do; as Alertmanager's group keys begin."""
    return f"{parent}/{{{','.join(str(matcher) for matcher in child.matchers)}}}"
