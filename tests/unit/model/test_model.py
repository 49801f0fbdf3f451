"""R1-R26: whatever is done to a breaker, it does what the slow reference breaker does."""

from __future__ import annotations

import inspect
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from cbmon.testing import policies
from tests.unit.model.twins import Twins

SECONDS = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, 4.75, 5.0, 30.0, 60.0, 1e9])
DURATIONS = st.sampled_from([0.0, 1.0, 1.5])
MOVES = ["reset", "close", "open", "half_open", "force_open", "force_close", "observe", "disable"]


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
        self.twins.advance(self.twins.engine.retry_after or 0.0, poll=False)

    @rule(calls=st.integers(1, 4))
    def calls_begin(self, calls: int) -> None:
        for _ in range(calls):
            self.twins.acquire()

    @rule(failed=st.booleans(), duration=DURATIONS, calls=st.integers(1, 6))
    def calls_run(self, failed: bool, duration: float, calls: int) -> None:
        for _ in range(calls):
            before = len(self.twins.pending)
            self.twins.acquire()
            if len(self.twins.pending) > before:
                self.twins.record(before, failed=failed, duration=duration)

    @precondition(lambda self: self.twins.pending)
    @rule(which=st.integers(0, 20), failed=st.booleans(), duration=DURATIONS)
    def a_call_ends(self, which: int, failed: bool, duration: float) -> None:
        self.twins.record(which, failed=failed, duration=duration)

    @precondition(lambda self: self.twins.pending)
    @rule(which=st.integers(0, 20))
    def a_call_is_cancelled(self, which: int) -> None:
        self.twins.release(which)

    @rule(name=st.sampled_from(MOVES))
    def a_person_moves_it(self, name: str) -> None:
        self.twins.move(name)

    @rule(seconds=st.sampled_from([0.5, 7.0]))
    def a_person_opens_it_for_a_time(self, seconds: float) -> None:
        self.twins.move("open", for_seconds=seconds)

    @rule(reset_counters=st.booleans())
    def a_person_enables_it(self, reset_counters: bool) -> None:
        self.twins.move("enable", reset_counters=reset_counters)

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


def machine(kind: str) -> Any:
    class Kind(Machine):
        pass

    Kind.kind = kind
    Kind.__name__ = f"Machine_{kind}"
    case = Kind.TestCase
    case.settings = settings(
        max_examples=1500,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return case


TestTheCountKindDoesWhatTheReferenceDoes = machine("count")
TestTheTimeKindDoesWhatTheReferenceDoes = machine("time")
TestThePercentageKindDoesWhatTheReferenceDoes = machine("percentage")


def test_the_reference_stands_on_its_own() -> None:
    """A reference that imported the engine would prove nothing."""
    from tests.unit.model import reference

    assert "import cbmon" not in inspect.getsource(reference)
    assert "from cbmon" not in inspect.getsource(reference)
