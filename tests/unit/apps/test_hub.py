"""Applications as the daemon knows them. Rule: every move is told once; silence is said."""

from __future__ import annotations

from typing import Any

import pytest

from cbmon import State
from cbmon.apps import ReportError
from cbmon.events import Transition
from tests.unit.apps.worlds import World

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


def test_of_names_that_become_one_the_first_is_taken() -> None:
    world = World()
    two = [{"name": "a/b", "state": "open"}, {"name": "a:b", "state": "closed"}]
    world.say(breakers=two)
    assert world.apps.component("shop:a:b").breaker.state is State.OPEN
    assert len(world.apps) == 1


def test_the_name_of_a_check_is_left_out_and_the_others_are_taken() -> None:
    world = World()
    world.checks.add("shop:redis")
    world.say(breakers=[{"name": name, "state": "open"} for name in ("redis", "db")])
    assert [its.name for its in world.apps] == ["shop:db"]


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
