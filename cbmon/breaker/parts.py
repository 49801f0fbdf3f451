"""The parts of a machine that exist only while they mean something.

Rule: plain slotted records; a breaker at rest holds none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cbmon.breaker.adaptive import log_of

if TYPE_CHECKING:
    from cbmon.breaker.states import State, Trigger


class Opening:
    """One opening: when it began, when it ends (monotonic), whether it counts for the backoff.

    ``margin`` is the part of it, at its end, that it is only held for safety: somebody else is
    expected to end it before. ``soonest`` is the least that may be told of a wait.
    """

    __slots__ = ("at", "counted", "margin", "soonest", "until")

    def __init__(
        self,
        at: float,
        until: float,
        *,
        counted: bool,
        margin: float = 0.0,
        soonest: float = 0.0,
    ) -> None:
        self.at = at
        self.until = until
        self.counted = counted
        self.margin = margin
        self.soonest = soonest

    def left(self, now: float) -> float:
        """Seconds until a call may try, as far as is known; 0.0 only when it may."""
        held = max(0.0, self.until - now)
        return min(held, max(held - self.margin, self.soonest))


class Trials:
    """The trial calls of one half-open period."""

    __slots__ = ("admitted", "done", "failures", "first_at", "good", "logs", "slow", "successes",
                 "timed")  # fmt: skip

    def __init__(self) -> None:
        self.admitted = self.done = self.successes = self.failures = self.slow = self.good = 0
        self.timed, self.logs = 0, 0.0  # of the durations of successful trials
        self.first_at: float | None = None

    def record(self, *, failed: bool, slow: bool, duration: float | None) -> None:
        """One trial's outcome; a good one neither failed nor was slow."""
        self.done += 1
        self.failures += failed
        self.successes += not failed
        self.slow += slow
        self.good += not (failed or slow)
        if duration is not None and not failed:
            self.timed += 1
            self.logs += log_of(duration)


class LastFailure:
    """When (Unix time) and why a call failed last."""

    __slots__ = ("at", "error", "reason")

    def __init__(self, at: float, reason: str | None, error: str | None) -> None:
        self.at = at
        self.reason = reason
        self.error = error


class LastMove:
    """How the breaker came to its state; ``at`` is Unix time."""

    __slots__ = ("actor", "at", "cause", "reason", "source", "text")

    def __init__(
        self,
        *,
        source: State,
        cause: Trigger,
        at: float,
        text: str,
        actor: str | None,
        reason: str | None,
    ) -> None:
        self.source = source
        self.cause = cause
        self.at = at
        self.text = text
        self.actor = actor
        self.reason = reason
