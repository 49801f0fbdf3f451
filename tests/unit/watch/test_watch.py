"""Alert rules in Python. Rule: told once per cooldown and once when over; nobody harms another."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

import pytest

from cbmon import BreakerRegistry, CircuitBreaker, State
from cbmon.testing import ManualClock
from cbmon.watch import (
    DEFAULT_RULES,
    Alert,
    AlertRule,
    BreakerMetrics,
    BreakerMonitor,
    Severity,
)


class World:
    def __init__(self, *rules: AlertRule, **options: Any) -> None:
        self.clock = ManualClock()
        self.breakers = BreakerRegistry(clock=self.clock, failure_threshold=3)
        self.ai = self.breakers.get("claude")
        self.db = self.breakers.get("ledger")
        self.monitor = BreakerMonitor(
            self.breakers,
            rules=rules or DEFAULT_RULES,
            clock=self.clock,
            category_of=lambda breaker: "ai" if breaker.name == "claude" else "db",
            **options,
        )
        self.told: list[Alert] = []
        self.monitor.add_notification_handler(self.told.append)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            permit = self.ai.try_acquire()
            if permit is not None:
                self.ai.record(permit, failed=True)


FAILING = AlertRule(
    name="critical_ai_failure",
    condition=lambda its: its.category == "ai" and its.failure_rate > 0.8,
    severity=Severity.CRITICAL,
    cooldown=300,
)


def test_a_condition_over_the_numbers_raises_an_alert() -> None:
    world = World(FAILING)
    world.fail(2)
    (alert,) = world.monitor.check()
    assert world.told == [alert]
    assert (alert.rule, alert.severity, alert.breaker) == (
        "critical_ai_failure",
        Severity.CRITICAL,
        "claude",
    )
    assert alert.message == "critical_ai_failure: claude is closed, failure rate 100%"


def test_it_is_told_once_per_cooldown_and_once_when_it_is_over() -> None:
    world = World(FAILING)
    world.fail(1)
    world.monitor.check()
    assert world.monitor.check() == []
    world.clock.advance(299)
    assert world.monitor.check() == []
    world.clock.advance(1)
    assert [alert.resolved for alert in world.monitor.check()] == [False]
    for _ in range(9):
        world.ai.call(len, "")
    assert [alert.resolved for alert in world.monitor.check()] == [True]
    assert world.monitor.check() == []


def test_what_comes_back_within_the_cooldown_is_not_told_again() -> None:
    world = World(AlertRule(name="open", condition=lambda its: its.state is State.OPEN))
    world.ai.open()
    world.monitor.check()
    world.ai.close()
    world.monitor.check()
    world.ai.open()
    assert world.monitor.check() == []
    world.clock.advance(300)
    world.ai.open(for_seconds=60)
    assert [alert.resolved for alert in world.monitor.check()] == [False]


def test_a_condition_or_handler_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Any) -> bool:
        raise ZeroDivisionError

    world = World(AlertRule(name="broken", condition=broken), FAILING)
    world.monitor._handlers.insert(0, (broken, frozenset(Severity)))
    world.fail(1)
    with caplog.at_level(logging.ERROR):
        assert len(world.monitor.check()) == 1
    assert len(world.told) == 1
    assert "alert condition failed: rule=broken breaker=claude" in caplog.text
    assert "notification handler failed" in caplog.text


def test_a_handler_may_hear_some_severities_only() -> None:
    world, urgent = World(), list[Alert]()
    world.monitor.add_notification_handler(urgent.append, [Severity.CRITICAL])
    world.ai.open()
    world.ai.half_open()
    world.db.open()
    world.monitor.check()
    assert {alert.rule for alert in world.told} == {"breaker_open", "breaker_half_open"}
    assert [alert.breaker for alert in urgent] == ["ledger"]


def test_rules_come_and_go() -> None:
    world = World()
    world.monitor.add_alert_rule(FAILING)
    world.fail(1)
    assert [alert.rule for alert in world.monitor.check()] == ["critical_ai_failure"]
    world.monitor.remove_alert_rule("critical_ai_failure")
    assert [alert.resolved for alert in world.monitor.check()] == [True]
    with pytest.raises(KeyError):
        world.monitor.remove_alert_rule("critical_ai_failure")


def test_a_message_that_cannot_be_made_is_replaced() -> None:
    rule = AlertRule(name="odd", condition=lambda its: True, message="{name.nothing}")
    world = World(rule)
    assert world.monitor.check()[0].message == "odd: claude is closed"


def test_moves_reach_callbacks_and_history() -> None:
    world, seen = World(), list[tuple[str, State, State]]()

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    world.monitor.add_transition_callback(broken)
    world.monitor.add_transition_callback(lambda *move: seen.append(move))
    world.fail(3)
    assert seen == [("claude", State.CLOSED, State.OPEN)]
    (move,) = world.monitor.transitions
    assert (move.breaker, move.to_state, move.at) == ("claude", State.OPEN, world.clock.time())


def test_breakers_that_come_later_are_heard_too() -> None:
    world = World()
    world.breakers.get("late")
    world.monitor.check()
    world.breakers.get("late").open()
    assert [move.breaker for move in world.monitor.transitions] == ["late"]


def test_history_is_bounded() -> None:
    world = World(history=5)
    for _ in range(10):
        world.ai.open()
        world.monitor.check()
        world.ai.close()
        world.monitor.check()
    assert len(world.monitor.transitions) == 5
    assert len(world.monitor.alerts) <= 5


def test_the_dashboard_shows_health_by_category() -> None:
    world = World()
    world.fail(3)
    world.monitor.check()
    found = json.loads(json.dumps(world.monitor.dashboard()))
    overview = found["overview"]
    assert (overview["total"], overview["healthy"], overview["failed"]) == (2, 1, 1)
    assert overview["health_percentage"] == 50.0
    assert overview["states"]["open"] == 1
    assert overview["active_alerts"] == 1
    assert found["categories"]["ai"]["health_percentage"] == 0.0
    assert found["categories"]["db"]["health_percentage"] == 100.0
    assert found["breakers"]["claude"]["state"] == "open"
    assert found["recent_transitions"][0]["to_state"] == "open"
    assert found["active_alerts"][0]["severity"] == "critical"


def test_an_empty_program_is_healthy() -> None:
    monitor = BreakerMonitor([])
    assert monitor.check() == []
    assert monitor.dashboard()["overview"]["health_percentage"] == 100.0


def test_a_rate_is_the_windows_where_there_is_one() -> None:
    clock = ManualClock()
    breakers = BreakerRegistry(clock=clock, kind="time", minimum_calls=1, failure_rate_threshold=1)
    its, seen = breakers.get("a"), list[BreakerMetrics]()
    rule = AlertRule(name="see", condition=seen.append)
    monitor = BreakerMonitor(breakers, rules=[rule], clock=clock)
    its.call(len, "")
    clock.advance(3600)
    permit = its.try_acquire()
    assert permit is not None
    its.record(permit, failed=False)
    monitor.check()
    assert (seen[-1].calls, seen[-1].failure_rate) == (2, 0.0)


def test_a_thread_looks_at_every_move() -> None:
    breakers, told = BreakerRegistry(), threading.Event()
    its = breakers.get("a")
    monitor = BreakerMonitor(breakers, interval=3600)
    monitor.add_notification_handler(lambda alert: told.set())
    with monitor:
        with pytest.raises(RuntimeError):
            monitor.start()
        its.open()
        assert told.wait(5)
    monitor.stop()


@pytest.mark.parametrize("options", [{"interval": 0}, {"history": 0}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        BreakerMonitor([], **options)


def test_a_message_that_a_number_does_not_fit_is_told_plainly() -> None:
    world = World(
        AlertRule(
            name="age", condition=lambda its: True, message="{breaker} for {seconds_in_state:.0f} s"
        )
    )
    assert {alert.message for alert in world.monitor.check()} == {
        "age: claude is closed",
        "age: ledger is closed",
    }


def test_a_category_that_cannot_be_found_is_the_breakers_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    monitor = BreakerMonitor([CircuitBreaker("a", category="db")], category_of=lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
    assert list(monitor.dashboard()["categories"]) == ["db"]
    assert "category_of failed: breaker=a" in caplog.text


async def _awaited(*_: Any) -> None:
    """Nobody would await it."""


WRONG_MONITORS: list[tuple[Any, str]] = [
    (lambda: BreakerMonitor("shop"), r"breakers: 'shop' is not .* did you mean \['shop'\]"),  # type: ignore[arg-type]
    (lambda: BreakerMonitor(CircuitBreaker("a")), "breakers: .* expected several breakers"),  # type: ignore[arg-type]
    (lambda: BreakerMonitor(["a"]), "breakers: 'a' is not allowed; expected a CircuitBreaker"),  # type: ignore[list-item]
    (lambda: BreakerMonitor(iter([CircuitBreaker("a")])), "gone through again"),
    (lambda: BreakerMonitor([], interval="15"), "interval: got '15', expected a number > 0"),  # type: ignore[arg-type]
    (lambda: BreakerMonitor([], interval=float("nan")), "interval: got nan"),
    (lambda: BreakerMonitor([], interval=1e9), "expected at most 86400 seconds"),
    (lambda: BreakerMonitor([], interval=True), "interval: got True"),
    (lambda: BreakerMonitor([], history=2.5), "history: got 2.5, expected an integer >= 1"),  # type: ignore[arg-type]
    (lambda: BreakerMonitor([], category_of="ai"), "category_of: 'ai' is not callable"),  # type: ignore[arg-type]
    (lambda: BreakerMonitor([], clock=3), "clock: 3 is not allowed"),  # type: ignore[arg-type]
    (lambda: BreakerMonitor([], rules=FAILING), "rules: .* expected several AlertRules"),  # type: ignore[arg-type]
    (lambda: BreakerMonitor([], rules=[max]), "rules: .* expected an AlertRule"),  # type: ignore[list-item]
    (lambda: BreakerMonitor([], rules=[FAILING, FAILING]), "two of them are named 'critical_ai"),
    (lambda: BreakerMonitor([]).add_alert_rule("x"), "rule: 'x' is not allowed"),  # type: ignore[arg-type]
    (lambda: BreakerMonitor([]).remove_alert_rule("x"), "no rule is named 'x'"),
    (lambda: BreakerMonitor([]).add_notification_handler(_awaited), "is a coroutine function"),
    (lambda: BreakerMonitor([]).add_notification_handler(print, "info"), r"\['info'\]"),  # type: ignore[arg-type]
    (lambda: BreakerMonitor([]).add_notification_handler(print, ["high"]), "severities: 'high'"),  # type: ignore[list-item]
    (lambda: BreakerMonitor([]).add_transition_callback(None), "callback: None is not callable"),  # type: ignore[arg-type]
    (lambda: BreakerMonitor([]).stop(-1), "deadline: got -1"),
    (lambda: AlertRule(name="", condition=bool), "name: '' is not allowed"),
    (lambda: AlertRule(name="a", condition=True), "condition: True is not callable"),  # type: ignore[arg-type]
    (lambda: AlertRule(name="a", condition=_awaited), "condition: .* is a coroutine function"),
    (lambda: AlertRule(name="a", condition=bool, severity="high"), "expected one of info, warning"),  # type: ignore[arg-type]
    (lambda: AlertRule(name="a", condition=bool, cooldown=float("nan")), "cooldown: got nan"),
    (lambda: AlertRule(name="a", condition=bool, message=3), "message: 3 is not allowed"),  # type: ignore[arg-type]
    (lambda: AlertRule(name="a", condition=bool, message="{breker}"), r"\{breker\} is not allowed"),
    (lambda: AlertRule(name="a", condition=bool, message="{"), "message: '{' is not allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), WRONG_MONITORS, ids=range(len(WRONG_MONITORS)))
def test_a_wrong_argument_is_refused_where_it_is_given(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError, KeyError), match=message):
        make()


def test_a_severity_may_be_given_by_its_name() -> None:
    rule = AlertRule(name="a", condition=bool, severity="critical")  # type: ignore[arg-type]
    assert rule.severity is Severity.CRITICAL
