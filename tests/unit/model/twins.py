"""The engine and the reference side by side: each step is done to both, then all is compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from cbmon import BreakerPolicy, CircuitBreaker, CircuitOpenError, InvalidTransitionError
from cbmon.testing import ManualClock, StateRecorder
from tests.unit.model.reference import (
    CLOSED,
    DISABLED,
    FORCED_OPEN,
    HALF_OPEN,
    OBSERVE,
    OPEN,
    IllegalMoveError,
    Reference,
    Token,
)

START, WALL = 1000.0, 5000.0
COUNTED = ("calls", "successes", "failures", "slow_calls", "stale", "rejections", "trips")


class Twins:
    """A breaker and its reference under one clock."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self.clock = ManualClock(start=START, wall=WALL)
        self.recorder, self.engine = self._made(policy)
        self.reference = Reference(policy)
        self.pending: list[tuple[Any, Token]] = []

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    def advance(self, seconds: float, *, poll: bool) -> None:
        self.clock.advance(seconds)
        if poll:
            self.engine.poll()

    def wait_for_the_deadline(self) -> None:
        self.advance(self.engine.retry_after or 0.0, poll=False)

    def run(self, outcomes: list[tuple[bool, float, float]], *, guarded: bool) -> None:
        """Calls one after the other: (failed, duration, pause before it).

        Guarded calls go through the decorator, which has short ways of its own.
        """
        protected = self.engine(self._call)
        for failed, duration, pause in outcomes:
            self.advance(pause, poll=False)
            if guarded:
                self._run_guarded(protected, failed=failed, duration=duration)
                continue
            before = len(self.pending)
            self.acquire()
            if len(self.pending) > before:
                self.record(before, failed=failed, duration=duration)

    def _run_guarded(
        self, protected: Callable[[bool, float], None], *, failed: bool, duration: float
    ) -> None:
        token = self.reference.acquire(self.now)
        try:
            protected(failed, duration)
        except CircuitOpenError:
            assert token is None, self.describe()
            return
        except OSError:
            assert failed, self.describe()
        assert token is not None, self.describe()
        self.reference.record(
            token,
            failed=failed,
            duration=duration,
            now=self.now,
            engine_state=str(self.engine.state),
        )

    def _call(self, failed: bool, duration: float) -> None:
        self.clock.advance(duration)
        if failed:
            raise OSError

    def acquire(self) -> None:
        permit = self.engine.try_acquire()
        token = self.reference.acquire(self.now)
        assert (permit is None) == (token is None), self.describe()
        if permit is not None and token is not None:
            self.pending.append((permit, token))

    def record(self, which: int, *, failed: bool, duration: float) -> None:
        permit, token = self._take(which)
        self.engine.record(permit, failed=failed, duration=duration)
        self.reference.record(
            token,
            failed=failed,
            duration=duration,
            now=self.now,
            engine_state=str(self.engine.state),
        )

    def release(self, which: int) -> None:
        permit, token = self._take(which)
        self.engine.release(permit)
        self.reference.release(token, self.now)

    def move(self, name: str, **options: Any) -> None:
        possible = impossible = False
        try:
            getattr(self.engine, name)(**options)
        except InvalidTransitionError:
            impossible = True
        try:
            self.reference.move(name, self.now, **options)
            possible = True
        except IllegalMoveError:
            pass
        assert possible != impossible, f"{name}: {self.describe()}"
        if name == "reset" or (name == "enable" and options.get("reset_counters")):
            self._forget_totals()

    def reconfigure(self, policy: BreakerPolicy) -> None:
        self.engine.reconfigure(policy)
        self.reference.reconfigure(policy, self.now)

    def restart(self) -> None:
        """Go on with a new breaker that was restored from the old one's snapshot.

        Calls that were under way end with the old process: the new one never counted them.
        """
        policy = self.reference.policy
        snapshot = json.loads(json.dumps(self.engine.snapshot()))
        self.recorder, self.engine = self._made(policy)
        self.engine.restore(snapshot)
        self.reference = self.reference.restored(self.now, policy)
        self.reference.moves = []
        self.reference.counts["calls"] -= len(self.pending)
        self.recorder.clear()
        self.pending.clear()

    def compare(self) -> None:
        self._compare_state()
        self._compare_counts()
        self._compare_history()

    def describe(self) -> str:
        shown = {name: value for name, value in self.engine.get_state().items() if value}
        reference = replace(self.reference, policy=_changed(self.reference.policy))
        return f"engine: {shown}\nreference: {reference}\nnow: {self.now}"

    def _made(self, policy: BreakerPolicy) -> tuple[StateRecorder, CircuitBreaker]:
        """A listener to successes would close the short way, so only moves are listened to."""
        recorder = StateRecorder()
        engine = CircuitBreaker("twin", policy, clock=self.clock, seed=1)
        engine.add_listener(recorder, kinds=("transition",))
        return recorder, engine

    def _take(self, which: int) -> tuple[Any, Token]:
        return self.pending.pop(which % len(self.pending))

    def _compare_state(self) -> None:
        engine, reference = self.engine, self.reference
        reference.settle(self.now)
        assert reference.state == engine.state, self.describe()
        assert _close(self._wait(), engine.retry_after), self.describe()
        next_deadline = {OPEN: reference.deadline, HALF_OPEN: reference.trials_end}
        assert _close(next_deadline.get(reference.state), engine.next_deadline), self.describe()
        assert reference.cycles == engine.counts.cycles, self.describe()
        if reference.state in {CLOSED, OBSERVE}:
            assert reference.run == engine.counts.consecutive_failures, self.describe()
            self._compare_ratios()
        state = engine.get_state()
        if reference.policy.kind == "count" and reference.state != DISABLED:
            assert reference.run == state["failure_count"], self.describe()
        trials = sum(not trial.failed for trial in reference.trials)
        assert trials == state["success_count"], self.describe()

    def _wait(self) -> float | None:
        reference = self.reference
        if reference.state == OPEN:
            return None if reference.deadline is None else reference.deadline - self.now
        return None if reference.state in {FORCED_OPEN, DISABLED} else 0.0

    def _compare_ratios(self) -> None:
        if self.reference.policy.kind == "count":
            return
        counts = self.engine.counts
        shown = (counts.failure_ratio, counts.slow_ratio)
        allowed = self.reference.ratios(self.now)
        assert any(
            _close(failure, shown[0]) and _close(slow, shown[1]) for failure, slow in allowed
        ), f"shown {shown}, allowed {allowed}: {self.describe()}"

    def _compare_counts(self) -> None:
        counts, reference = self.engine.counts, self.reference
        shown = {name: getattr(counts, name) for name in COUNTED}
        assert {name: reference.counts[name] for name in COUNTED} == shown, self.describe()
        assert len(self.pending) == counts.in_flight, self.describe()

    def _compare_history(self) -> None:
        told = [
            (str(move.from_state), str(move.to_state), round(move.at - WALL + START, 6))
            for move in self.recorder.transitions
        ]
        expected = [(a, b, round(at, 6)) for a, b, at in self.reference.moves]
        assert expected == told, f"expected {expected}\ntold {told}"

    def _forget_totals(self) -> None:
        """After a reset both start counting anew from what the engine shows."""
        counts = self.engine.counts
        self.reference.counts = Counter({name: getattr(counts, name) for name in COUNTED})


def _close(expected: float | None, shown: float | None) -> bool:
    if expected is None or shown is None:
        return expected is shown
    return abs(expected - shown) < 1e-6


def _changed(policy: BreakerPolicy) -> dict[str, Any]:
    return {
        field.name: getattr(policy, field.name)
        for field in fields(policy)
        if getattr(policy, field.name) != field.default
    }
