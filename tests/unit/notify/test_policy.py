"""Who is told what: this table is the specification of incidents, routes and policy.

Each case is a story of moves; what is expected is what each line gets, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cbmon.config.routes import Matcher, Route
from cbmon.events import Transition
from cbmon.model import BreakerInfo, Category, Message, Reason
from cbmon.notify.hooks import SilentHooks
from cbmon.notify.incidents import Incident, Incidents
from cbmon.notify.messages import Site
from cbmon.notify.notifier import Notifier
from cbmon.notify.routing import Routing

LINES = {
    "oncall": ("oncall/slack", "oncall/email"),
    "shop": ("shop/webhook",),
    "default": ("default/webhook",),
}
TREE = Route(
    receiver="default",
    routes=(
        Route(receiver="oncall", matchers=(Matcher.parse("category=export"),)),
        Route(receiver="oncall", matchers=(Matcher.parse('tier="1"'),), continue_=True),
        Route(receiver="shop", matchers=(Matcher.parse("team=shop"),)),
    ),
)


class Suppressions(SilentHooks):
    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def suppressed(self, receiver: str, reason: str) -> None:
        self.all.append((receiver, reason))


def notifier(
    route: Route | None = TREE, incidents: Incidents | None = None
) -> tuple[Notifier, Suppressions]:
    hooks = Suppressions()
    made = Notifier(
        routing=Routing(route=route, lines=LINES),
        site=Site(external_url="https://cbmon.example.net", labels={"site": "fra1"}),
        hooks=hooks,
        incidents=incidents or Incidents(),
    )
    return made, hooks


def moves(states: Sequence[str], incident: str | None = "i1", **fields: Any) -> list[Transition]:
    """A component's way through these states; the first is where it comes from."""
    info = fields.pop("info", BreakerInfo(name="api", category=Category.CHECK))
    return [
        Transition(
            id=f"{incident}-{number}",
            at=100.0 + number,
            component=info.name,
            category=info.category,
            from_state=states[number - 1],
            to_state=state,
            cause="test",
            incident=incident,
            incident_started_at=101.0,
            info=info,
            **fields,
        )
        for number, state in enumerate(states)
        if number > 0
    ]


def told(by: Notifier, story: Sequence[Transition]) -> list[str]:
    return [f"{m.receiver}:{m.kind}" for move in story for m in by.messages(move)]


BOTH = ["default/webhook:opened", "default/webhook:recovered"]
STORIES = {
    "an outage and its end": (["closed", "open", "half_open", "closed"], BOTH),
    "twenty trials are silent": (["closed", *["open", "half_open"] * 20, "closed"], BOTH),
    "half-open first is not an outage yet": (["closed", "half_open"], []),
    "half-open first, then open": (["closed", "half_open", "open", "closed"], BOTH),
    "half-open first, then well": (["closed", "half_open", "closed"], []),
    "forced open by a person": (["closed", "forced_open", "closed"], BOTH),
    "disabled by a person": (["closed", "disabled", "closed"], BOTH),
    "disabled after trials is told too": (
        ["closed", "open", "half_open", "disabled"],
        ["default/webhook:opened", "default/webhook:disabled"],
    ),
    "enabled for one more chance, then well": (
        ["closed", "open", "half_open", "disabled", "half_open", "closed"],
        ["default/webhook:opened", "default/webhook:disabled", "default/webhook:recovered"],
    ),
    "forced closed ends it": (["closed", "open", "forced_closed"], BOTH),
    "observe ends it": (["closed", "open", "observe"], BOTH),
}


@pytest.mark.parametrize(("states", "expected"), STORIES.values(), ids=STORIES.keys())
def test_a_story_is_told_like_this(states: list[str], expected: list[str]) -> None:
    by, _ = notifier()
    assert told(by, moves(states)) == expected


@pytest.mark.parametrize(
    "states", [["closed", "observe"], ["observe", "closed"], ["closed", "forced_closed"]]
)
def test_a_move_outside_of_any_incident_is_not_told(states: list[str]) -> None:
    by, hooks = notifier()
    assert told(by, moves(states, incident=None)) == []
    assert hooks.all == []


ROUTES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "the root, when nothing matches": ({}, ["default/webhook"]),
    "a matching child instead of the root": ({"labels": {"team": "shop"}}, ["shop/webhook"]),
    "all integrations of a receiver": (
        {"category": Category.EXPORT},
        ["oncall/slack", "oncall/email"],
    ),
    "continue goes on to the next match": (
        {"labels": {"tier": "1", "team": "shop"}},
        ["oncall/slack", "oncall/email", "shop/webhook"],
    ),
    "continue without another match": (
        {"labels": {"tier": "1"}},
        ["oncall/slack", "oncall/email"],
    ),
    "a check's own receivers besides": (
        {"receivers": ("shop",)},
        ["default/webhook", "shop/webhook"],
    ),
    "nobody twice": (
        {"labels": {"team": "shop"}, "receivers": ("shop", "shop")},
        ["shop/webhook"],
    ),
    "an unknown receiver is nobody": ({"receivers": ("gone",)}, ["default/webhook"]),
    "a receiver's own breaker tells nobody": ({"category": Category.RECEIVER}, []),
}


@pytest.mark.parametrize(("fields", "expected"), ROUTES.values(), ids=ROUTES.keys())
def test_news_goes_to(fields: dict[str, Any], expected: list[str]) -> None:
    by, _ = notifier()
    info = BreakerInfo(**({"name": "api", "category": Category.CHECK} | fields))
    story = moves(["closed", "open"], info=info)
    assert [message.receiver for message in by.messages(story[0])] == expected


