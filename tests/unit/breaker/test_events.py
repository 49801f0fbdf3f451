"""Events: what is told, to whom, in which order."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cbmon import CircuitBreaker, CircuitOpenError, State
from cbmon.breaker.events import KINDS
from cbmon.breaker.narration import log_transitions
from cbmon.testing import ManualClock, StateRecorder
from tests.unit.breaker.support import Driver, Make


def test_each_outcome_is_told_with_its_facts(make: Make, clock: ManualClock) -> None:
    recorder = StateRecorder()
    breaker = make(listeners=[recorder], ignored_exceptions=(KeyError,), slow_call_seconds=1.0)
    breaker.call(clock.advance, 0.5)
    with pytest.raises(ValueError, match="invalid literal"):
        breaker.call(int, "x")
    nothing: dict[str, int] = {}
    with pytest.raises(KeyError):
        breaker.call(nothing.__getitem__, "x")
    with pytest.raises(KeyboardInterrupt):
        breaker.call(interrupted)
    breaker.force_open()
    with pytest.raises(CircuitOpenError):
        breaker.call(int)
    assert recorder.told == [
        "success", "failure", "ignored", "cancelled", "transition", "rejected",
    ]  # fmt: skip
    success, failure, *_, rejected = recorder.events
    assert (success.name, success.at, success.duration) == ("target", clock.time(), 0.5)
    assert (success.state, success.error, success.reason) == (State.CLOSED, None, None)
    assert failure.error.startswith("ValueError: invalid literal")
    assert rejected.state == "forced_open"
    assert {event.kind for event in recorder.events} <= KINDS
    with pytest.raises(AttributeError):
        success.kind = "other"


def interrupted() -> None:
    raise KeyboardInterrupt


def test_a_transition_carries_what_a_message_needs(make: Make, clock: ManualClock) -> None:
    recorder = StateRecorder()
    breaker = make(failure_threshold=1, listeners=[recorder], recovery_timeout=30.0)
    permit = breaker.try_acquire()
    assert permit is not None
    breaker.record(permit, failed=True, reason="connect", error="refused", duration=0.25)
    failure, move = recorder.events
    assert (failure.reason, failure.error, failure.duration) == ("connect", "refused", 0.25)
    assert {name: getattr(move, name) for name in (
        "kind", "name", "at", "from_state", "to_state", "cause", "text", "actor", "reason",
        "last_reason", "last_error", "failure_count", "cycles", "retry_after",
    )} == {
        "kind": "transition", "name": "target", "at": clock.time(), "from_state": "closed",
        "to_state": "open", "cause": "failures_in_a_row",
        "text": "1 failures in a row, threshold 1", "actor": None, "reason": None,
        "last_reason": "connect", "last_error": "refused", "failure_count": 1, "cycles": 0,
        "retry_after": 30.0,
    }  # fmt: skip
    clock.advance(30.0)
    breaker.poll()
    half = recorder.transitions[-1]
    assert (half.text, half.retry_after) == ("the wait is over", None)


@pytest.mark.parametrize("kind", ["time", "percentage"])
def test_rates_are_told_once_per_excursion_before_the_move(
    make: Make, drive: Driver, kind: str
) -> None:
    recorder = StateRecorder()
    breaker = make(kind=kind, minimum_calls=2, slow_call_seconds=1.0, listeners=[recorder],
                   slow_call_rate_threshold=0.5)  # fmt: skip
    drive.run(breaker, ".S")
    assert recorder.told == ["success", "failure", "failure_rate_exceeded",
                             "slow_call_rate_exceeded", "transition"]  # fmt: skip
    rate, slow = recorder.events[2:4]
    assert (rate.rate, rate.threshold, rate.calls, rate.state) == (0.5, 0.5, 2, "closed")
    assert (slow.rate, slow.threshold, slow.calls) == (0.5, 0.5, 2)
    assert recorder.transitions[0].cause == "failure_rate"


def test_observe_tells_rates_once_per_excursion_too(make: Make, drive: Driver) -> None:
    recorder = StateRecorder()
    breaker = make(kind="percentage", minimum_calls=2, window_size=4, initial_state="observe")
    breaker.add_listener(recorder, ["failure_rate_exceeded"])
    drive.run(breaker, "xxxx")
    assert recorder.told == ["failure_rate_exceeded"]
    drive.run(breaker, "......xx")
    assert recorder.told == ["failure_rate_exceeded"] * 2


def test_one_rate_does_not_keep_the_other_from_being_told(make: Make, drive: Driver) -> None:
    breaker, recorder = make(kind="percentage", minimum_calls=2, window_size=4,
        slow_call_seconds=1.0, slow_call_rate_threshold=0.5, initial_state="observe",
    ), StateRecorder()  # fmt: skip
    breaker.add_listener(recorder, ["failure_rate_exceeded", "slow_call_rate_exceeded"])
    drive.run(breaker, "xx")
    drive.run(breaker, "ss")
    assert recorder.told == ["failure_rate_exceeded", "slow_call_rate_exceeded"]
    assert breaker.counts.would_trip == 1
    drive.run(breaker, "ssxx")
    assert recorder.told[2:] == ["failure_rate_exceeded"]


@pytest.mark.parametrize(
    ("letter", "told"), [("x", "failure_rate_exceeded"), ("s", "slow_call_rate_exceeded")]
)
def test_a_rate_is_told_again_after_each_move(
    make: Make, drive: Driver, letter: str, told: str
) -> None:
    recorder = StateRecorder()
    breaker = make(kind="percentage", minimum_calls=1, slow_call_seconds=1.0)
    breaker.add_listener(recorder, [told])
    for _ in range(3):
        drive.run(breaker, letter)
        assert breaker.state == "open"
        breaker.close()
    assert recorder.told == [told] * 3


def test_every_event_tells_the_time_of_the_wall(
    make: Make, drive: Driver, clock: ManualClock
) -> None:
    recorder = StateRecorder()
    breaker = make(kind="percentage", minimum_calls=2, slow_call_seconds=1.0,
                   slow_call_rate_threshold=0.5, recovery_timeout=5.0,
                   listeners=[recorder])  # fmt: skip
    late = breaker.try_acquire()
    moments: list[float] = []

    def passes(what: Callable[[], object]) -> None:
        clock.advance(0.25)
        what()
        moments.extend([clock.time()] * (len(recorder.events) - len(moments)))

    passes(lambda: drive.run(breaker, ".icS"))
    passes(lambda: breaker.record(late or 0, failed=False))
    passes(breaker.try_acquire)
    passes(lambda: breaker.reconfigure(replace(breaker.policy, minimum_calls=3)))
    passes(breaker.reset)
    passes(lambda: breaker.restore({}))
    assert [one.at for one in recorder.events] == moments
    assert set(recorder.told) >= {
        "success", "ignored", "failure", "failure_rate_exceeded", "slow_call_rate_exceeded",
        "transition", "stale", "rejected", "reconfigured", "reset",
    }  # fmt: skip


def test_a_move_tells_how_many_failures_brought_it_about(make: Make, drive: Driver) -> None:
    recorder = StateRecorder()
    breaker = drive.opened(make(failure_threshold=3, listeners=[recorder]))
    breaker.half_open()
    drive.run(breaker, ".")
    moves = [(move.to_state, move.failure_count) for move in recorder.transitions]
    assert moves == [("open", 3), ("half_open", 3), ("closed", 0)]


def test_trials_that_pass_say_how_many_succeeded(make: Make, drive: Driver) -> None:
    recorder = StateRecorder()
    breaker = make(kind="percentage", initial_state="half_open", half_open_max_calls=4,
                   listeners=[recorder])  # fmt: skip
    drive.run(breaker, ".x..")
    assert recorder.transitions[0].text == "3 of 4 trial calls succeeded"


def test_trials_that_fail_by_a_rate_tell_it(make: Make, drive: Driver) -> None:
    recorder = StateRecorder()
    breaker = make(kind="percentage", initial_state="half_open", half_open_max_calls=2,
                   listeners=[recorder])  # fmt: skip
    drive.run(breaker, "x.")
    assert recorder.told == ["failure", "success", "failure_rate_exceeded", "transition"]
    assert recorder.of("failure_rate_exceeded")[0].state == "half_open"


def test_listeners_hear_only_what_they_asked_for(make: Make, drive: Driver) -> None:
    few, all_of_it = StateRecorder(), StateRecorder()
    breaker = make(failure_threshold=1)
    breaker.add_listener(few, iter(["transition", "reset"]))
    breaker.add_listener(all_of_it)
    drive.run(breaker, "x")
    breaker.reset()
    assert few.told == ["transition", "transition", "reset"]
    assert all_of_it.told == ["failure", "transition", "transition", "reset"]


def test_a_listener_given_to_the_breaker_may_say_what_it_wants(make: Make, drive: Driver) -> None:
    heard: list[Any] = []

    def listener(event: Any) -> None:
        heard.append(event.kind)

    listener.kinds = ("transition",)  # type: ignore[attr-defined]
    drive.run(make(failure_threshold=1, listeners=[listener]), "x")
    assert heard == ["transition"]


def test_an_unknown_kind_is_refused(make: Make) -> None:
    breaker = make()
    with pytest.raises(ValueError, match=r"kinds: \['opened'\] are not allowed; expected \["):
        breaker.add_listener(print, ["opened"])
    assert breaker._core.listeners == ()


def test_per_call_events_that_nobody_hears_keep_the_lanes_open(make: Make) -> None:
    breaker = make()
    breaker.add_listener(print, ["transition", "failure", "reset"])
    assert breaker._core.machine.calm
    breaker.add_listener(print, ["success"])
    assert breaker._core.machine.free
    assert not breaker._core.machine.calm
    breaker.force_open()
    assert breaker._core.machine.shut
    breaker.add_listener(print, ["rejected"])
    assert not breaker._core.machine.shut


def test_a_listener_that_raises_is_logged_counted_and_nothing_else(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Any) -> None:
        raise RuntimeError("broken listener")

    recorder = StateRecorder()
    breaker = make(listeners=[broken, recorder])
    assert breaker.call(int) == 0
    assert (breaker.listener_errors, recorder.told) == (1, ["success"])
    record = caplog.records[0]
    assert record.getMessage() == "listener failed breaker=target kind=success"
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert "broken listener" in str(record.exc_info[1])


def test_an_interrupt_in_a_listener_leaves_the_rest_to_be_told(make: Make) -> None:
    told: list[str] = []

    def listener(event: Any) -> None:
        told.append(event.kind)
        if len(told) == 1:
            raise KeyboardInterrupt

    breaker = make(listeners=[listener], failure_threshold=1)
    permit = breaker.try_acquire()
    assert permit is not None
    with pytest.raises(KeyboardInterrupt):
        breaker.record(permit, failed=True)
    breaker.reset()
    assert told == ["failure", "transition", "transition", "reset"]


def test_transitions_are_logged_with_their_cause(
    make: Make, drive: Driver, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    breaker = make(failure_threshold=1, listeners=[log_transitions])
    drive.run(breaker, "x")
    clock.advance(60.0)
    drive.run(breaker, ".")
    breaker.force_open(actor="ann", reason="deploy")
    said = [
        record.getMessage().removeprefix("breaker moved name=target ") for record in caplog.records
    ]
    assert said == [
        'from=closed to=open cause=failures_in_a_row text="1 failures in a row, threshold 1"',
        'from=open to=half_open cause=recovery_timeout text="the wait is over"',
        'from=half_open to=closed cause=trials_passed text="1 of 1 trial calls succeeded"',
        'from=closed to=forced_open cause=force_open text="force open by hand: deploy" actor=ann',
    ]
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO", "INFO", "WARNING"]
    assert isinstance(breaker, CircuitBreaker)
    assert breaker._core.machine.heard == {"transition"}


def test_a_listener_that_is_removed_hears_nothing_more(make: Make, drive: Driver) -> None:
    told: list[str] = []

    def listener(event: Any) -> None:
        told.append(event.kind)

    breaker = make(listeners=[listener])
    drive.run(breaker, ".")
    breaker.remove_listener(listener)
    drive.run(breaker, ".x")
    assert told == ["success"]
    assert breaker._core.machine.heard == frozenset()
    with pytest.raises(ValueError, match="does not listen to"):
        breaker.remove_listener(listener)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"listeners": [3]}, "listener: 3 is not callable"),
        ({"fallback": "nothing"}, "fallback: 'nothing' is not callable"),
        ({"name": None}, "name: None is not allowed"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        CircuitBreaker(**{"name": "b", **fields})


def test_what_a_listener_brings_about_is_told_after_what_it_hears(make: Make) -> None:
    heard: list[tuple[str, str]] = []
    breaker = make()

    def first(event: Any) -> None:
        heard.append(("first", event.to_state))
        if event.to_state == "forced_open":
            breaker.close()

    breaker.add_listener(first, ["transition"])
    breaker.add_listener(lambda event: heard.append(("second", event.to_state)), ["transition"])
    breaker.force_open()
    assert heard == [
        ("first", "forced_open"), ("second", "forced_open"), ("first", "closed"),
        ("second", "closed"),
    ]  # fmt: skip
