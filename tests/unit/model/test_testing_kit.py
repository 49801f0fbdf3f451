"""The test kit that users get: it never sleeps, and it says what it did."""

import asyncio
import builtins
import sys
import threading
from typing import Any

import pytest
from hypothesis import given, settings

from cbmon import BreakerPolicy, CircuitBreaker, State
from cbmon.testing import (
    KINDS,
    ManualClock,
    Outcome,
    StateRecorder,
    opening_waits,
    outcome_sequences,
    play,
    policies,
)


class TestManualClock:
    def test_time_stands_still_until_it_is_told_to_pass(self) -> None:
        clock = ManualClock(start=5.0, wall=1000.0)
        assert (clock.monotonic(), clock.time()) == (5.0, 1000.0)
        assert clock.advance(2.5) == 7.5
        assert (clock.monotonic(), clock.time()) == (7.5, 1002.5)

    def test_the_wall_may_be_set_without_time_passing(self) -> None:
        clock = ManualClock()
        clock.set_wall(42.0)
        assert (clock.monotonic(), clock.time()) == (0.0, 42.0)

    @pytest.mark.parametrize("seconds", [-1.0, float("nan")])
    def test_time_does_not_go_back(self, seconds: float) -> None:
        clock = ManualClock()
        with pytest.raises(ValueError, match="seconds: got"):
            clock.advance(seconds)
        assert clock.monotonic() == 0.0

    def test_a_sleep_passes_at_once_and_is_noted(self) -> None:
        clock = ManualClock()
        clock.sleep(1.5)
        asyncio.run(clock.sleep_async(2.5))
        assert (clock.slept, clock.monotonic()) == ([1.5, 2.5], 4.0)

    def test_threads_may_share_it(self) -> None:
        clock = ManualClock()
        threads = [
            threading.Thread(target=lambda: [clock.advance(1) for _ in range(1000)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert clock.monotonic() == 8000

    def test_it_shows_its_time(self) -> None:
        assert repr(ManualClock(1, 2)) == "ManualClock(monotonic=1.0, wall=2.0)"


class TestStateRecorder:
    def test_it_remembers_events_moves_and_kinds_until_cleared(self) -> None:
        recorder = StateRecorder()
        breaker = CircuitBreaker(
            "api", failure_threshold=1, clock=ManualClock(), listeners=[recorder]
        )
        play(breaker, ManualClock(), [Outcome(), Outcome(failed=True), Outcome()])
        assert recorder.told == ["success", "failure", "transition", "rejected"]
        assert recorder.moves == [("closed", "open")]
        assert [event.kind for event in recorder.of("failure")] == ["failure"]
        recorder.clear()
        assert recorder.events == []


class TestPlay:
    def test_it_gives_the_state_after_each_call_and_none_for_a_rejection(self) -> None:
        clock = ManualClock()
        breaker = CircuitBreaker("api", failure_threshold=1, recovery_timeout=5, clock=clock)
        outcomes = [Outcome(failed=True), Outcome(), Outcome(pause=5.0, duration=2.0)]
        assert play(breaker, clock, outcomes) == [State.OPEN, None, State.CLOSED]
        assert clock.monotonic() == 7.0


class TestOpeningWaits:
    def test_backoff_and_cap_are_applied(self) -> None:
        policy = BreakerPolicy(recovery_timeout=10, recovery_backoff=3, max_recovery_timeout=50)
        assert opening_waits(policy, seed=None, openings=4) == [10, 30, 50, 50]

    def test_a_breaker_with_the_same_seed_draws_the_same_waits(self) -> None:
        policy = BreakerPolicy(recovery_timeout=10, recovery_jitter=0.5)
        waits = opening_waits(policy, seed=7, openings=3)
        breaker = CircuitBreaker("other", policy, clock=ManualClock(), seed=7)
        breaker.open()
        assert waits[0] == breaker.retry_after
        assert len(set(waits)) == 3
        assert all(5 <= wait <= 15 for wait in waits)


class TestStrategies:
    @given(policies())
    @settings(max_examples=50, deadline=None)
    def test_every_policy_drawn_is_valid_and_of_a_known_kind(self, policy: BreakerPolicy) -> None:
        assert policy.kind in KINDS
        assert policy.recovery_jitter == 0.0

    @given(policies(kinds=["time"], jitter=True))
    @settings(max_examples=20, deadline=None)
    def test_kinds_and_jitter_can_be_chosen(self, policy: BreakerPolicy) -> None:
        assert policy.kind == "time"
        assert policy.recovery_jitter > 0

    @given(policies(), outcome_sequences(max_size=30))
    @settings(max_examples=50, deadline=None)
    def test_any_breaker_can_be_played_through_any_sequence(
        self, policy: BreakerPolicy, outcomes: list[Outcome]
    ) -> None:
        clock = ManualClock()
        breaker = CircuitBreaker("api", policy, clock=clock, seed=1)
        states = play(breaker, clock, outcomes)
        assert len(outcomes) == len(states)
        assert breaker.counts.calls == sum(state is not None for state in states)

    def test_without_hypothesis_the_error_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = builtins.__import__

        def without(name: str, *args: Any, **kwargs: Any) -> Any:
            if name.partition(".")[0] == "hypothesis":
                raise ImportError(name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", without)
        for module in [name for name in sys.modules if name.startswith("hypothesis")]:
            monkeypatch.delitem(sys.modules, module)
        with pytest.raises(ImportError, match="pip install hypothesis"):
            policies()
