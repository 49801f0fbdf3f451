"""Rule: a component is run behind its breaker, held while it is open, and every move is told."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from cbmon.breaker import BreakerPolicy, CircuitBreaker, InvalidTransitionError, State
from cbmon.component import Component
from cbmon.events import Action, Event, RunFailed, SkipStreak, Transition
from cbmon.interfaces import Attempt
from cbmon.metrics import ComponentRecord
from cbmon.model import BreakerInfo, Category, Reason, Result, SkipCause
from cbmon.monitor import EARLY, Monitor
from cbmon.probes.steps import Bell
from cbmon.testing import ManualClock
from cbmon.timeline import Fire

NAME = "shop"


class Plan:
    """A timetable that remembers what it was told and fires when the test says so."""

    def __init__(self) -> None:
        self.fires: dict[str, Fire] = {}
        self.told: list[tuple[Any, ...]] = []

    def add(self, name: str, interval: float, fire: Fire, *, first: float | None = None) -> None:
        self.fires[name] = fire
        self.told.append(("add", name, interval))

    def remove(self, name: str) -> None:
        self.told.append(("remove", name))

    def at(self, name: str, when_monotonic: float) -> None:
        self.told.append(("at", name, when_monotonic))

    def park(self, name: str) -> None:
        self.told.append(("park", name))

    def run_now(self, name: str) -> None:
        self.told.append(("run_now", name))

    def next_run(self, name: str) -> float | None:
        return None


class Target:
    """Answers with what lies ready: True is good, False is refused, an Event is waited for."""

    def __init__(self) -> None:
        self.answers: deque[bool | asyncio.Event] = deque()
        self.runs = 0
        self.closed = False

    async def run(self, attempt: Attempt) -> Result:
        self.runs += 1
        answer = self.answers.popleft() if self.answers else True
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return attempt.passed()
        return attempt.passed() if answer else attempt.failed(Reason.CONNECT, "refused")

    async def close(self) -> None:
        self.closed = True


class House:
    """A monitor with one component, and all that it tells."""

    def __init__(self, **policy: Any) -> None:
        self.clock = ManualClock()
        self.plan = Plan()
        self.target = Target()
        self.events: list[Event] = []
        self.monitor = Monitor(
            timetable=self.plan, clock=self.clock, sinks=(self.events.append,), max_in_flight=2
        )
        self.component = self.new(NAME, self.target, **policy)
        self.monitor.add(self.component)

    def new(self, name: str, target: Target, **policy: Any) -> Component:
        fields = {"failure_threshold": 2, "recovery_timeout": 30.0} | policy
        info = BreakerInfo(name=name, category=Category.CHECK)
        breaker = CircuitBreaker(name, BreakerPolicy(**fields), clock=self.clock, category="check")
        return Component(
            info=info,
            breaker=breaker,
            record=ComponentRecord(info, breaker),
            runner=target,
            interval=10.0,
            timeout=5.0,
        )

    async def tick(self, *answers: bool, missed: int = 0) -> None:
        for answer in answers or (True,):
            self.target.answers.append(answer)
            self.plan.fires[NAME](NAME, self.clock.monotonic(), missed)
            if self.component.task is not None:
                await asyncio.wait([self.component.task])

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def skips(self) -> dict[SkipCause, int]:
        found = self.component.record.skipped(self.clock.monotonic()) or [0] * len(SkipCause)
        from cbmon.metrics.families import CAUSES

        return {cause: count for cause, count in zip(CAUSES, found, strict=True) if count}


async def test_a_run_is_recorded_in_the_component_the_record_and_the_breaker() -> None:
    house = House()
    await house.tick(False)
    assert house.component.last is not None
    assert house.component.last.reason is Reason.CONNECT
    assert house.component.record.runs == 1
    assert house.component.breaker.counts.consecutive_failures == 1


async def test_the_run_that_opens_the_breaker_is_told_with_its_cause_and_last_error() -> None:
    house = House()
    await house.tick(False, False)
    (move,) = house.of(Transition)
    assert (move.from_state, move.to_state) == ("closed", "open")
    assert (move.reason, move.last_error) == (Reason.CONNECT, "refused")
    assert move.retry_after == 30.0
    assert move.snapshot["breaker"]["state"] == "open"


async def test_while_open_the_next_run_is_at_the_recovery_deadline() -> None:
    house = House()
    await house.tick(False, False)
    assert house.plan.told[-1] == ("at", NAME, pytest.approx(30.0 + EARLY))
    house.clock.advance(30.0)
    await house.tick(True)
    assert [move.to_state for move in house.of(Transition)] == ["open", "half_open", "closed"]


async def test_a_firing_before_the_deadline_runs_nothing_and_waits_on() -> None:
    house = House()
    await house.tick(False, False)
    house.clock.advance(29.0)
    house.plan.fires[NAME](NAME, house.clock.monotonic(), 0)
    assert house.component.task is None
    assert house.target.runs == 2
    assert house.plan.told[-1] == ("at", NAME, pytest.approx(30.0 + EARLY))


async def test_ticks_passed_over_while_open_are_counted_as_time_goes_by() -> None:
    house = House()
    await house.tick(False, False)
    house.clock.advance(25.0)
    assert house.skips() == {SkipCause.BREAKER: 2}
    house.clock.advance(5.0)
    await house.tick(True)
    assert house.skips() == {SkipCause.BREAKER: 3}


async def test_a_skip_streak_is_told_once_for_an_outage_however_often_it_reopens() -> None:
    house = House()
    await house.tick(False, False)
    for _ in range(3):
        house.clock.advance(30.0)
        await house.tick(False)
    assert len(house.of(SkipStreak)) == 1
    house.clock.advance(30.0)
    await house.tick(True)
    await house.tick(False, False)
    assert len(house.of(SkipStreak)) == 2


async def test_an_incident_lasts_from_leaving_closed_until_closed_again() -> None:
    house = House()
    await house.tick(False, False)
    house.clock.advance(30.0)
    await house.tick(False)
    house.clock.advance(30.0)
    await house.tick(True)
    moves = house.of(Transition)
    assert len({move.incident for move in moves}) == 1
    assert moves[-1].to_state == "closed"
    assert moves[-1].incident_started_at == moves[0].at
    await house.tick(False, False)
    assert house.of(Transition)[-1].incident != moves[0].incident


async def test_a_run_that_still_goes_on_is_an_overrun_and_is_not_doubled() -> None:
    house = House()
    hold = asyncio.Event()
    house.target.answers.append(hold)
    for _ in range(3):
        house.plan.fires[NAME](NAME, 0.0, 0)
        await asyncio.sleep(0)
    assert house.target.runs == 1
    assert house.skips() == {SkipCause.OVERRUN: 2}
    hold.set()
    assert house.component.task is not None
    await asyncio.wait([house.component.task])


async def test_missed_ticks_are_counted_and_not_made_up_for() -> None:
    house = House()
    await house.tick(True, missed=5)
    assert house.target.runs == 1
    assert house.skips() == {SkipCause.MISSED: 5}


async def test_more_runs_than_may_go_on_at_once_wait_for_their_turn() -> None:
    house = House()
    targets = [Target() for _ in range(4)]
    holds = [asyncio.Event() for _ in targets]
    for number, (target, hold) in enumerate(zip(targets, holds, strict=True)):
        target.answers.append(hold)
        house.monitor.add(house.new(f"other-{number}", target))
        house.plan.fires[f"other-{number}"](f"other-{number}", 0.0, 0)
    await asyncio.sleep(0)
    assert [target.runs for target in targets] == [1, 1, 0, 0]
    holds[0].set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert [target.runs for target in targets] == [1, 1, 1, 0]
    for hold in holds:
        hold.set()
    assert await house.monitor.drain(1.0) == 0


async def test_forcing_open_parks_and_releasing_runs_at_once() -> None:
    house = House()
    house.monitor.act(NAME, "force_open", actor="ann", reason="deploy")
    assert house.plan.told[-1] == ("park", NAME)
    house.monitor.act(NAME, "reset", actor="ann")
    assert house.plan.told[-1] == ("run_now", NAME)
    first, second = house.of(Action)
    assert (first.actor, first.action, first.text) == ("ann", "force_open", "deploy")
    assert second.action == "reset"


async def test_an_impossible_action_is_told_as_refused_and_changes_nothing() -> None:
    house = House()
    house.monitor.act(NAME, "disable", actor="ann", reason="gone")
    with pytest.raises(InvalidTransitionError):
        house.monitor.act(NAME, "force_open", actor="bob")
    assert house.component.breaker.state is State.DISABLED
    assert house.of(Action)[-1].refused


async def test_a_failed_run_is_told_with_its_reason_before_the_move_that_it_causes() -> None:
    house = House()
    await house.tick(True, False, False)
    assert [event.kind for event in house.events] == ["failed", "failed", "transition", "skipped"]
    failed = house.of(RunFailed)[0]
    assert (failed.component, failed.reason, failed.error) == (NAME, "connect", "refused")


async def test_a_sink_that_raises_is_logged_and_the_next_one_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[Event] = []

    def fail(_event: Event) -> None:
        raise ZeroDivisionError

    house = House()
    house.monitor._sinks = (fail, told.append)
    await house.tick(False, False)
    assert [type(event) for event in told] == [RunFailed, RunFailed, Transition, SkipStreak]
    assert "sink failed" in caplog.text


async def test_a_snapshot_brings_back_state_wait_and_incident() -> None:
    house = House()
    await house.tick(False, False)
    snapshot = house.component.snapshot()
    again = House()
    again.clock.advance(10.0)
    component = again.new("again", Target())
    again.monitor.add(component, snapshot)
    assert component.breaker.state is State.OPEN
    assert component.breaker.retry_after == pytest.approx(20.0)
    assert component.incident == house.component.incident
    assert again.plan.told[-1] == ("at", "again", pytest.approx(30.0 + EARLY))
    assert again.events == [], "a restart is no news"


async def test_a_wait_that_ended_while_the_daemon_was_down_is_told_as_half_open() -> None:
    house = House()
    await house.tick(False, False)
    again = House()
    again.clock.advance(100.0)
    component = again.new("again", Target())
    again.monitor.add(component, house.component.snapshot())
    (move,) = again.of(Transition)
    assert (move.from_state, move.to_state) == ("open", "half_open")
    assert move.incident == house.component.incident


async def test_another_target_for_an_open_breaker_is_tried_at_once() -> None:
    house = House()
    await house.tick(False, False)
    new = Target()
    await house.monitor.replace_runner(house.component, new)
    assert house.target.closed
    assert house.component.breaker.state is State.HALF_OPEN
    assert house.plan.told[-1] == ("run_now", NAME)


async def test_a_removed_component_gives_its_permit_back_and_closes_its_probe() -> None:
    house = House()
    house.target.answers.append(asyncio.Event())
    house.plan.fires[NAME](NAME, 0.0, 0)
    await asyncio.sleep(0)
    await house.monitor.remove(NAME)
    assert house.target.closed
    assert house.component.breaker.counts.in_flight == 0
    assert house.component.breaker.counts.failures == 0


class Ringing(Target):
    """Runs without a task, and waits for a bell: it is over at once when it is cancelled."""

    light = True

    async def run(self, attempt: Attempt) -> Result:
        self.runs += 1
        await Bell()
        return attempt.passed()


async def test_a_run_that_ends_at_its_cancellation_does_not_keep_its_component() -> None:
    house = House()
    house.component.runner = target = Ringing()
    house.plan.fires[NAME](NAME, 0.0, 0)
    assert target.runs == 1
    await house.monitor.remove(NAME)
    assert target.closed
    assert house.component.breaker.counts.in_flight == 0


async def test_drain_waits_for_runs_then_cancels_what_is_late_as_neutral() -> None:
    house = House()
    house.target.answers.append(asyncio.Event())
    house.plan.fires[NAME](NAME, 0.0, 0)
    await asyncio.sleep(0)
    assert await house.monitor.drain(0.0) == 1
    assert house.component.breaker.counts.failures == 0
    house.plan.fires[NAME](NAME, 0.0, 0)
    assert house.target.runs == 1, "nothing starts after the drain"


async def test_only_components_whose_run_of_failures_changed_are_unsaved() -> None:
    house = House()
    await house.tick(True)
    assert house.monitor.unsaved() == {}
    await house.tick(False)
    assert set(house.monitor.unsaved()) == {NAME}
    assert house.monitor.unsaved() == {}
    await house.tick(True)
    assert house.monitor.unsaved()[NAME]["breaker"]["now"]["run"] == 0
    await house.tick(True)
    assert house.monitor.unsaved() == {}
