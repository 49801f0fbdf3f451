"""Applications as the daemon knows them. Rule: every move is told once; silence is said."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from cbmon import State
from cbmon.apps import Apps, Bounds, NoOrdersError, ReportError, parse_report
from cbmon.events import Action, Event, Transition
from cbmon.model import BreakerInfo
from cbmon.testing import ManualClock


class FakeNumbers:
    def __init__(self) -> None:
        self.breakers: dict[str, Any] = {}
        self.up: dict[tuple[str, str], bool] = {}
        self.reports = [0, 0]

    def add_breaker(self, breaker: Any) -> None:
        self.breakers[breaker.name] = breaker

    def remove_breaker(self, breaker: Any) -> None:
        self.breakers.pop(breaker.name, None)

    def app(self, application: str, process: str, *, up: bool, heard_at: float) -> None:
        self.up[application, process] = up

    def remove_app(self, application: str, process: str) -> None:
        self.up.pop((application, process), None)

    def app_report(self, *, refused: bool) -> None:
        self.reports[refused] += 1


class World:
    def __init__(self, **bounds: Any) -> None:
        self.clock = ManualClock()
        self.numbers = FakeNumbers()
        self.events: list[Event] = []
        self.gone: list[str] = []
        self.checks: set[str] = set()
        self.bounds = Bounds(**bounds)
        self.apps = self.made()

    def made(self) -> Apps:
        return Apps(
            clock=self.clock,
            metrics=self.numbers,
            publish=self.events.append,
            forget=self._forget,
            taken=self.checks.__contains__,
            labels=lambda: {"site": "fra1"},
            bounds=self.bounds,
        )

    def _forget(self, gone: Sequence[BreakerInfo]) -> None:
        self.gone += [info.name for info in gone]

    def say(
        self,
        state: str = "closed",
        *moves: tuple[int, str, str],
        owner: str = "ci",
        name: str = "redis",
        breaker: dict[str, Any] | None = None,
        **head: Any,
    ) -> Any:
        told = [
            {"number": n, "from": a, "to": b, "at": self.clock.time(), "cause": "x"}
            for n, a, b in moves
        ]
        body = {
            "application": "shop",
            "run": "r1",
            "ttl_seconds": 30,
            "breakers": [{"name": name, "state": state, "moves": told, **(breaker or {})}],
            **head,
        }
        return self.apps.take(parse_report(body), owner)

    @property
    def moves(self) -> list[tuple[str, str]]:
        return [(e.from_state, e.to_state) for e in self.events if isinstance(e, Transition)]


# --- reports ------------------------------------------------------------------------------


def test_a_reported_breaker_is_a_component_like_others() -> None:
    world = World()
    world.say(
        "open",
        breaker={"labels": {"team": "a"}, "tags": ["x"], "retry_after_seconds": 20},
        labels={"team": "b", "tier": "1"},
        tags=["y"],
    )
    component = world.apps.component("shop:redis")
    info = component.info
    assert (info.name, info.category, info.group, info.kind) == ("shop:redis", "app", "shop", "app")
    assert info.labels == {"site": "fra1", "team": "a", "tier": "1"}
    assert info.tags == ("y", "x")
    assert component.breaker.state is State.OPEN
    world.clock.advance(5)
    assert component.breaker.retry_after == 15.0
    assert component.breaker.get_state()["state"] == "open"
    assert (component.interval, component.timeout) == (15.0, 30.0)


def test_names_say_application_breaker_and_process() -> None:
    world = World()
    world.say(name="/api/v1/*", process="web-1")
    assert [one.name for one in world.apps] == ["shop:api:v1:*@web-1"]


def test_moves_are_told_once_in_order_and_belong_to_one_incident() -> None:
    world = World()
    world.say("closed")
    moves = [(1, "closed", "open"), (2, "open", "half_open"), (3, "half_open", "open")]
    world.say("open", *moves)
    world.say("open", *moves)
    world.say("closed", *moves, (4, "open", "half_open"), (5, "half_open", "closed"))
    assert world.moves == [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "open"),
        ("open", "half_open"),
        ("half_open", "closed"),
    ]
    events = [event for event in world.events if isinstance(event, Transition)]
    assert len({event.incident for event in events}) == 1
    assert events[0].incident is not None
    assert events[0].category == "app"
    world.say("closed")
    assert len(world.moves) == 5


def test_a_move_that_was_not_reported_shows_by_the_state() -> None:
    world = World()
    world.say("closed")
    world.say("open", breaker={"last_error": "refused", "last_failure_reason": "connect"})
    (event,) = [event for event in world.events if isinstance(event, Transition)]
    assert (event.from_state, event.to_state, event.last_error) == ("closed", "open", "refused")
    assert event.reason == "connect"


def test_an_outage_that_began_before_it_was_heard_of_is_told_and_older_ones_are_not() -> None:
    world = World()
    world.say(
        "half_open",
        (1, "closed", "open"),
        (2, "open", "closed"),
        (3, "closed", "open"),
        (4, "open", "half_open"),
    )
    assert world.moves == [("closed", "open"), ("open", "half_open")]
    other = World()
    other.say("closed", (1, "closed", "open"), (2, "open", "closed"))
    assert other.moves == []


def test_a_restarted_application_ends_the_outage_of_its_former_self() -> None:
    world = World()
    world.say("open", started_at=1.0)
    world.say("closed", run="r2", started_at=2.0)
    assert world.moves == [("closed", "open"), ("open", "closed")]
    world.say("open", (1, "closed", "open"), run="r2", started_at=2.0)
    assert world.moves[2:] == [("closed", "open")]


def test_moments_of_a_wrong_clock_are_put_right() -> None:
    world = World()
    now = world.clock.time()
    world.say("closed")
    moves = [
        {"number": 1, "from": "closed", "to": "open", "at": now + 9e6},
        {"number": 2, "from": "open", "to": "closed", "at": 5.0},
    ]
    world.say("closed", breaker={"moves": moves})
    assert [event.at for event in world.events] == [now, now]


def test_an_unknown_reason_is_none() -> None:
    world = World()
    world.say("open", breaker={"last_failure_reason": "gremlins"})
    assert isinstance(world.events[0], Transition)
    assert world.events[0].reason is None


# --- refusals -----------------------------------------------------------------------------


def refused(world: World, **report: Any) -> str:
    with pytest.raises(ReportError) as caught:
        world.say(**report)
    return caught.value.code


def test_another_token_cannot_speak_for_an_application() -> None:
    world = World()
    world.say("closed")
    assert refused(world, state="open", owner="other") == "not_yours"
    assert world.apps.component("shop:redis").breaker.state is State.CLOSED
    assert world.numbers.reports == [1, 1]


def test_two_processes_of_one_name_are_told_apart_by_their_start() -> None:
    world = World()
    world.say("closed", run="old", started_at=10.0)
    world.say("closed", run="new", started_at=20.0)
    assert refused(world, run="old", started_at=10.0) == "superseded"
    world.clock.advance(31)
    world.apps.tick()
    world.say("closed", run="old", started_at=10.0)


def test_the_name_of_a_check_cannot_be_taken() -> None:
    world = World()
    world.checks.add("shop:redis")
    assert refused(world) == "conflict"
    assert len(world.apps) == 0


def test_names_that_become_one_are_refused() -> None:
    world = World()
    two = [{"name": "a/b", "state": "open"}, {"name": "a:b", "state": "open"}]
    assert refused(world, breakers=two) == "conflict"


def test_there_is_room_for_so_many_and_no_more() -> None:
    world = World(processes=2, breakers=3)
    world.say(application="a")
    world.say(application="b")
    assert refused(world, application="c") == "too_many"
    many = [{"name": f"b{n}", "state": "closed"} for n in range(3)]
    assert refused(world, application="a", breakers=many) == "too_many"
    assert len(world.apps) == 2


# --- silence and the end ------------------------------------------------------------------


def test_silence_is_shown_and_said_and_forgotten_at_last() -> None:
    world = World(kept=100)
    world.say("open")
    component = world.apps.component("shop:redis")
    world.clock.advance(30)
    world.apps.tick()
    assert "shop:redis" in world.numbers.breakers
    world.clock.advance(1)
    world.apps.tick()
    assert world.numbers.breakers == {}
    assert world.numbers.up == {("shop", ""): False}
    assert "nothing heard for 31 s" in component.breaker.explain()
    assert "silent since" in component.info.target
    world.clock.advance(100)
    world.apps.tick()
    assert world.gone == ["shop:redis"]
    assert (len(world.apps), world.numbers.up) == (0, {})


def test_one_that_is_heard_again_is_back() -> None:
    world = World()
    world.say("closed")
    world.clock.advance(60)
    world.apps.tick()
    world.say("closed")
    assert world.numbers.up == {("shop", ""): True}
    assert "shop:redis" in world.numbers.breakers
    assert "silent" not in world.apps.component("shop:redis").info.target


def test_a_breaker_that_is_reported_no_more_falls_silent_by_itself() -> None:
    world = World()
    world.say("closed", name="a")
    world.clock.advance(20)
    world.say("closed", name="b")
    world.clock.advance(20)
    world.apps.tick()
    assert list(world.numbers.breakers) == ["shop:b"]
    assert world.numbers.up == {("shop", ""): True}


def test_an_orderly_end_takes_everything_away() -> None:
    world = World()
    world.say("open")
    assert world.say("open", final=True) == []
    assert (len(world.apps), world.numbers.up, world.gone) == (0, {}, ["shop:redis"])


# --- orders -------------------------------------------------------------------------------


def test_an_application_that_has_not_opted_in_takes_no_orders() -> None:
    world = World()
    world.say("closed")
    with pytest.raises(NoOrdersError, match="accept_orders=True"):
        world.apps.order("shop:redis", "force_open", actor="me")
    (action,) = [event for event in world.events if isinstance(event, Action)]
    assert action.refused is not None
    with pytest.raises(KeyError):
        world.apps.order("shop:none", "reset", actor="me")


def test_an_order_waits_until_it_is_done() -> None:
    world = World()
    world.say("closed", takes_orders=True)
    world.apps.order("shop:redis", "open", actor="me", reason="deploy", for_seconds=5.0)
    (order,) = world.say("closed", takes_orders=True)
    assert order.as_json() == {
        "id": order.id,
        "breaker": "redis",
        "action": "open",
        "actor": "me",
        "reason": "deploy",
        "options": {"for_seconds": 5.0},
    }
    assert world.say("closed", takes_orders=True) == [order]
    assert world.say("open", takes_orders=True, done=[order.id]) == []
    (action,) = [event for event in world.events if isinstance(event, Action)]
    assert (action.action, action.actor, action.refused) == ("open", "me", None)


def test_a_later_order_replaces_the_one_that_waits_and_old_ones_are_given_up() -> None:
    world = World()
    world.say("closed", takes_orders=True, ttl_seconds=1000)
    world.apps.order("shop:redis", "force_open", actor="me")
    world.apps.order("shop:redis", "reset", actor="me")
    (order,) = world.say("closed", takes_orders=True, ttl_seconds=1000)
    assert order.action == "reset"
    world.clock.advance(601)
    assert world.say("closed", takes_orders=True) == []


@pytest.mark.parametrize(
    ("accepts", "action", "message"),
    [
        (["force_open", "close"], "open", "does not accept open, only close, force_open; ask with"),
        (["open"], "force_open", "does not accept force_open, only open; ask without hold"),
        (["reset"], "disable", "does not accept disable, only reset"),
    ],
)
def test_a_move_that_the_application_does_not_accept_is_refused_at_once(
    accepts: list[str], action: str, message: str
) -> None:
    world = World()
    world.say("closed", takes_orders=True, accepts=accepts)
    with pytest.raises(NoOrdersError, match=message):
        world.apps.order("shop:redis", action, actor="me")
    (told,) = [event for event in world.events if isinstance(event, Action)]
    assert message in str(told.refused)
    world.apps.order("shop:redis", accepts[0], actor="me")
    assert len(world.say("closed", takes_orders=True, accepts=accepts)) == 1


def test_what_is_disabled_takes_only_what_leads_out() -> None:
    world = World()
    world.say("disabled", takes_orders=True)
    with pytest.raises(NoOrdersError, match="'shop:redis' is disabled: cannot open; enable or"):
        world.apps.order("shop:redis", "open", actor="me")
    world.apps.order("shop:redis", "enable", actor="me")


def test_more_orders_than_an_application_can_have_are_refused_on_record() -> None:
    world = World()
    names = [f"b{number}" for number in range(101)]
    breakers = [{"name": name, "state": "closed"} for name in names]
    world.say("closed", takes_orders=True, breakers=breakers)
    for name in names[:100]:
        assert world.apps.ask(f"shop:{name}", "reset", actor="me") is None
    with pytest.raises(NoOrdersError, match="100 orders wait"):
        world.apps.order("shop:b100", "reset", actor="me")
    (told,) = [event for event in world.events if isinstance(event, Action)]
    assert told.refused is not None


def test_a_silent_application_takes_no_orders() -> None:
    world = World()
    world.say("closed", takes_orders=True)
    world.clock.advance(31)
    world.apps.tick()
    with pytest.raises(NoOrdersError, match="silent for 31 s"):
        world.apps.order("shop:redis", "reset", actor="me")


async def test_who_waits_for_orders_gets_them_at_once() -> None:
    world = World()
    world.say("closed", takes_orders=True)
    waiting = asyncio.create_task(world.apps.orders("shop", "", "ci", 60))
    await asyncio.sleep(0)
    world.apps.order("shop:redis", "reset", actor="me")
    async with asyncio.timeout(5):
        (order,) = await waiting
    assert order.action == "reset"
    assert await world.apps.orders("shop", "", "ci", 60) == [order]


async def test_who_waits_in_vain_gets_none_and_a_stranger_nothing() -> None:
    world = World()
    world.say("closed", takes_orders=True)
    assert await world.apps.orders("shop", "", "ci", 0.01) == []
    with pytest.raises(KeyError):
        await world.apps.orders("shop", "", "other", 0)
    with pytest.raises(KeyError):
        await world.apps.orders("none", "", "ci", 0)
    waiting = asyncio.create_task(world.apps.orders("shop", "", "ci", 60))
    await asyncio.sleep(0)
    world.apps.close()
    async with asyncio.timeout(5):
        assert await waiting == []


# --- restart of the daemon ----------------------------------------------------------------


def test_a_restart_of_the_daemon_repeats_no_move_and_ends_the_incident() -> None:
    world = World()
    world.say("closed")
    world.say("open", (1, "closed", "open"))
    opened = world.events[-1]
    assert isinstance(opened, Transition)
    world.apps, snapshot = world.made(), dict(opened.snapshot)
    assert world.apps.restore({"shop:redis": snapshot, "db": {"breaker": {}}}) == ["db"]
    assert world.apps.component("shop:redis").breaker.state is State.OPEN
    world.say("open", (1, "closed", "open"))
    assert world.events[-1] is opened
    world.say("closed", (1, "closed", "open"), (2, "open", "closed"))
    closed = world.events[-1]
    assert isinstance(closed, Transition)
    assert closed.incident == opened.incident
    assert closed.incident_started_at == opened.incident_started_at


def test_one_that_does_not_come_back_after_a_restart_falls_silent() -> None:
    world = World(kept=100)
    world.say("open")
    opened = world.events[-1]
    assert isinstance(opened, Transition)
    world.apps = world.made()
    world.apps.restore({"shop:redis": opened.snapshot})
    world.clock.advance(31)
    world.apps.tick()
    assert world.numbers.up == {("shop", ""): False}
    world.clock.advance(100)
    world.apps.tick()
    assert world.gone == ["shop:redis"]


@pytest.mark.parametrize(
    "row", [{}, {"app": 7}, {"app": {}}, {"app": {"state": "ajar"}}, {"app": {"state": "open"}}]
)
def test_a_snapshot_that_makes_no_sense_is_none(row: Any) -> None:
    assert World().apps.restore({"x": row}) == ["x"]
