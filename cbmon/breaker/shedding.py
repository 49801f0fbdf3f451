"""Rejecting a share of the calls while the breaker is closed.

Two wishes lead here: adaptive throttling, and ``gradual_return_seconds`` after a recovery.

Rule: the share is exact, not drawn: every call adds the share to a sum, and a call that brings it
to one is rejected. Where the sum begins comes from the seed, so that many clients do not reject
in step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cbmon.breaker.backoff import draw
from cbmon.breaker.windows import TimeWindow

if TYPE_CHECKING:
    from cbmon.breaker.policy import BreakerPolicy
    from cbmon.breaker.windows import Window

FIRST_SHARE: Final = 0.1
"""The share of the calls that is admitted right after a recovery."""


class Shedding:
    """Which calls a closed breaker turns away."""

    __slots__ = ("policy", "returned_at", "sum", "turned_away")

    def __init__(self, policy: BreakerPolicy, seed: int) -> None:
        self.sum = abs(draw(seed, 0))
        self.returned_at: float | None = None
        self.turned_away: TimeWindow | None = None
        self.follow(policy)

    def follow(self, policy: BreakerPolicy) -> None:
        """Another policy, the same place in the sum."""
        self.policy = policy
        if not throttles(policy):
            self.turned_away = None
        elif self.turned_away is None or self.turned_away.seconds != policy.window_seconds:
            self.turned_away = TimeWindow(policy.window_seconds)

    def begin(self, returned_at: float | None) -> None:
        """Closed again: after a recovery at that time, or by hand (None)."""
        self.returned_at = None if self.policy.gradual_return_seconds is None else returned_at
        if self.turned_away is not None:
            self.turned_away.clear()

    def is_idle(self, window: Window | None) -> bool:
        """Whether no call can be turned away until another failure."""
        failing = self.turned_away is not None and window is not None and window.failures > 0
        return self.returned_at is None and not failing

    def turns_away(self, window: Window | None, now: float) -> bool:
        """Whether this call is one of the share."""
        self.sum += max(self._not_yet(now), self.probability(window, now))
        if self.sum < 1.0:
            return False
        self.sum -= 1.0
        if self.turned_away is not None:
            self.turned_away.add(0, now)
        return True

    def probability(self, window: Window | None, now: float) -> float:
        """The share that throttling wants to reject, at most the ceiling."""
        if self.turned_away is None or window is None:
            return 0.0
        window.expire(now)
        self.turned_away.expire(now)
        requests = window.calls + self.turned_away.calls
        floor = self.policy.adaptive_floor
        if window.calls < self.policy.required_calls or window.failures / window.calls < floor:
            return 0.0
        accepts = window.calls - window.failures
        excess = requests - self.policy.adaptive_multiplier * accepts
        return min(max(0.0, excess / (requests + 1)), self.policy.adaptive_ceiling)

    def _not_yet(self, now: float) -> float:
        seconds = self.policy.gradual_return_seconds
        if self.returned_at is None or seconds is None:
            return 0.0
        grown = (now - self.returned_at) / seconds
        if grown >= 1.0:
            self.returned_at = None
            return 0.0
        return (1.0 - FIRST_SHARE) * (1.0 - grown)


def throttles(policy: BreakerPolicy) -> bool:
    """Whether the policy has adaptive throttling."""
    return policy.kind == "adaptive" and "throttling" in policy.adaptive_rules


def sheds(policy: BreakerPolicy) -> bool:
    """Whether the policy may reject calls while closed."""
    return throttles(policy) or policy.gradual_return_seconds is not None
