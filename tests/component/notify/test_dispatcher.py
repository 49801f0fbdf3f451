"""The dispatcher: at least once, in order within an incident, no receiver waits for another."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest

from cbmon.errors import StoreError
from cbmon.model import Delivery, MessageState, Reason, Verdict
from cbmon.notify.outbox import Limits

HOOK = "hook/webhook"
BUSY = Delivery(
    verdict=Verdict.TEMPORARY, reason=Reason.STATUS, error="answered 503 Service Unavailable"
)
GONE = Delivery(verdict=Verdict.PERMANENT, reason=Reason.STATUS, error="answered 410 Gone")


def kinds(receiver: Any) -> list[str]:
    return [message.kind for message in receiver.arrived]


async def test_a_committed_message_is_delivered_at_once(stage: Any) -> None:
    [message] = await stage.happen("api", "open")
    await stage.settle()
    [arrived] = stage.receiver(HOOK).arrived
    assert (arrived.id, arrived.kind) == (message.id, "opened")
    assert await stage.states(HOOK) == {"incident-api:opened": "delivered"}
    assert ("delivered", HOOK, 0.0) in stage.hooks.told


async def test_an_outage_with_many_trials_is_two_messages(stage: Any) -> None:
    for _ in range(20):
        await stage.happen("api", "open")
        await stage.happen("api", "half_open")
    await stage.happen("api", "closed")
    await stage.settle()
    assert kinds(stage.receiver(HOOK)) == ["opened", "recovered"]
    assert stage.receiver(HOOK).arrived[1].body["trials"] == 20


async def test_a_temporary_failure_is_tried_again_with_the_same_id(stage: Any) -> None:
    receiver = stage.receiver(HOOK)
    receiver.script = [BUSY, BUSY]
    [message] = await stage.happen("api", "open")
    await stage.pass_time(10.0)
    assert [name for _, name in receiver.tried] == [message.id] * 3
    assert kinds(receiver) == ["opened"]
    assert stage.hooks.told.count(("failed", HOOK, "status")) == 2


async def test_waits_grow_and_are_capped(stage: Any) -> None:
    receiver = stage.receiver(HOOK)
    stage.dispatcher.breakers[HOOK].force_close()
    receiver.mood = BUSY
    await stage.happen("api", "open")
    await stage.pass_time(3600.0)
    moments = [at for at, _ in receiver.tried]
    waits = [later - earlier for earlier, later in itertools.pairwise(moments)]
    for failures, wait in enumerate(waits):
        assert wait <= min(60.0, 1.0 * 2**failures) + 0.01
    assert max(waits) > 50.0
    assert len(waits) > 60


async def test_a_receivers_wish_to_wait_is_granted_and_harms_nobody_else(
    new_stage: Callable[..., Any],
) -> None:
    stage = new_stage()
    await stage.start("slow/webhook", "fast/webhook")
    slow, fast = stage.receiver("slow/webhook"), stage.receiver("fast/webhook")
    asked = Delivery(
        verdict=Verdict.TEMPORARY, reason=Reason.STATUS, error="answered 429", retry_after=3.0
    )
    slow.script = [asked, asked]
    start = stage.clock.monotonic()
    await stage.happen("api", "open")
    await stage.settle()
    assert kinds(fast) == ["opened"]
    await stage.happen("db", "open")
    await stage.settle()
    assert [message.body["component"] for message in fast.arrived] == ["api", "db"]
    assert len(slow.tried) == 1
    await stage.pass_time(10.0)
    assert sorted(message.body["component"] for message in slow.arrived) == ["api", "db"]
    moments = [at - start for at, _ in slow.tried]
    assert moments[0] == 0.0
    assert moments[1] >= 3.0
    assert moments[2] >= 6.0
    assert stage.dispatcher.breakers["slow/webhook"].counts.failures == 0
    await stage.stop()


async def test_a_hanging_receiver_is_cut_off_and_harms_nobody_else(
    new_stage: Callable[..., Any],
) -> None:
    stage = new_stage(timeout=0.02)
    await stage.start("hung/webhook", "good/webhook")
    stage.receiver("hung/webhook").mood = "hang"
    await stage.happen("api", "open")
    await stage.settle()
    assert kinds(stage.receiver("good/webhook")) == ["opened"]
    assert ("failed", "hung/webhook", "timeout") in stage.hooks.told
    [message] = await stage.store.messages(receiver="hung/webhook")
    assert message.last_error == "no answer within 0.02 s"
    await stage.stop()


async def test_a_refused_message_becomes_a_dead_letter_and_its_recovery_is_not_told(
    stage: Any,
) -> None:
    receiver = stage.receiver(HOOK)
    receiver.script = [GONE]
    await stage.happen("api", "open")
    await stage.happen("api", "closed")
    await stage.happen("db", "open")
    await stage.settle()
    assert await stage.states(HOOK) == {
        "incident-api:opened": "dead",
        "incident-api:recovered": "dropped",
        "incident-db:opened": "delivered",
    }
    assert ("suppressed", HOOK, "outage_lost") in stage.hooks.told
    assert stage.hooks.backlogs[HOOK][2] == 1 or await stage.store.backlog() == {HOOK: (0, None, 1)}
    assert stage.dispatcher.breakers[HOOK].counts.failures == 0


async def test_a_dead_letter_can_be_sent_again_with_what_followed_it(stage: Any) -> None:
    receiver = stage.receiver(HOOK)
    receiver.script = [GONE]
    [opened] = await stage.happen("api", "open")
    await stage.happen("api", "closed")
    await stage.settle()
    assert await stage.store.resend(opened.id, now=stage.clock.time())
    stage.dispatcher.wake()
    await stage.settle()
    assert kinds(receiver) == ["opened", "recovered"]


async def test_what_is_too_old_becomes_a_dead_letter(new_stage: Callable[..., Any]) -> None:
    stage = new_stage(limits=Limits(time_to_live=1800.0))
    await stage.start(HOOK)
    stage.receiver(HOOK).mood = BUSY
    await stage.happen("api", "open")
    await stage.pass_time(1900.0)
    [message] = await stage.store.messages()
    assert message.state == "dead"
    assert message.last_error.startswith("not delivered within 0.5 h; last: answered 503")
    assert ("failed", HOOK, "expired") in stage.hooks.told
    await stage.stop()


async def test_what_waits_for_a_person_becomes_too_old_as_well(
    new_stage: Callable[..., Any],
) -> None:
    stage = new_stage(limits=Limits(time_to_live=1800.0))
    await stage.start("hook/webhook")
    stage.dispatcher.breakers["hook/webhook"].disable(actor="ada", reason="moving")
    await stage.happen("api", "open")
    await stage.settle()
    await stage.pass_time(1800.0 + 3600.0)
    assert await stage.states("hook/webhook") == {"incident-api:opened": MessageState.DEAD}
    await stage.stop()


async def test_an_outage_that_ended_before_it_could_be_told_is_one_message(stage: Any) -> None:
    receiver = stage.receiver(HOOK)
    receiver.mood = BUSY
    await stage.happen("api", "open")
    await stage.pass_time(600.0)
    await stage.happen("api", "closed")
    receiver.mood = Delivery(verdict=Verdict.DELIVERED)
    await stage.pass_time(300.0)
    [arrived] = receiver.arrived
    assert (arrived.kind, arrived.body["folded"]) == ("recovered", True)
    assert arrived.body["ended_at"] - arrived.body["started_at"] >= 600.0
    assert ("suppressed", HOOK, "folded") in stage.hooks.told
    assert await stage.states(HOOK) == {
        "incident-api:opened": "dropped",
        "incident-api:recovered": "delivered",
    }


async def test_a_late_message_says_so(stage: Any) -> None:
    receiver = stage.receiver(HOOK)
    receiver.mood = BUSY
    await stage.happen("api", "open")
    await stage.pass_time(600.0)
    receiver.mood = Delivery(verdict=Verdict.DELIVERED)
    await stage.pass_time(120.0)
    [arrived] = receiver.arrived
    assert 600 <= arrived.body["late_seconds"] <= 720


async def test_a_dead_receiver_is_left_alone_until_its_breaker_tries_again(stage: Any) -> None:
    receiver = stage.receiver(HOOK)
    receiver.mood = BUSY
    for number in range(10):
        await stage.happen(f"c{number}", "open")
    await stage.settle()
    assert len(receiver.tried) == 3
    assert stage.dispatcher.breakers[HOOK].state == "open"
    await stage.pass_time(29.0)
    assert len(receiver.tried) == 3
    receiver.mood = Delivery(verdict=Verdict.DELIVERED)
    await stage.pass_time(10.0)
    assert sorted(m.body["component"] for m in receiver.arrived) == [f"c{n}" for n in range(10)]
    assert stage.dispatcher.breakers[HOOK].state == "closed"


async def test_one_bad_message_does_not_hold_up_other_incidents(stage: Any) -> None:
    receiver = stage.receiver(HOOK)
    receiver.script = [BUSY]
    await stage.happen("api", "open")
    await stage.happen("db", "open")
    await stage.settle()
    assert [message.body["component"] for message in receiver.arrived] == ["db"]


async def test_a_person_who_closes_the_breaker_wakes_the_line(stage: Any) -> None:
    receiver = stage.receiver(HOOK)
    stage.dispatcher.breakers[HOOK].force_open()
    await stage.happen("api", "open")
    await stage.settle()
    assert receiver.tried == []
    stage.dispatcher.breakers[HOOK].close()
    await stage.settle()
    assert kinds(receiver) == ["opened"]


async def test_a_receiver_that_raises_is_a_temporary_failure(
    stage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = stage.receiver(HOOK)
    receiver.script = [RuntimeError("https://hooks.example.net/SECRET")]
    await stage.happen("api", "open")
    await stage.pass_time(5.0)
    assert kinds(receiver) == ["opened"]
    assert ("failed", HOOK, "internal") in stage.hooks.told
    assert "receiver failed" in caplog.text


async def test_a_restart_goes_on_where_it_stopped(stage: Any) -> None:
    receiver = stage.receiver(HOOK)
    receiver.mood = BUSY
    await stage.happen("api", "open")
    await stage.settle()
    await stage.crash()
    receiver.mood = Delivery(verdict=Verdict.DELIVERED)
    await stage.start()
    await stage.pass_time(5.0)
    await stage.happen("api", "half_open")
    await stage.happen("api", "closed")
    await stage.pass_time(5.0)
    assert kinds(receiver) == ["opened", "recovered"]


async def test_a_crash_doubles_only_the_message_in_flight_with_its_id(stage: Any) -> None:
    receiver = stage.receiver(HOOK)
    for number in range(3):
        await stage.happen(f"c{number}", "open")
    await stage.settle()
    receiver.script = ["arrives, then hangs"]
    [in_flight] = await stage.happen("last", "open")
    while len(receiver.arrived) < 4:  # noqa: ASYNC110 - it hangs: nothing will tell
        await asyncio.sleep(0)
    await stage.crash()
    await stage.start()
    await stage.settle()
    ids = [message.id for message in receiver.arrived]
    assert ids.count(in_flight.id) == 2
    assert len(ids) == len(set(ids)) + 1


async def test_a_store_that_fails_after_a_delivery_doubles_nothing(
    stage: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "cbmon")
    real, failures = stage.store.delivered, 3

    async def failing(message_id: str, *, at: float) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreError("the disk is full")
        await real(message_id, at=at)

    monkeypatch.setattr(stage.store, "delivered", failing)
    await stage.happen("api", "open")
    await stage.happen("db", "open")
    await stage.pass_time(10.0)
    assert [m.body["component"] for m in stage.receiver(HOOK).arrived] == ["api", "db"]
    assert caplog.text.count("outbox cannot be used") == 1


async def test_a_bug_does_not_end_a_line(
    stage: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bugs = [KeyError("a bug")]
    real = stage.store.pending

    async def buggy(*args: Any, **options: Any) -> Any:
        if bugs:
            raise bugs.pop()
        return await real(*args, **options)

    monkeypatch.setattr(stage.store, "pending", buggy)
    await stage.happen("api", "open")
    await stage.pass_time(5.0)
    assert kinds(stage.receiver(HOOK)) == ["opened"]
    assert "line failed" in caplog.text


async def test_a_reload_that_changes_nothing_touches_nothing(stage: Any) -> None:
    breaker = stage.dispatcher.breakers[HOOK]
    await stage.reload(hook_webhook="v1")
    assert stage.dispatcher.breakers[HOOK] is breaker
    assert stage.receiver(HOOK).closed == 0


async def test_a_reload_that_changes_options_keeps_the_outbox_and_the_breaker(stage: Any) -> None:
    receiver = stage.receiver(HOOK)
    receiver.mood = BUSY
    await stage.happen("api", "open")
    await stage.settle()
    breaker = stage.dispatcher.breakers[HOOK]
    await stage.reload(hook_webhook="v2")
    assert receiver.closed == 1
    assert stage.dispatcher.breakers[HOOK] is breaker
    receiver.mood = Delivery(verdict=Verdict.DELIVERED)
    await stage.pass_time(60.0)
    assert kinds(receiver) == ["opened"]


async def test_a_receiver_that_comes_back_finds_its_messages(stage: Any) -> None:
    receiver = stage.receiver(HOOK)
    receiver.mood = BUSY
    await stage.happen("api", "open")
    await stage.settle()
    await stage.reload(other_webhook="v1")
    assert ("removed", HOOK) in stage.hooks.told
    receiver.mood = Delivery(verdict=Verdict.DELIVERED)
    await stage.reload(hook_webhook="v1", other_webhook="v1")
    await stage.pass_time(60.0)
    assert kinds(receiver) == ["opened"]


async def test_messages_of_a_receiver_that_stays_away_become_dead_letters(stage: Any) -> None:
    stage.receiver(HOOK).mood = BUSY
    await stage.happen("api", "open")
    await stage.settle()
    await stage.reload(other_webhook="v1")
    stage.clock.advance(73 * 3600.0)
    await stage.reload(other_webhook="v2")
    assert await stage.states(HOOK) == {"incident-api:opened": "dead"}


async def test_they_do_so_without_another_reload_and_the_log_says_that_they_wait(
    stage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stage.receiver(HOOK).mood = BUSY
    await stage.happen("api", "open")
    await stage.settle()
    await stage.reload(other_webhook="v1")
    assert "messages wait for a receiver that is not configured" in caplog.text
    await stage.settle()
    stage.clock.advance(73 * 3600.0)
    await stage.settle()
    assert await stage.states(HOOK) == {"incident-api:opened": "dead"}


async def test_a_clock_that_is_put_back_holds_up_no_retry(stage: Any) -> None:
    stage.receiver(HOOK).mood = BUSY
    await stage.happen("api", "open")
    await stage.settle()
    stage.clock.set_wall(stage.clock.time() - 1800.0)
    stage.receiver(HOOK).mood = Delivery(verdict=Verdict.DELIVERED)
    await stage.pass_time(60.0)
    assert len(stage.receiver(HOOK).arrived) == 1


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("days", [4, 365 * 56])
async def test_a_clock_that_is_put_forward_makes_no_message_too_old(
    new_stage: Callable[..., Any], days: int, back: bool
) -> None:
    stage = new_stage(limits=Limits(time_to_live=600.0, fold_after=590.0))
    stage.route["repeat_interval"] = 1e10
    await stage.start(HOOK)
    stage.receiver(HOOK).mood = BUSY
    await stage.happen("api", "open")
    await stage.settle()
    stage.clock.set_wall(stage.clock.time() + days * 86_400.0)
    await stage.happen("db", "open")
    await stage.pass_time(250.0)
    if back:
        stage.clock.set_wall(stage.clock.time() - days * 86_400.0)
    await stage.pass_time(250.0)
    states = await stage.states(HOOK)
    assert states == {"incident-api:opened": "pending", "incident-db:opened": "pending"}
    await stage.pass_time(200.0)
    states = await stage.states(HOOK)
    assert states == {"incident-api:opened": "dead", "incident-db:opened": "dead"}
    await stage.stop()


async def test_a_receiver_that_asks_for_no_wait_at_all_is_not_hammered(stage: Any) -> None:
    at_once = Delivery(
        verdict=Verdict.TEMPORARY, reason=Reason.STATUS, error="503", retry_after=0.0
    )
    stage.receiver(HOOK).mood = at_once
    for number in range(30):
        await stage.happen(f"c{number}", "open")
    await stage.settle()
    assert len(stage.receiver(HOOK).tried) == 3, "the threshold of its breaker"
    assert stage.dispatcher.breakers[HOOK].state == "open"


async def test_who_did_not_get_what_others_got_is_in_the_log(
    stage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stage.receiver(HOOK).mood = Delivery(verdict=Verdict.DELIVERED, error="boss@x: 550")
    await stage.happen("api", "open")
    await stage.settle()
    assert "message taken, but not by all" in caplog.text


async def test_the_backlog_is_told_after_it_changed(stage: Any) -> None:
    stage.receiver(HOOK).mood = BUSY
    await stage.settle()
    assert stage.hooks.backlogs[HOOK] == (0, None, 0)
    made = stage.clock.time()
    await stage.happen("api", "open")
    await stage.pass_time(2.0)
    assert stage.hooks.backlogs[HOOK] == (1, made, 0)
    stage.receiver(HOOK).mood = Delivery(verdict=Verdict.DELIVERED)
    await stage.pass_time(120.0)
    assert stage.hooks.backlogs[HOOK] == (0, None, 0)


async def test_stopping_lets_the_delivery_in_flight_end(stage: Any) -> None:
    receiver = stage.receiver(HOOK)
    gate = asyncio.Event()
    real = receiver.deliver

    async def slow(message: Any) -> Delivery:
        await gate.wait()
        answer: Delivery = await real(message)
        return answer

    receiver.deliver = slow
    await stage.happen("api", "open")
    await asyncio.sleep(0)
    stopping = asyncio.ensure_future(stage.dispatcher.stop(5.0))
    await asyncio.sleep(0)
    gate.set()
    await stopping
    messages = await stage.store.messages()
    assert [m.state for m in messages] in (["delivered"], ["pending"])
    assert (messages[0].state == "delivered") == (len(receiver.arrived) == 1)
