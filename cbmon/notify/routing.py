"""Who gets a message: the tree of routes, and the receivers that a check names itself.

Rule: Alertmanager's reading of a tree. A receiver of several integrations is several lines, each
with its own outbox, so that a dead mail server does not hold up Slack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cbmon.config import NotificationsConfig
from cbmon.config.routes import Route
from cbmon.model import BreakerInfo


def line_name(receiver: str, integration: str) -> str:
    """The name of a line: ``oncall/slack``; the ``receiver`` label and the outbox's key."""
    return f"{receiver}/{integration}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The tree, and the lines of each receiver."""

    route: Route | None = None
    lines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, config: NotificationsConfig) -> Routing:
        """The routing that a configuration describes."""
        return cls(
            route=config.route,
            lines={
                receiver.name: tuple(
                    line_name(receiver.name, kind) for kind, _ in receiver.integrations
                )
                for receiver in config.receivers
            },
        )

    def recipients(self, info: BreakerInfo) -> tuple[str, ...]:
        """The lines for news of a component: those of its routes, then those that it names."""
        routed = () if self.route is None else matching(self.route, labels_of(info))
        receivers = dict.fromkeys([*(route.receiver for route in routed), *info.receivers])
        lines = (line for name in receivers for line in self.lines.get(name, ()))
        return tuple(dict.fromkeys(lines))

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
    }
    return {**info.labels, **{name: value for name, value in own.items() if value}}


def matching(route: Route, labels: Mapping[str, str]) -> Iterator[Route]:
    """The routes that take these labels: the deepest that match, one unless ``continue`` is set."""
    if not all(matcher.matches(labels) for matcher in route.matchers):
        return
    found = False
    for child in route.routes:
        taken = tuple(matching(child, labels))
        found = found or bool(taken)
        yield from taken
        if taken and not child.continue_:
            break
    if not found:
        yield route