def test_without_a_route_only_the_checks_own_receivers_hear() -> None:
    by, _ = notifier(route=None)
    info = BreakerInfo(name="api", category=Category.CHECK, receivers=("shop",))
    assert told(by, moves(["closed", "open"], info=info)) == ["shop/webhook:opened"]
    assert told(by, moves(["closed", "open"], incident="i2")) == []


def test_every_suppression_has_its_reason() -> None:
    by, hooks = notifier()
    told(by, moves(["closed", "open", "half_open", "open", "closed"]))
    assert hooks.all == [("default/webhook", "trial")] * 2
    info = BreakerInfo(name="hook", category=Category.RECEIVER)
    told(by, moves(["closed", "open"], incident="i2", info=info))
    assert hooks.all[2:] == [("default/webhook", "receiver")]


def test_who_was_told_of_an_outage_hears_its_end_after_routes_changed() -> None:
    by, hooks = notifier()
    story = moves(["closed", "open", "closed"])
    assert told(by, story[:1]) == ["default/webhook:opened"]
    by.reconfigure(Routing(route=Route(receiver="shop"), lines=LINES), Site())
    assert told(by, story[1:]) == ["default/webhook:recovered"]
    assert hooks.all == [("shop/webhook", "not_told")]


def test_a_receiver_that_is_gone_is_not_written_to() -> None:
    by, _ = notifier()
    story = moves(["closed", "open", "closed"])
    told(by, story[:1])
    lines = {"shop": ("shop/webhook",)}
    by.reconfigure(Routing(route=Route(receiver="shop"), lines=lines), Site())
    assert told(by, story[1:]) == []


def test_a_restart_in_the_middle_tells_only_the_difference() -> None:
    first, _ = notifier()
    story = moves(["closed", "open", "half_open", "open", "half_open", "closed"])
    assert told(first, story[:2]) == ["default/webhook:opened"]
    rows = [
        {
            "id": "i1",
            "component": "api",
            "started_at": 101.0,
            "receivers": ["default/webhook"],
            "sequence": 1,
            "trials": 1,
            "reason": "connect",
            "last_error": "refused",
        }
    ]
    second, _ = notifier(incidents=Incidents.restored(rows))
    assert told(second, story[2:4]) == []
    [recovered] = second.messages(story[4])
    assert (recovered.sequence, recovered.body["trials"]) == (2, 2)


def test_an_outage_that_nobody_was_told_of_is_told_when_it_goes_on() -> None:
    rows = [
        {"id": "i1", "component": "api", "started_at": 1.0, "receivers": [], "sequence": 0}
        | {"trials": 0, "reason": None, "last_error": None}
    ]
    by, _ = notifier(incidents=Incidents.restored(rows))
    assert told(by, moves(["half_open", "open"])) == ["default/webhook:opened"]


def test_making_a_message_again_makes_the_same_message() -> None:
    def first_message() -> Message:
        by, _ = notifier()
        return by.messages(moves(["closed", "open"])[0])[0]

    assert first_message() == first_message()
    assert first_message().id.startswith("msg_")


def test_every_message_of_an_incident_has_the_next_place_in_its_line() -> None:
    by, _ = notifier()
    story = moves(["closed", "open", "half_open", "disabled", "closed"])
    made = [m for move in story for m in by.messages(move)]
    assert [(m.kind, m.sequence) for m in made] == [
        ("opened", 1),
        ("disabled", 2),
        ("recovered", 3),
    ]
    assert len({m.id for m in made}) == 3
    assert len(by.incidents) == 0


def test_a_message_says_what_why_since_when_and_for_how_long() -> None:
    by, _ = notifier()
    info = BreakerInfo(
        name="api",
        category=Category.CHECK,
        group="shop",
        target="https://shop.example.net",
        kind="http",
        labels={"team": "core", "site": "own"},
    )
    story = moves(
        ["closed", "open", "half_open", "closed"],
        info=info,
        reason=Reason.TIMEOUT,
        last_error="no answer",
        text="5 failures in a row",
    )
    opened, recovered = (m.body for move in story for m in by.messages(move))
    assert opened["labels"] == {"site": "own", "team": "core"}
    assert (opened["reason"], opened["last_error"]) == ("timeout", "no answer")
    assert (opened["started_at"], opened["ended_at"]) == (101.0, None)
    assert (opened["text"], opened["state"]) == ("5 failures in a row", "open")
    assert (recovered["started_at"], recovered["ended_at"]) == (101.0, 103.0)
    assert recovered["trials"] == 1
    assert opened["external_url"] == "https://cbmon.example.net"
    assert opened["receiver"] == "default"


def test_what_left_the_configuration_is_withdrawn_where_it_was_told() -> None:
    incidents = Incidents(
        [
            Incident(id="i1", component="api", started_at=1.0, told=("shop/webhook",), sequence=1),
            Incident(id="i2", component="db", started_at=1.0, told=("gone/slack",), sequence=1),
        ]
    )
    by, _ = notifier(incidents=incidents)
    gone = [BreakerInfo(name=name, category=Category.CHECK) for name in ("api", "db", "calm")]
    [message] = by.withdraw(gone, at=50.0)
    assert (message.receiver, message.kind, message.sequence) == ("shop/webhook", "withdrawn", 2)
    assert message.body["ended_at"] == 50.0
    assert len(by.incidents) == 0
