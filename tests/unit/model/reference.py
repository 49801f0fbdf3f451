"""A second breaker: slow, obvious, written from the rules R1-R26 alone.

Rule: it shares no line with the engine and keeps no running totals. Every outcome ever recorded
is kept in a list, and each verdict is computed from that list again. Where the rules leave room
(the age at which a time bucket expires), it says which answers are allowed and follows the
engine's choice among them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
FORCED_OPEN, FORCED_CLOSED, OBSERVE, DISABLED = (
    "forced_open",
    "forced_closed",
    "observe",
    "disabled",
)
EMPTYING = {CLOSED, HALF_OPEN, OBSERVE}


class IllegalMoveError(Exception):
    """The move is not possible from the present state."""


@dataclass(frozen=True)
class Outcome:
    at: float
    failed: bool
    slow: bool
    bucket: float = 0.0
    """The longest bucket, in seconds, of the policy under which it was recorded."""
    gone: bool = False
    """The rules allow it to be missing already."""


@dataclass(frozen=True)
class Token:
    generation: int
    number: int


@dataclass
class Reference:
    """The reference breaker. ``policy`` is any object with the policy's fields."""

    policy: Any
    state: str = CLOSED
    generation: int = 0
    openings: int = 0
    cycles: int = 0
    run: int = 0
    window: list[Outcome] = field(default_factory=list)
    opened_at: float = 0.0
    wait: float = 0.0
    deadline: float | None = None
    fixed_wait: bool = False
    first_trial_at: float | None = None
    trials_running: int = 0
    trials: list[Outcome] = field(default_factory=list)
    issued: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    moves: list[tuple[str, str, float]] = field(default_factory=list)

    # -- calls -------------------------------------------------------------------------------

    def acquire(self, now: float) -> Token | None:
        self.settle(now)
        if not self._admits():
            self.counts["rejections"] += 1
            return None
        if self.state == HALF_OPEN:
            self.trials_running += 1
            if self.first_trial_at is None:
                self.first_trial_at = now
        self.counts["calls"] += 1
        self.issued += 1
        return Token(self.generation, self.issued)

    def release(self, token: Token, now: float) -> None:
        self.settle(now)
        if token.generation != self.generation:
            self.counts["stale"] += 1
        elif self.state == HALF_OPEN:
            self.trials_running -= 1

    def record(
        self, token: Token, *, failed: bool, duration: float, now: float, engine_state: str
    ) -> None:
        """``engine_state`` is read only where the rules allow more than one verdict."""
        self.settle(now)
        if token.generation != self.generation:
            self.counts["stale"] += 1
            return
        if self.state == FORCED_CLOSED:
            return
        outcome = Outcome(now, failed, self._is_slow(duration), _bucket(self.policy))
        self.counts["failures" if failed else "successes"] += 1
        self.counts["slow_calls"] += outcome.slow
        if self.state == HALF_OPEN:
            self.trials_running -= 1
            self.trials.append(outcome)
            self._judge_trials(now)
            return
        self.run = self.run + 1 if failed else 0
        self.window.append(outcome)
        if self.state == CLOSED and self._trips(now, engine_state):
            self._trip(now)

    def _admits(self) -> bool:
        if self.state == HALF_OPEN:
            return self.trials_running + len(self.trials) < self.trial_limit
        return self.state in {CLOSED, OBSERVE, FORCED_CLOSED}

    def _is_slow(self, duration: float) -> bool:
        limit = self.policy.slow_call_seconds
        return limit is not None and duration > limit

    # -- time --------------------------------------------------------------------------------

    def settle(self, now: float) -> None:
        """Everything that moves by itself, at the time it was due (R7, R12, R13)."""
        while True:
            if self.state == OPEN and self.deadline is not None and now >= self.deadline:
                self._enter(HALF_OPEN, self.deadline)
                continue
            if self.trials_end is not None and now >= self.trials_end:
                self._fail_cycle(self.trials_end)
                continue
            return

    @property
    def trials_end(self) -> float | None:
        patience = self.policy.half_open_max_wait
        if self.state != HALF_OPEN or patience is None or self.first_trial_at is None:
            return None
        return float(self.first_trial_at + patience)

    @property
    def trial_limit(self) -> int:
        policy = self.policy
        return int(policy.half_open_max_calls or max(1, policy.success_threshold or 1))

    # -- verdicts ----------------------------------------------------------------------------

    def _trips(self, now: float, engine_state: str) -> bool:
        if self.policy.kind == "count":
            return bool(self.run >= self.policy.failure_threshold)
        verdicts = {self._too_bad(some, self._minimum()) for some in self.windows(now)}
        if len(verdicts) == 1:
            return verdicts.pop()
        return engine_state != CLOSED

    def _minimum(self) -> int:
        policy = self.policy
        if policy.minimum_calls is not None:
            return int(policy.minimum_calls)
        return min(10, policy.window_size) if policy.kind == "percentage" else 10

    def _too_bad(self, outcomes: list[Outcome], minimum: int) -> bool:
        if not outcomes or len(outcomes) < minimum:
            return False
        policy = self.policy
        failures = sum(outcome.failed for outcome in outcomes) / len(outcomes)
        slow = sum(outcome.slow for outcome in outcomes) / len(outcomes)
        if failures >= policy.failure_rate_threshold:
            return True
        return policy.slow_call_seconds is not None and bool(
            slow >= policy.slow_call_rate_threshold
        )

    def windows(self, now: float) -> Iterable[list[Outcome]]:
        """Each reading of the window that the rules allow; one, except for the time kind."""
        if self.policy.kind == "percentage":
            yield self.window[-self.policy.window_size :]
            return
        alive = [o for o in self.window if now - o.at < self.policy.window_seconds]
        doubtful = [index + 1 for index, o in enumerate(alive) if self._may_be_gone(o, now)]
        for dropped in range(max(doubtful, default=0) + 1):
            yield alive[dropped:]

    def _may_be_gone(self, outcome: Outcome, now: float) -> bool:
        """Whole buckets leave the window, those of a longer window before a change included."""
        bucket = max(outcome.bucket, _bucket(self.policy))
        return outcome.gone or now - outcome.at >= self.policy.window_seconds - bucket

    def ratios(self, now: float) -> set[tuple[float | None, float | None]]:
        """(failure, slow) ratios that may be shown now."""
        found: set[tuple[float | None, float | None]] = set()
        for some in self.windows(now):
            if len(some) < self._minimum():
                found.add((None, None))
                continue
            slow = sum(outcome.slow for outcome in some) / len(some)
            found.add(
                (
                    sum(outcome.failed for outcome in some) / len(some),
                    slow if self.policy.slow_call_seconds is not None else None,
                )
            )
        return found

    def _judge_trials(self, now: float) -> None:
        policy = self.policy
        limit, needed = self.trial_limit, policy.success_threshold
        if needed is not None:
            bad = sum(trial.failed or trial.slow for trial in self.trials)
            if len(self.trials) - bad >= needed:
                self._enter(CLOSED, now)
            elif limit - bad < needed:
                self._fail_cycle(now)
        elif policy.kind == "count":
            if any(trial.failed for trial in self.trials):
                self._fail_cycle(now)
            elif len(self.trials) >= limit:
                self._enter(CLOSED, now)
        elif len(self.trials) >= limit:
            if self._too_bad(self.trials, 0):
                self._fail_cycle(now)
            else:
                self._enter(CLOSED, now)

    # -- moves -------------------------------------------------------------------------------

    def _enter(self, state: str, now: float) -> None:
        self.moves.append((self.state, state, now))
        self.state = state
        self.generation += 1
        self.deadline = None
        if state in EMPTYING:
            self.window = []
        if state in {CLOSED, OBSERVE}:
            self.run = 0
        if state == CLOSED:
            self.openings = self.cycles = 0
        self.trials, self.trials_running, self.first_trial_at = [], 0, None

    def _trip(self, now: float) -> None:
        self.counts["trips"] += 1
        self._open(now)

    def _fail_cycle(self, now: float) -> None:
        self.cycles += 1
        if self.policy.auto_disable_enabled and self.cycles >= self.policy.max_failure_cycles:
            self._enter(DISABLED, now)
        else:
            self._trip(now)

    def _open(self, now: float, for_seconds: float | None = None) -> None:
        if self.state != OPEN:
            self._enter(OPEN, now)
            self.openings += for_seconds is None
        self.opened_at, self.fixed_wait = now, for_seconds is not None
        self.wait = self.planned_wait() if for_seconds is None else for_seconds
        self.deadline = now + self.wait

    def planned_wait(self) -> float:
        policy = self.policy
        cap = policy.max_recovery_timeout
        if cap is None:
            cap = max(3600.0, policy.recovery_timeout)
        wait = policy.recovery_timeout
        for _ in range(self.openings - 1):
            wait = min(wait * policy.recovery_backoff, cap)
        return float(min(wait, cap))

    def move(self, name: str, now: float, **options: Any) -> None:
        """A person's move; raises :class:`IllegalMoveError` and changes nothing when impossible."""
        self.settle(now)
        if self.state == DISABLED and name not in {"enable", "reset", "disable"}:
            raise IllegalMoveError(name)
        getattr(self, f"_manual_{name}")(now, **options)

    def _manual_reset(self, now: float) -> None:
        if self.state == CLOSED:
            self.generation += 1
            self.window, self.run, self.openings, self.cycles = [], 0, 0, 0
        else:
            self._enter(CLOSED, now)

    def _manual_close(self, now: float) -> None:
        self._move_to(CLOSED, now)

    def _manual_open(self, now: float, for_seconds: float | None = None) -> None:
        if self.state != OPEN or for_seconds is not None:
            self._open(now, for_seconds)

    def _manual_half_open(self, now: float) -> None:
        if self.state not in {OPEN, HALF_OPEN}:
            raise IllegalMoveError("half_open")
        self._move_to(HALF_OPEN, now)

    def _manual_force_open(self, now: float) -> None:
        self._move_to(FORCED_OPEN, now)

    def _manual_force_close(self, now: float) -> None:
        self._move_to(FORCED_CLOSED, now)

    def _manual_observe(self, now: float) -> None:
        self._move_to(OBSERVE, now)

    def _manual_disable(self, now: float) -> None:
        self._move_to(DISABLED, now)

    def _manual_enable(self, now: float, *, reset_counters: bool = True) -> None:
        if self.state == DISABLED:
            self._move_to(CLOSED if reset_counters else HALF_OPEN, now)

    def _move_to(self, state: str, now: float) -> None:
        if self.state != state:
            self._enter(state, now)

    # -- policy and persistence --------------------------------------------------------------

    def reconfigure(self, policy: Any, now: float) -> None:
        """R26. A change of kind begins with an empty window; the run of failures is kept.

        A running wait is shortened by whatever makes the new policy's wait shorter. Trials that
        have ended are judged by the new policy, before its patience is.
        """
        self.settle(now)
        if policy.kind != self.policy.kind:
            self.window = []
        elif policy.kind == "percentage":
            self.window = self.window[-min(self.policy.window_size, policy.window_size) :]
        elif policy.kind == "time":
            length = min(self.policy.window_seconds, policy.window_seconds)
            self.window = [
                replace(outcome, gone=self._may_be_gone(outcome, now))
                for outcome in self.window
                if now - outcome.at < length
            ]
        self.policy = policy
        if self.state == OPEN and not self.fixed_wait:
            self.wait = min(self.wait, self.planned_wait())
            self.deadline = self.opened_at + self.wait
            self.settle(now)
        elif self.state == HALF_OPEN:
            self._judge_trials(now)
            self.settle(now)

    def restored(self, now: float, policy: Any) -> Reference:
        """What a breaker restored from this one's snapshot at the same time is (R24)."""
        self.settle(now)
        copy = replace(
            self,
            policy=policy,
            generation=self.generation + 1,
            window=list(self.window),
            trials=[],
            trials_running=0,
            first_trial_at=None,
            counts=Counter(self.counts),
            moves=list(self.moves),
        )
        copy.settle(now)
        return copy


def _bucket(policy: Any) -> float:
    return float(max(1.0, policy.window_seconds / 10))
