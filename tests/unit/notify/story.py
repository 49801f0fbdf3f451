"""A stage for the notifier alone: stories of moves and moments, told on a clock that is moved.

A step is a text: ``"5 api open"``, ``"60 restart"``, ``"60 isolate"``, ``"60 connect"``,
``"0 silence 100 component=api"``, ``"70 expire"``, ``"50 withdraw api"``. What is expected is what
left when: ``"10 opened api"``, ``"10 opened api=opened db=opened"``; seconds since the beginning.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cbmon.config.routes import Matcher, Route
from cbmon.events import Transition
from cbmon.model import UP_STATES, BreakerInfo, Category, Message, Reason
from cbmon.notify.board import Plan
from cbmon.notify.hooks import SilentHooks
from cbmon.notify.incidents import DOWN_STATES, Incidents
from cbmon.notify.messages import Site, entries_of
from cbmon.notify.notifier import Notifier, Rules
from cbmon.notify.routing import Routing
from cbmon.notify.silences import Silence

BASE = 1_750_000_000.0
"""The beginning of every story: Sunday 2025-06-15 15:06:40 UTC."""
LINES = {
    "ops": ("ops/slack",),
    "shop": ("shop/webhook",),
    "oncall": ("oncall/slack", "oncall/email"),
    "pager": ("pager/pagerduty",),
}


def check(name: str, **fields: Any) -> BreakerInfo:
    return BreakerInfo(**({"name": name, "category": Category.CHECK} | fields))


SHOP = [check("api", group="shop"), check("db", group="shop"), check("web", group="shop")]
DEPENDENT = [
    check("db"),
    check("api", depends_on=("db",)),
    check("web", depends_on=("api",)),
    check("cache"),
    check("cart", depends_on=("db", "cache")),
]


class Counted(SilentHooks):
    """Hooks that remember what was held back, and why."""

    def __init__(self) -> None:
        self.suppressions: list[str] = []

    def suppressed(self, receiver: str, reason: str) -> None:
        self.suppressions.append(reason)


class Story:
    """One notifier, its store, and everything that it said."""

    def __init__(
        self,
        *,
        route: Route | None = None,
        rules: Rules | None = None,
        infos: Sequence[BreakerInfo] = (),
        start: float = BASE,
        ungrouped: frozenset[str] = frozenset(),
    ) -> None:
        self.route = route if route is not None else Route(receiver="ops")
        self.rules = rules or Rules()
        self.infos = {info.name: info for info in infos}
        self.hooks = Counted()
        self.routing = Routing(route=self.route, lines=LINES, ungrouped=ungrouped)
        self.site = Site(external_url="https://cbmon.example.net", labels={"site": "fra1"})
        self.start = self.now = start
        self.rows: dict[str, Mapping[str, Any]] = {}
        self.incidents: dict[str, dict[str, Any]] = {}
        self.states: dict[str, str] = {}
        self.running: dict[str, str] = {}
        self.silences: list[Silence] = []
        self.messages: list[Message] = []
        self.heard: list[str] = []
        self.number = 0
        self.notifier = self.begin()

    def begin(self) -> Notifier:
        """A notifier out of what the store has."""
        made = Notifier(
            routing=self.routing,
            site=self.site,
            hooks=self.hooks,
            incidents=Incidents.restored(self.incidents.values()),
            rules=self.rules,
            rows=self.rows,
            silences=self.silences,
        )
        self.take(made.resume(self.now))
        return made

    def take(self, plan: Plan) -> None:
        """Commit a plan: as JSON, as the store keeps it."""
        for key, row in plan.rows.items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = json.loads(json.dumps(row))
        self.messages += plan.messages
        self.heard += [self.told(message) for message in plan.messages]

    def told(self, message: Message) -> str:
        entries = entries_of(message.body)
        line = "" if message.receiver == "ops/slack" else f"{message.receiver} "
        when = f"{round(self.now - self.start, 3):g}"
        if "entries" not in message.body:
            return f"{when} {line}{message.kind} {message.body['component']}"
        each = " ".join(f"{entry['component']}={entry['kind']}" for entry in entries)
        return f"{when} {line}{message.kind} {each}"

    def run(self, steps: Sequence[str], until: float = 2000.0) -> list[str]:
        """Play the steps, each at its second, and let time pass until the end."""
        for step in steps:
            at, _, what = step.partition(" ")
            self.pass_time(float(at))
            self.do(what.split(" "))
        self.pass_time(until)
        return self.heard

    def pass_time(self, second: float) -> None:
        end = self.start + second
        while (deadline := self.notifier.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.take(self.notifier.tick(self.now))
        self.now = end

    def do(self, words: list[str]) -> None:
        match words:
            case ["restart"]:
                self.notifier = self.begin()
            case ["isolate" | "connect" as what]:
                self.take(self.notifier.isolate(isolated=what == "isolate", now=self.now))
            case ["silence", seconds, *matchers]:
                self.silences.append(self.silence(float(seconds), matchers))
                self.take(self.notifier.silence(self.silences, self.now))
            case ["expire"]:
                self.silences.clear()
                self.take(self.notifier.silence((), self.now))
            case ["withdraw", name]:
                self.take(self.notifier.withdraw([self.info(name)], at=self.now))
                self.incidents.pop(self.running.pop(name), None)
            case ["reload"]:
                self.take(self.notifier.reconfigure(self.routing, self.site, self.rules, self.now))
            case [name, state]:
                self.move(name, state)
            case _:
                raise AssertionError(words)

    def silence(self, seconds: float, matchers: Sequence[str]) -> Silence:
        return Silence(
            id=f"s{len(self.silences)}",
            matchers=tuple(map(Matcher.parse, matchers)),
            starts_at=self.now,
            ends_at=self.now + seconds,
            author="ada",
            reason="deploy",
            created_at=self.now,
        )

    def info(self, name: str) -> BreakerInfo:
        return self.infos.get(name, BreakerInfo(name=name, category=Category.CHECK))

    def move(self, name: str, state: str) -> None:
        before = self.states.get(name, "closed")
        if name not in self.running and not (before in UP_STATES and state in UP_STATES):
            self.number += 1
            self.running[name] = f"i{self.number}"
        incident = self.running.get(name)
        move = Transition(
            id=f"e{self.now:.3f}-{name}-{state}",
            at=self.now,
            component=name,
            category=self.info(name).category,
            from_state=before,
            to_state=state,
            cause="test",
            incident=incident,
            incident_started_at=self.incidents.get(incident or "", {}).get("started_at", self.now),
            reason=Reason.CONNECT,
            last_error="refused",
            info=self.info(name),
        )
        self.states[name] = state
        if incident is not None:
            self.record(incident, name, state)
        self.take(self.notifier.follow(move))

    def record(self, incident: str, name: str, state: str) -> None:
        """The row of ``incidents``, as the store keeps it."""
        row = self.incidents.setdefault(
            incident, {"id": incident, "component": name, "started_at": self.now}
        )
        row.setdefault("trials", 0)
        row |= {"last_state": state, "moves": row.get("moves", 0) + 1}
        row |= {"trials": row["trials"] + (state == "half_open")}
        row |= {"reason": "connect", "last_error": "refused"}
        if state in UP_STATES:
            self.incidents.pop(incident)
            self.running.pop(name)
        assert state in UP_STATES | DOWN_STATES | {"half_open"}
