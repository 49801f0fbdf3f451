"""A breaker that lives in an application, as the daemon shows it.

Rule: it says what was last reported and how long ago, and decides nothing. It reads like a
CircuitBreaker; nobody can call through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cbmon.apps.report import BreakerReport
from cbmon.breaker import BreakerPolicy, State
from cbmon.breaker.counts import Counts, Glance


class RemoteBreaker:
    """What one breaker of an application said last. ``heard`` is monotonic."""

    category = "app"
    next_deadline = None
    """Nothing moves by itself here."""

    def __init__(
        self, name: str, report: BreakerReport, heard: float, now: Callable[[], float]
    ) -> None:
        self.name = name
        self._now = now
        self.version = 0
        """Grows with every report."""
        self.silent = False
        """Whether it has been silent for longer than it promised."""
        self.hear(report, heard)

    def hear(self, report: BreakerReport, heard: float) -> None:
        """Take up a report of it."""
        self.version += 1
        self.report = report
        self.heard = heard
        self.silent = False

    @property
    def policy(self) -> BreakerPolicy:
        """Its policy, as far as it can be told."""
        return self.report.policy

    @property
    def state(self) -> State:
        """The state that it reported last."""
        return self.report.state

    @property
    def retry_after(self) -> float | None:
        """Seconds until its first trial, counted on from the report."""
        told = self.report.retry_after
        return None if told is None else max(0.0, told - (self._now() - self.heard))

    @property
    def counts(self) -> Counts:
        """The numbers that it reported last."""
        return self.report.counts

    def glance(self) -> Glance:
        """The numbers that the daemon's metrics compare."""
        counts = self.report.counts
        return Glance(counts.calls, counts.in_flight, self.version)

    @property
    def age(self) -> float:
        """Seconds since it was last heard of."""
        return max(0.0, self._now() - self.heard)

    def enable_duration_histogram(self, buckets: Iterable[float] = ()) -> None:
        """Nothing: durations are measured where the calls are."""

    def get_state(self) -> dict[str, Any]:
        """What a status page shows."""
        counts, policy, state = self.counts, self.policy, self.state
        return {
            **self.report.details,
            "name": self.name,
            "kind": policy.kind,
            "state": state.value,
            "state_value": state.gauge,
            "failure_count": counts.failure_count,
            "success_count": counts.success_count,
            "retry_after": self.retry_after,
            "open_until": counts.open_until,
            "last_transition_at": counts.last_transition_at,
            "failure_cycles": counts.cycles,
            "max_failure_cycles": policy.max_failure_cycles,
            "auto_disable_enabled": policy.auto_disable_enabled,
        }

    def explain(self) -> str:
        """Why it is in this state, in the application's words, and how fresh that is."""
        told = self.report.explanation or f"{self.report.name} is {self.state}"
        if not self.silent:
            return told
        return f"nothing heard for {self.age:.0f} s, this is what was last known\n{told}"
