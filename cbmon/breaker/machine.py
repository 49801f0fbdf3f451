"""The breaker without clock, lock or IO.

Rules:

* Time comes in by :meth:`Machine.advance` only; everything else happens at that time.
* A call is admitted with a permit, which is the generation it was admitted in; every move and
  every reset begins a new generation, so that a late result is known as stale.
* The lanes are closed from :meth:`Machine.advance` until :func:`cbmon.breaker.gate.refresh`.
* A finaliser that the collector runs may come back in wherever an object is made, and an
  interrupt may come wherever something is called. So what a change needs is made before it, the
  change itself is done at once, and what tells of it comes last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cbmon.breaker import verdicts
from cbmon.breaker.backoff import draw, fresh_seed, wait_of
from cbmon.breaker.errors import InvalidTransitionError
from cbmon.breaker.gate import LIVE, LONG_AGO, hold, refresh, reshape, window_for
from cbmon.breaker.parts import LastFailure, LastMove, Opening, Trials
from cbmon.breaker.states import AUTOMATIC, MOVES, TRIPS, State, Trigger
from cbmon.breaker.telling import tell_call, tell_move, tell_rate

if TYPE_CHECKING:
    from cbmon.breaker.adaptive import Learner
    from cbmon.breaker.events import BreakerEvent
    from cbmon.breaker.policy import BreakerPolicy
    from cbmon.breaker.shedding import Shedding

CLOSED: Final = State.CLOSED
OPEN: Final = State.OPEN
HALF_OPEN: Final = State.HALF_OPEN
OBSERVE: Final = State.OBSERVE

_EMPTIED_ON: Final = frozenset({CLOSED, HALF_OPEN, OBSERVE})
_NOBODY: Final[frozenset[str]] = frozenset()  # shared: each takes 216 bytes


class Machine:
    """One breaker's state and all that moves it. Attributes are read freely, written here."""

    free: int
    door: int
    calm: int
    brisk: int
    until: float
    last: int
    shut: float
    plain: bool
    timed: bool
    reads: bool
    limit: float
    """Of the lanes, see :mod:`cbmon.breaker.lanes`; set by :mod:`cbmon.breaker.gate`."""

    __slots__ = (
        "block", "brisk", "calm", "cancelled", "cycles", "door", "drawn", "events", "failures",
        "free", "generation", "heard", "high", "ignored", "inside", "kept_failures", "known",
        "last", "last_failure", "last_move", "learner", "limit", "name", "now", "observed",
        "offset", "opening", "openings", "out", "own_seed", "plain", "policy", "reads",
        "rejections", "run", "seed", "shedding", "shut", "slow_calls", "stale", "state",
        "successes", "timed", "transitions", "trials", "trips", "unrecorded", "until", "version",
        "window", "would_trip",
    )  # fmt: skip

    def __init__(self, name: str, policy: BreakerPolicy, seed: int | None, state: State) -> None:
        self.name = name
        self.policy = policy
        self.seed = seed
        self.own_seed = False
        self.state = state
        self.now = LONG_AGO
        self.offset = 0.0
        self.generation = 1
        self.heard = _NOBODY
        self.events: list[BreakerEvent] | None = None
        self.window = window_for(policy)
        self.run = self.high = self.kept_failures = 0
        self.successes = self.failures = self.ignored = self.cancelled = self.stale = 0
        self.unrecorded = self.out = self.rejections = self.slow_calls = 0
        self.trips = self.would_trip = self.cycles = self.openings = self.drawn = 0
        self.transitions: dict[tuple[State, State], int] | None = None
        self.opening: Opening | None = None
        self.trials: Trials | None = None
        self.last_failure: LastFailure | None = None
        self.last_move: LastMove | None = None
        self.learner: Learner | None = None
        self.shedding: Shedding | None = None
        self.observed = False
        self.inside: object = None
        self.block = self.known = self.version = 0
        if state is HALF_OPEN:
            self.trials = Trials()
        hold(self)
        reshape(self)
        refresh(self)

    # --- time ------------------------------------------------------------------------------

    def advance(self, now: float, wall: float) -> None:
        """Come to ``now`` (monotonic seconds) and do what was due on the way, at its own time.

        A time before the last one is taken as the last one. ``wall`` is the Unix time of ``now``.
        """
        self.now = now = max(now, self.now)
        self.offset = wall - now
        hold(self)
        if self.opening is None and self.trials is None:
            return
        while (due := self.next_deadline) is not None and due <= now:
            if self.state is OPEN:
                self.move(Trigger.RECOVERY_TIMEOUT, at=due, text="the wait is over")
            else:
                text = f"no verdict within {self.policy.half_open_max_wait:g} s"
                self.reopen(Trigger.TRIALS_TIMED_OUT, at=due, text=text)

    @property
    def next_deadline(self) -> float | None:
        """When the state moves by itself, in monotonic seconds; None if it does not."""
        opening, trials = self.opening, self.trials  # read without the lock, too
        if opening is not None:
            return opening.until
        if trials is not None:
            wait, first = self.policy.half_open_max_wait, trials.first_at
            return None if wait is None or first is None else first + wait
        return None

    @property
    def retry_after(self) -> float | None:
        """Seconds until a call may try: 0.0 means now, None means not by itself."""
        opening = self.opening
        if opening is not None:
            return opening.left(self.now)
        return None if self.state in {State.FORCED_OPEN, State.DISABLED} else 0.0

    # --- calls -----------------------------------------------------------------------------

    def acquire(self, *, alone: bool = False) -> int:
        """A permit, or 0: the call is rejected.

        ``alone``: nobody has a permit. A trial that is not done then was lost, by an interrupt in
        the middle of its end, and another call may have its place.
        """
        state = self.state
        if state is HALF_OPEN and self.trials is not None:
            trials = self.trials
            if alone:
                trials.admitted = trials.done
                self.judge_trials(trials)  # its verdict may have been lost, too
                return self.acquire()
            if trials.admitted < self.policy.trial_calls:
                trials.admitted += 1
                if trials.first_at is None:
                    trials.first_at = self.now
                return self.generation
        elif state is CLOSED:
            if self.shedding is None or not self.shedding.turns_away(self.window, self.now):
                return self.generation
        elif state in {OBSERVE, State.FORCED_CLOSED}:
            return self.generation
        self.rejections += 1
        tell_call(self, "rejected")
        return 0

    def record(
        self,
        permit: int,
        *,
        failed: bool,
        duration: float | None = None,
        reason: str | None = None,
        error: str | None = None,
    ) -> bool:
        """The outcome of an admitted call, which completed now; whether it counts for anything."""
        if permit != self.generation:
            self._stale(duration, reason, error)
            return False
        if self.state is State.FORCED_CLOSED:
            self.unrecorded += 1
            return False
        slow = duration is not None and duration > self.limit
        self.slow_calls += slow
        if failed:
            self.failures += 1
            self.last_failure = LastFailure(self.now + self.offset, reason, error)
        else:
            self.successes += 1
            self.known += 1
        tell_call(self, "failure" if failed else "success", duration, reason, error)
        if self.window is not None:
            self.window.add(failed | slow << 1, self.now)
        if self.state is HALF_OPEN and self.trials is not None:
            self.trials.record(failed=failed, slow=slow, duration=duration)
            self.judge_trials(self.trials)
        else:
            if self.learner is not None:
                baseline = self.state is CLOSED
                self.learner.learn(failed=failed, duration=duration, baseline=baseline)
            self.run = self.run + 1 if failed else 0
            self.judge()
        return True

    def release(self, permit: int, *, ignored: bool = False) -> None:
        """An admitted call ended without a verdict; a trial gives its permit back."""
        if permit != self.generation:
            self._stale(None, None, None)
            return
        if self.state is State.FORCED_CLOSED:
            self.unrecorded += 1
            return
        if ignored:
            self.ignored += 1
        else:
            self.cancelled += 1
        self.give_back(permit)
        tell_call(self, "ignored" if ignored else "cancelled")

    def give_back(self, permit: int) -> None:
        """A trial that was none: another call may have its place."""
        trials = self.trials
        if permit == self.generation and trials is not None and trials.admitted > trials.done:
            trials.admitted -= 1

    def _stale(self, duration: float | None, reason: str | None, error: str | None) -> None:
        self.stale += 1
        tell_call(self, "stale", duration, reason, error)

    # --- verdicts --------------------------------------------------------------------------

    def judge(self) -> None:
        """After an outcome while closed or observing: open, or note that it would have."""
        findings = verdicts.closed(self)
        if not findings and not self.high:
            return
        fresh = [finding for finding in findings if not finding.bit & self.high]
        if self.state is OBSERVE and not self.high:
            self.would_trip += 1
        self.high = sum({finding.bit for finding in findings})
        for finding in fresh:
            tell_rate(self, finding)
        if findings and self.state is CLOSED:
            self.move(findings[0].trigger, text=findings[0].text)

    def judge_trials(self, trials: Trials) -> None:
        """After a trial's outcome, or under new limits: close, reopen, or wait for more."""
        verdict = verdicts.half_open(self, trials)
        if verdict is None:
            return
        for finding in verdict.findings:
            tell_rate(self, finding)
        if verdict.passed:
            self.move(Trigger.TRIALS_PASSED, text=verdict.text)
        else:
            self.reopen(Trigger.TRIALS_FAILED, text=verdict.text)

    def reopen(self, trigger: Trigger, *, at: float | None = None, text: str = "") -> None:
        """A failed cycle: open again, or disable when it was one too many."""
        cycles = self.cycles + 1
        policy = self.policy
        if policy.auto_disable_enabled and cycles >= policy.max_failure_cycles:
            trigger, text = Trigger.CYCLES_EXHAUSTED, f"{cycles} failure cycles, the most allowed"
            if self.last_failure is not None and self.last_failure.error:
                text = f"{text}; last error: {self.last_failure.error}"
        self.move(trigger, at=at, text=text, cycles=cycles)

    # --- moves -----------------------------------------------------------------------------

    def move(
        self,
        trigger: Trigger,
        *,
        at: float | None = None,
        text: str = "",
        actor: str | None = None,
        reason: str | None = None,
        wait: float | None = None,
        cycles: int | None = None,
    ) -> None:
        """Go where the table says, at ``at`` (now), or raise and change nothing.

        ``wait`` is the number of seconds of an opening that does not count for the backoff,
        ``cycles`` the number of failed cycles from now on.
        """
        source, generation = self.state, self.generation
        target = MOVES[source].get(trigger)
        if target is None:
            raise InvalidTransitionError(self.name, source, trigger)
        at = self.now if at is None else at
        recovered = trigger is Trigger.TRIALS_PASSED
        opening = self._opened(at, wait) if target is OPEN else None
        trials = Trials() if target is HALF_OPEN else None
        kept = self._kept(source, target)
        trips = self.trips + (trigger in TRIPS)
        last = LastMove(
            source=source, cause=trigger, at=at + self.offset, text=text, actor=actor, reason=reason
        )
        if generation != self.generation:  # a finaliser came in between and moved it
            self._move_after_all(trigger, last, wait)
            return
        self._clear_for(target, at if recovered else None)
        self.state = target  # at once: an interrupt must not leave a move half done
        self.generation = generation + 1
        self.opening = opening
        self.trials = trials
        self.trips = trips
        self.high = 0
        self.last_move = last
        self.kept_failures = kept
        if target is CLOSED:
            self.cycles = self.openings = 0
        elif cycles is not None:
            self.cycles = cycles
        if target is CLOSED or target is OBSERVE:
            self.run = 0
        if opening is not None and opening.counted:
            self.openings += 1
            self.drawn += 1
        if self.transitions is None:
            self.transitions = {}
        pair = (source, target)
        self.transitions[pair] = self.transitions.get(pair, 0) + 1
        tell_move(self, last)

    def _move_after_all(self, trigger: Trigger, last: LastMove, wait: float | None) -> None:
        """What a person wants still holds; a verdict was about what is no more."""
        if trigger not in AUTOMATIC:
            self.move(trigger, text=last.text, actor=last.actor, reason=last.reason, wait=wait)

    def _kept(self, source: State, target: State) -> int:
        """The number of failures that is shown from now on, while not live."""
        if target in LIVE:
            return 0
        return self.live_failures() if source in LIVE else self.kept_failures

    def _clear_for(self, target: State, recovered_at: float | None) -> None:
        if target in _EMPTIED_ON:
            self._empty()
        if target is not HALF_OPEN and target is not OPEN and self.shedding is not None:
            self.shedding.begin(recovered_at)

    def _empty(self) -> None:
        if self.window is not None:
            self.window.clear()
        if self.learner is not None:
            self.learner.settle()

    def begin_open(self) -> None:
        """Set the deadline of a breaker that is open from the start."""
        self.opening = self._opened(self.now, None)
        self.openings += 1
        self.drawn += 1

    def _opened(self, at: float, wait: float | None) -> Opening:
        """The next opening: by the backoff, or for ``wait`` seconds, which does not count."""
        if wait is not None:
            return Opening(at, at + wait, counted=False)
        return Opening(at, at + self._wait(self.openings + 1, self.drawn + 1), counted=True)

    def wait(self) -> float:
        """Seconds that the present opening lasts under the present policy."""
        return self._wait(self.openings, self.drawn)

    def _wait(self, openings: int, drawn: int) -> float:
        # no jitter needs no seed, which stays to be drawn
        return wait_of(
            self.policy, openings, self.policy.recovery_jitter and draw(self.seeded(), drawn)
        )

    def seeded(self) -> int:
        """The seed, drawn now if none was given."""
        if self.seed is None:
            self.seed = fresh_seed()
            self.own_seed = True
        return self.seed

    def live_failures(self) -> int:
        """The run, or the failures in the window."""
        if self.window is None:
            return self.run
        self.window.expire(self.now)
        return self.window.failures

    def failure_count(self) -> int:
        """The live number while closed or observing, else as it was on leaving."""
        return self.live_failures() if self.state in LIVE else self.kept_failures

    def finished_otherwise(self) -> int:
        """Admitted calls that have ended, but for the successes."""
        return self.failures + self.ignored + self.cancelled + self.stale + self.unrecorded

    def begin_in_child(self) -> None:
        """In another process now: calls under way are stale, trials begin anew, and the jitter
        is another one unless its seed was given."""
        self.generation += 1
        self.inside = self.events = None
        self.block = self.out = 0
        if self.trials is not None:
            self.trials = Trials()
        if self.own_seed:
            self.seed, self.own_seed = None, False

    def begin_anew(self) -> None:
        """Another generation of the present state, with nothing counted yet."""
        self.generation += 1
        self.run = self.kept_failures = self.high = self.cycles = self.openings = 0
        self._empty()
        if self.shedding is not None:
            self.shedding.begin(None)
