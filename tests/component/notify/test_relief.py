"""A receiver that is down, refuses or is gone: another one is told, and of the end too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cbmon.model import Delivery, MessageState, Reason, Verdict
from cbmon.notify.damping import Flapping
from cbmon.notify.endpoint import Endpoint
from cbmon.notify.messages import entries_of
from cbmon.notify.notifier import Rules
from cbmon.notify.storms import Storm
from tests.component.notify.conftest import FakeReceiver, Stage

DOWN = Delivery(verdict=Verdict.TEMPORARY, reason=Reason.CONNECT, error="connection refused")
REFUSED = Delivery(verdict=Verdict.PERMANENT, reason=Reason.STATUS, error="answered 400")
GONE = Delivery(verdict=Verdict.GONE, reason=Reason.STATUS, error="answered 410 Gone")
FINE = Delivery(verdict=Verdict.DELIVERED)
PAGER, MAIL = "pager/pagerduty", "mail/email"
AFTER = 600.0


class Relieved(Stage):
    """The first line has the second for a fallback, which has no route of its own."""

    own_time_to_live: float | None = None
    mailed_anyhow = False
    """Whether the second line has a route too."""

    def endpoints(self) -> list[Endpoint]:
        first, *rest = super().endpoints()
        relief = {"fallback": (MAIL,), "fallback_after": AFTER}
        return [replace(first, **relief, time_to_live=self.own_time_to_live), *rest]  # type: ignore[arg-type]

    def routing(self) -> Any:
        made = super().routing()
        if self.mailed_anyhow:
            return made
        return replace(made, lines={**made.lines, "mail": ()})

    @property
    def pager(self) -> FakeReceiver:
        return self.receiver(PAGER)

    @property
    def mail(self) -> FakeReceiver:
        return self.receiver(MAIL)

    def mailed(self) -> list[str]:
        return [f"{one.kind} {one.body['component']}" for one in self.mail.arrived]


@pytest.fixture
async def relieved(new_stage: Callable[..., Any]) -> Any:
    stage = new_stage(kind=Relieved)
    await stage.start(PAGER, MAIL)
    yield stage
    await stage.stop()


async def test_nobody_else_is_told_while_the_receiver_takes_its_messages(relieved: Any) -> None:
    await relieved.happen("api", "open")
    await relieved.settle()
    await relieved.pass_time(2 * AFTER)
    await relieved.happen("api", "closed", from_state="open")
    await relieved.settle()
    assert len(relieved.pager.arrived) == 2
    assert relieved.mailed() == []


async def test_what_waits_too_long_goes_to_the_fallback_once(relieved: Any) -> None:
    relieved.pager.mood = DOWN
    await relieved.happen("api", "open")
    await relieved.settle()
    await relieved.pass_time(AFTER - 1.0)
    assert relieved.mailed() == []
    await relieved.pass_time(AFTER)
    assert relieved.mailed() == ["opened api"]
    [told] = relieved.mail.arrived
    assert told.body["instead_of"] == PAGER
    assert told.body["late_seconds"] >= AFTER


async def test_who_was_told_of_the_outage_is_told_of_its_end(relieved: Any) -> None:
    relieved.pager.mood = DOWN
    await relieved.happen("api", "open")
    await relieved.settle()
    await relieved.pass_time(AFTER + 120.0)
    relieved.pager.mood = FINE
    await relieved.happen("api", "closed", from_state="open")
    await relieved.pass_time(120.0)
    assert relieved.mailed() == ["opened api", "recovered api"]
    assert [one.kind for one in relieved.pager.arrived][-1] == "recovered"


async def test_an_end_alone_is_not_told_to_who_knows_of_no_beginning(relieved: Any) -> None:
    await relieved.happen("api", "open")
    await relieved.settle()
    relieved.pager.mood = DOWN
    await relieved.happen("api", "closed", from_state="open")
    await relieved.settle()
    await relieved.pass_time(AFTER + 120.0)
    assert relieved.mailed() == []


async def test_what_is_refused_goes_to_the_fallback_at_once_with_its_end(relieved: Any) -> None:
    relieved.pager.mood = REFUSED
    await relieved.happen("api", "open")
    await relieved.settle()
    assert relieved.mailed() == ["opened api"]
    await relieved.happen("api", "closed", from_state="open")
    await relieved.settle()
    assert relieved.mailed() == ["opened api", "recovered api"]
    assert relieved.pager.arrived == []


async def test_a_receiver_that_is_gone_is_left_alone_and_the_fallback_told(relieved: Any) -> None:
    relieved.pager.mood = GONE
    await relieved.happen("api", "open")
    await relieved.settle()
    await relieved.happen("db", "open")
    await relieved.settle()
    await relieved.pass_time(60.0)
    assert len(relieved.pager.tried) == 1
    assert relieved.dispatcher.breakers[PAGER].state == "disabled"
    assert relieved.mailed() == ["opened api", "opened db"]


async def test_a_receiver_that_is_gone_is_tried_again_when_it_is_configured_anew(
    relieved: Any,
) -> None:
    relieved.pager.mood = GONE
    await relieved.happen("api", "open")
    await relieved.settle()
    relieved.pager.mood = FINE
    await relieved.happen("db", "open")
    await relieved.settle()
    await relieved.reload(pager_pagerduty="v2", mail_email="v1")
    await relieved.settle()
    assert [one.body["component"] for one in relieved.pager.arrived] == ["db"]


async def test_a_receiver_that_a_person_disabled_stays_so_at_a_reload(relieved: Any) -> None:
    relieved.dispatcher.breakers[PAGER].disable(actor="alice", reason="moving")
    await relieved.reload(pager_pagerduty="v2", mail_email="v1")
    await relieved.happen("api", "open")
    await relieved.settle()
    assert relieved.pager.tried == []
    assert relieved.mailed() == ["opened api"]


async def test_a_person_who_enables_it_lets_what_waits_arrive(relieved: Any) -> None:
    relieved.pager.mood = GONE
    await relieved.happen("api", "open")
    await relieved.settle()
    await relieved.happen("db", "open")
    await relieved.settle()
    relieved.pager.mood = FINE
    relieved.dispatcher.breakers[PAGER].enable(actor="alice")
    await relieved.settle()
    assert [one.body["component"] for one in relieved.pager.arrived] == ["db"]


async def test_a_crash_hands_nothing_over_twice(relieved: Any) -> None:
    relieved.pager.mood = DOWN
    await relieved.happen("api", "open")
    await relieved.settle()
    await relieved.pass_time(AFTER + 60.0)
    await relieved.crash()
    await relieved.start()
    await relieved.pass_time(AFTER)
    assert relieved.mailed() == ["opened api"]


async def test_a_receiver_may_give_up_sooner_than_others(new_stage: Callable[..., Any]) -> None:
    stage = new_stage(kind=Relieved)
    stage.own_time_to_live = 100.0
    await stage.start(PAGER, MAIL)
    stage.pager.mood = DOWN
    await stage.happen("api", "open")
    await stage.settle()
    await stage.pass_time(200.0)
    assert await stage.states(PAGER) == {"incident-api:opened": MessageState.DEAD}
    assert stage.mailed() == ["opened api"]
    await stage.stop()


async def test_a_receiver_that_took_a_test_message_is_back(relieved: Any) -> None:
    relieved.pager.mood = GONE
    await relieved.happen("api", "open")
    await relieved.settle()
    relieved.pager.mood = FINE
    relieved.dispatcher.revive(MAIL)
    relieved.dispatcher.revive(PAGER)
    assert relieved.dispatcher.breakers[PAGER].state == "closed"


async def test_who_is_told_of_the_outage_anyhow_gets_both_in_order(
    new_stage: Callable[..., Any],
) -> None:
    stage = new_stage(kind=Relieved)
    stage.mailed_anyhow = True
    await stage.start(PAGER, MAIL)
    stage.pager.mood = DOWN
    await stage.happen("api", "open")
    await stage.settle()
    await stage.pass_time(AFTER + 120.0)
    await stage.happen("api", "closed", from_state="open")
    await stage.settle()
    await stage.pass_time(AFTER + 120.0)
    own = [one.kind for one in stage.mail.arrived if "instead_of" not in one.body]
    instead = [one.kind for one in stage.mail.arrived if "instead_of" in one.body]
    assert own == instead == ["opened", "recovered"]
    assert len({(one.incident, one.sequence) for one in stage.mail.arrived}) == 4
    await stage.stop()


async def test_the_fallback_hears_of_the_end_in_a_storm_of_what_it_was_told_alone(
    new_stage: Callable[..., Any],
) -> None:
    stage = new_stage(kind=Relieved)
    stage.rules = Rules(storm=Storm(messages=3, within=60.0), flapping=Flapping(changes=0))
    await stage.start(PAGER, MAIL)
    stage.pager.mood = REFUSED
    await stage.happen("first", "open")
    await stage.settle()
    stage.pager.mood = FINE
    names = [f"c{number}" for number in range(9)]
    for name in names:
        await stage.happen(name, "open")
        await stage.settle()
    await stage.pass_time(30.0)
    # All of these wait at once, so that the first one's end is told in the digest of the storm.
    for name in ("first", *names):
        await stage.happen(name, "closed", from_state="open")
    await stage.pass_time(600.0)
    told = [entry for one in stage.mail.arrived for entry in entries_of(one.body)]
    ends = [entry["over"] for entry in told if entry["component"] == "first"]
    assert (ends[0], ends[-1]) == (False, True)
    await stage.stop()


@pytest.mark.parametrize("over", [True, False])
async def test_a_dead_letter_that_is_sent_again_says_nothing_old(
    new_stage: Callable[..., Any], over: bool
) -> None:
    stage = new_stage(kind=Relieved)
    stage.route = {"group_wait": 0.0, "group_interval": 0.0, "repeat_interval": 100.0}
    await stage.start(PAGER, MAIL)
    stage.pager.mood = REFUSED
    await stage.happen("api", "open")
    await stage.settle()
    [dead] = await stage.store.messages(state=MessageState.DEAD)
    stage.pager.mood = FINE
    if over:
        await stage.pass_time(150.0)
        await stage.happen("api", "closed", from_state="open")
        await stage.settle()
    await stage.store.resend(dead.id, now=stage.clock.time())
    stage.dispatcher.wake()
    await stage.settle()
    told = [message.kind for message in stage.pager.arrived]
    assert told == (["reminder", "recovered"] if over else ["opened"])
    await stage.stop()
