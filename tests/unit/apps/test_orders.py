"""Orders for applications. Rule: what is going to be refused there is refused here, on record."""

from __future__ import annotations

import asyncio

import pytest

from cbmon.apps import NoOrdersError
from cbmon.events import Action
from tests.unit.apps.worlds import World


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
