"""R1-R26: whatever is done to a breaker, it does what the slow reference breaker does."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cbmon.testing import policies
from tests.unit.model.twins import Twins

SECONDS = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, 4.75, 5.0, 30.0, 60.0, 1e9])
DURATIONS = st.sampled_from([0.0, 1.0, 1.5])
PAUSES = st.sampled_from([0.0, 0.0, 0.0, 0.25, 1.0, 4.75])
MOVES: st.SearchStrategy[tuple[str, dict[str, Any]]] = st.sampled_from(
    [
        *((name, {}) for name in ("reset", "close", "open", "half_open", "observe", "disable")),
        *((name, {}) for name in ("force_open", "force_close")),
        *(("open", {"for_seconds": seconds}) for seconds in (0.5, 7.0)),
        *(("enable", {"reset_counters": anew}) for anew in (True, False)),
    ]
)


class Machine(RuleBasedStateMachine):
    """Steps in any order; the policies are drawn for one kind, which a run keeps."""

    kind: str
    twins: Twins

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.twins = Twins(data.draw(policies(kinds=[self.kind])))

    @rule(seconds=SECONDS, poll=st.booleans())
    def time_passes(self, seconds: float, poll: bool) -> None:
        self.twins.advance(seconds, poll=poll)

    @rule()
    def the_deadline_comes(self) -> None:
        self.twins.wait_for_the_deadline()

    @rule(calls=st.integers(1, 4))
    def calls_begin(self, calls: int) -> None:
        for _ in range(calls):
            self.twins.acquire()

    @rule(
        outcomes=st.lists(st.tuples(st.booleans(), DURATIONS, PAUSES), max_size=12),
        guarded=st.booleans(),
    )
    def calls_run(self, outcomes: list[tuple[bool, float, float]], guarded: bool) -> None:
        self.twins.run(outcomes, guarded=guarded)

    @rule(times=st.integers(1, 4), failed=st.booleans(), guarded=st.booleans())
    def deadlines_come_and_trials_run(self, times: int, failed: bool, guarded: bool) -> None:
        for _ in range(times):
            self.twins.wait_for_the_deadline()
            self.twins.run([(failed, 0.0, 0.0)] * 4, guarded=guarded)

    @precondition(lambda self: self.twins.pending)
    @rule(which=st.integers(0, 20), failed=st.booleans(), duration=DURATIONS)
    def a_call_ends(self, which: int, failed: bool, duration: float) -> None:
        self.twins.record(which, failed=failed, duration=duration)

    @precondition(lambda self: self.twins.pending)
    @rule(which=st.integers(0, 20))
    def a_call_is_cancelled(self, which: int) -> None:
        self.twins.release(which)

    @rule(move=MOVES)
    def a_person_moves_it(self, move: tuple[str, dict[str, Any]]) -> None:
        name, options = move
        self.twins.move(name, **options)

    @rule(data=st.data())
    def the_policy_changes(self, data: st.DataObject) -> None:
        self.twins.reconfigure(data.draw(policies(kinds=[self.kind])))

    @rule()
    def the_process_restarts(self) -> None:
        self.twins.restart()

    @invariant()
    def they_agree(self) -> None:
        if hasattr(self, "twins"):
            self.twins.compare()


def machine(kind: str, *, examples: int = 200, steps: int = 40) -> Any:
    class Kind(Machine):
        pass

    Kind.kind = kind
    Kind.__name__ = f"Machine_{kind}"
    case = Kind.TestCase
    case.machine = Kind  # type: ignore[attr-defined]
    case.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return case


TestTheCountKindDoesWhatTheReferenceDoes = machine("count")
TestTheTimeKindDoesWhatTheReferenceDoes = machine("time")
TestThePercentageKindDoesWhatTheReferenceDoes = machine("percentage")


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("batch", range(20))
@pytest.mark.parametrize("kind", ["count", "time", "percentage"])
def test_each_kind_does_what_the_reference_does_for_2000_runs_of_60_steps(
    kind: str, batch: int
) -> None:
    """In batches: Hypothesis remembers every choice of a run, 0.25 MB for each of these."""
    case = machine(kind, examples=100, steps=60)
    steps = settings(case.settings, database=None)
    run_state_machine_as_test(seed(batch)(case.machine), settings=steps)


def test_the_reference_stands_on_its_own() -> None:
    """A reference that imported the engine would prove nothing."""
    from tests.unit.model import reference

    assert "import cbmon" not in inspect.getsource(reference)
    assert "from cbmon" not in inspect.getsource(reference)
