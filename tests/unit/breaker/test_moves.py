"""The table of moves: what is in it happens, what is not in it raises and changes nothing."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from cbmon import (
    CircuitBreaker,
    CircuitOpenError,
    InvalidTransitionError,
    RegistryFullError,
    State,
)
from cbmon.breaker.diagram import page
from cbmon.breaker.states import BY_HAND, MOVES, TRIPS, Trigger
from cbmon.testing import ManualClock, StateRecorder
from tests.unit.breaker.support import Driver, Make

ACTIONS: dict[str, tuple[Callable[[CircuitBreaker], None], State]] = {
    "reset": (lambda b: b.reset(), State.CLOSED),
    "close": (lambda b: b.close(), State.CLOSED),
    "open": (lambda b: b.open(), State.OPEN),
    "half_open": (lambda b: b.half_open(), State.HALF_OPEN),
    "force_open": (lambda b: b.force_open(), State.FORCED_OPEN),
    "force_close": (lambda b: b.force_close(), State.FORCED_CLOSED),
    "observe": (lambda b: b.observe(), State.OBSERVE),
    "disable": (lambda b: b.disable(), State.DISABLED),
}


def possible(state: State, action: str) -> bool:
    """From the rules, not from the table."""
    if state is State.DISABLED:
        return action in {"reset", "disable"}
    return action != "half_open" or state in {State.OPEN, State.HALF_OPEN}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", ACTIONS)
def test_every_manual_move_goes_where_the_rules_say_or_raises(
    make: Make, state: State, action: str
) -> None:
    recorder = StateRecorder()
    breaker = make(initial_state=state, listeners=[recorder])
    act, target = ACTIONS[action]
    before = breaker.get_state()
    if possible(state, action):
        act(breaker)
        assert breaker.state == target
        moved = [(event.from_state, event.to_state) for event in recorder.transitions]
        assert moved == ([] if state is target else [(state, target)])
    else:
        with pytest.raises(InvalidTransitionError) as caught:
            act(breaker)
        assert breaker.get_state() == before
        assert recorder.events == []
        assert (caught.value.state, caught.value.trigger) == (state, Trigger(action))
        assert f"'target' is {state}: cannot {action}; " in str(caught.value)


def test_the_error_says_what_to_do(make: Make) -> None:
    with pytest.raises(InvalidTransitionError, match=r"enable or reset it first$"):
        make(initial_state="disabled").close()
    with pytest.raises(InvalidTransitionError, match=r"open it first$"):
        make().half_open()


def test_the_breaker_goes_on_after_an_impossible_move(make: Make) -> None:
    breaker = make()
    with pytest.raises(InvalidTransitionError):
        breaker.half_open()
    assert breaker.call(int) == 0
    assert breaker.counts.successes == 1


@pytest.mark.parametrize("state", [state for state in State if state is not State.DISABLED])
@pytest.mark.parametrize("anew", [True, False])
def test_enable_does_nothing_unless_disabled(make: Make, state: State, anew: bool) -> None:
    breaker = make(initial_state=state)
    breaker.enable(reset_counters=anew)
    assert breaker.state == state


def test_enable_with_the_counters_reset_is_closed_and_as_new(make: Make, drive: Driver) -> None:
    breaker = make(failure_threshold=2, auto_disable_enabled=True, max_failure_cycles=1)
    drive.opened(breaker).half_open()
    drive.run(breaker, "x")
    assert breaker.state == "disabled"
    breaker.enable()
    counts = breaker.counts
    assert breaker.state == "closed"
    assert (counts.cycles, counts.openings, counts.failure_count, counts.success_count) == (0,) * 4
    assert counts.consecutive_failures == 0


def test_enable_with_the_counters_kept_is_one_more_chance(make: Make, drive: Driver) -> None:
    breaker = make(failure_threshold=2, auto_disable_enabled=True, max_failure_cycles=1)
    drive.opened(breaker).half_open()
    drive.run(breaker, "x")
    breaker.enable(reset_counters=False)
    assert (breaker.state, breaker.counts.cycles) == ("half_open", 1)
    drive.run(breaker, "x")
    assert (breaker.state, breaker.counts.cycles) == ("disabled", 2)


@pytest.mark.parametrize("state", ["open", "forced_open", "disabled"])
def test_states_that_reject_reject_and_count(make: Make, state: str) -> None:
    breaker = make(initial_state=state)
    for _ in range(3):
        with pytest.raises(CircuitOpenError):
            breaker.call(int)
    assert breaker.try_acquire() is None
    assert (breaker.counts.rejections, breaker.counts.calls) == (4, 0)
    assert breaker.get_state()["is_available"] is False


def test_forced_closed_admits_all_records_nothing_and_tells_transitions_only(
    make: Make, drive: Driver
) -> None:
    recorder = StateRecorder()
    breaker = make(kind="percentage", minimum_calls=1, listeners=[recorder])
    stale = breaker.try_acquire()
    breaker.force_close()
    drive.run(breaker, "x" * 20 + "ic")
    assert stale is not None
    breaker.record(stale, failed=True)
    assert recorder.told == ["transition"]
    counts = breaker.counts
    assert (breaker.state, counts.calls, counts.failures, counts.stale) == (
        "forced_closed", 23, 0, 1,
    )  # fmt: skip
    assert (counts.ignored, counts.cancelled, counts.successes) == (0, 0, 0)


def test_forced_closed_still_runs_calls_through_the_guard(make: Make) -> None:
    breaker = make(initial_state="forced_closed")
    assert breaker.call(int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        breaker.call(int, "x")
    assert (breaker.counts.calls, breaker.counts.in_flight, breaker.counts.failures) == (2, 0, 0)


def test_observe_never_trips(make: Make, drive: Driver) -> None:
    breaker = make(initial_state="observe", failure_threshold=2)
    drive.run(breaker, "x" * 50)
    assert (breaker.state, breaker.counts.failures, breaker.counts.would_trip) == ("observe", 50, 1)


def test_actor_and_reason_go_into_the_transition(make: Make) -> None:
    recorder = StateRecorder()
    breaker = make(listeners=[recorder])
    breaker.force_open(actor="ann", reason="deploy")
    breaker.reset(actor="bob", reason="done")
    first, second = recorder.transitions
    assert (first.actor, first.reason, first.cause) == ("ann", "deploy", "force_open")
    assert first.text == "force open by hand: deploy"
    assert (second.actor, second.reason, second.cause) == ("bob", "done", "reset")
    reset = next(event for event in recorder.events if event.kind == "reset")
    assert (reset.actor, reset.reason) == ("bob", "done")
    assert make().close(actor="ann") is None  # type: ignore[func-returns-value]


def test_an_initial_state_is_no_transition_and_an_odd_one_is_refused(
    make: Make, clock: ManualClock
) -> None:
    breaker = make(initial_state="open", recovery_timeout=5.0)
    assert (breaker.retry_after, breaker.counts.transitions) == (5.0, {})
    assert breaker.counts.last_transition_at is None
    clock.advance(5.0)
    assert breaker.state == "half_open"
    with pytest.raises(ValueError, match="'ajar' is not allowed; expected one of closed, open"):
        make(initial_state="ajar")


def test_disabled_ends_by_reset_too(make: Make) -> None:
    breaker = make(initial_state="disabled")
    breaker.reset()
    assert breaker.state == "closed"


def test_the_gauge_is_zero_half_or_one() -> None:
    assert {state.value: state.gauge for state in State} == {
        "closed": 1.0, "open": 0.0, "half_open": 0.5, "forced_open": 0.0, "forced_closed": 1.0,
        "observe": 1.0, "disabled": 0.0,
    }  # fmt: skip


def test_every_trigger_is_in_the_table_and_no_move_leads_to_its_own_state() -> None:
    assert set(MOVES) == set(State)
    assert {trigger for moves in MOVES.values() for trigger in moves} == set(Trigger)
    assert all(state is not target for state, moves in MOVES.items() for target in moves.values())
    assert all(MOVES[state].get(trigger, State.OPEN) is State.OPEN
               for state in State for trigger in TRIPS)  # fmt: skip
    assert not TRIPS & BY_HAND


def test_by_itself_a_breaker_moves_between_three_states_and_to_disabled() -> None:
    automatic = {
        (source, target)
        for source, moves in MOVES.items()
        for trigger, target in moves.items()
        if trigger not in BY_HAND
    }
    assert automatic == {
        (State.CLOSED, State.OPEN), (State.OPEN, State.HALF_OPEN),
        (State.HALF_OPEN, State.CLOSED), (State.HALF_OPEN, State.OPEN),
        (State.HALF_OPEN, State.DISABLED),
    }  # fmt: skip


def test_a_full_registry_says_what_to_do() -> None:
    error = RegistryFullError("key", 5)
    assert (error.key, error.max_keys) == ("key", 5)
    assert str(error) == "no room for breaker 'key': all 5 are open or in use; raise max_keys"


@pytest.mark.parametrize("error", [
    CircuitOpenError("x", State.OPEN, 5.0), InvalidTransitionError("x", State.OPEN, Trigger.CLOSE),
    RegistryFullError("key", 5),
])  # fmt: skip
def test_errors_survive_pickling(error: Exception) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_page_in_the_docs_is_the_table() -> None:
    docs = Path(__file__).parents[3] / "docs" / "breaker-states.md"
    assert page() == docs.read_text(encoding="utf-8")
