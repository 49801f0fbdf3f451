"""Rules that learn what is normal for a target, and act when it is no longer so.

Rules for all of them: a baseline is learnt from calls in the closed state only; nothing acts on
fewer than ``minimum_calls`` in the window, below the configured floor, or fails to act at the
ceiling; under a given clock and seed everything is deterministic; what was learnt is exported.

**error_rate** is an EWMA chart for a ratio. A moving average of the outcomes (weight
``adaptive_smoothing``) opens the breaker when it is ``adaptive_sensitivity`` standard deviations
over the learnt error rate. Source: Ross, Adams, Tasoulis and Hand, "Exponentially weighted moving
average charts for detecting concept drift", Pattern Recognition Letters 33 (2), 2012; the chart
is Roberts', Technometrics 1 (3), 1959. A target that always fails in one call of twenty is left
alone; when it fails three deviations more often than that, it is not:

    >>> from cbmon.breaker.policy import BreakerPolicy
    >>> chart = Learner(BreakerPolicy(kind="adaptive", adaptive_floor=0.05))
    >>> for call in range(2000):
    ...     chart.learn(failed=call % 20 == 0, duration=None, baseline=True)
    >>> round(chart.base, 2), round(chart.limit(), 2)
    (0.05, 0.15)

**throttling** is the client-side throttling of Google's SRE book, chapter "Handling Overload":
a share ``p = max(0, (requests - K * accepts) / (requests + 1))`` of the calls is rejected while
the breaker stays closed; requests include the rejected ones. When ``p`` reaches the ceiling the
breaker opens. See :mod:`cbmon.breaker.shedding`.

**latency** is a one-sided CUSUM over the logarithm of the durations of successful calls, in
standard deviations of the learnt ones. Source: Page, "Continuous inspection schemes", Biometrika
41, 1954. One slow call adds at most 2.5 to the sum, whose limit is ``adaptive_latency_limit``.
"""

from __future__ import annotations

from math import exp, isfinite, log, sqrt
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cbmon.breaker.policy import BreakerPolicy

_ALLOWANCE: Final = 0.5
_CLIP: Final = 3.0
_LEAST_SPREAD: Final = 0.05
_SHORTEST: Final = 1e-9


class Learner:
    """What one adaptive breaker has learnt, and where it stands against that."""

    __slots__ = ("base", "center", "drift", "policy", "recent", "seen", "spread", "timed",
                 "trend")  # fmt: skip

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self.forget()

    def forget(self) -> None:
        """As new. A few imagined successes keep the first failures from being the baseline."""
        self.base = 0.0
        self.seen = self.policy.required_calls
        self.center = self.spread = 0.0
        self.timed = 0
        self.settle()

    def settle(self) -> None:
        """Stand on the baselines, whatever the calls before; on entering a state that counts."""
        self.trend = self.base
        self.drift = 0.0
        self.recent = self.center

    # --- learning --------------------------------------------------------------------------

    def learn(self, *, failed: bool, duration: float | None, baseline: bool) -> None:
        """One outcome; ``baseline`` says whether it may change what is normal."""
        policy = self.policy
        self.trend += policy.adaptive_smoothing * (failed - self.trend)
        if baseline:
            self.seen = min(self.seen + 1, policy.adaptive_memory)
            self.base += (failed - self.base) / self.seen
        if duration is not None and not failed and "latency" in policy.adaptive_rules:
            self._learn_latency(log_of(duration), baseline=baseline)

    def catch_up(self, successes: int, *, baseline: bool) -> None:
        """So many successes in a row that nobody timed: what :meth:`learn` would have made of
        them, one by one."""
        policy = self.policy
        self.trend *= (1.0 - policy.adaptive_smoothing) ** successes
        if baseline:
            young = min(successes, policy.adaptive_memory - self.seen)
            self.base *= self.seen / (self.seen + young)
            self.base *= (1.0 - 1.0 / policy.adaptive_memory) ** (successes - young)
            self.seen += young

    def _learn_latency(self, value: float, *, baseline: bool) -> None:
        policy = self.policy
        if self.timed >= policy.required_calls:
            deviations = (value - self.center) / max(sqrt(self.spread), _LEAST_SPREAD)
            step = max(-_CLIP, min(_CLIP, deviations)) - _ALLOWANCE
            self.drift = max(0.0, self.drift + step)
            self.recent += policy.adaptive_smoothing * (value - self.recent)
        if baseline:
            self.timed = min(self.timed + 1, policy.adaptive_memory)
            distance = value - self.center
            self.center += distance / self.timed
            self.spread += (distance * (value - self.center) - self.spread) / self.timed
            if self.timed <= policy.required_calls:
                self.recent = self.center

    # --- standing --------------------------------------------------------------------------

    def limit(self) -> float:
        """The error rate that opens now, between floor and ceiling."""
        policy = self.policy
        weight = policy.adaptive_smoothing
        sigma = sqrt(self.base * (1.0 - self.base) * weight / (2.0 - weight))
        wanted = self.base + policy.adaptive_sensitivity * sigma
        return max(policy.adaptive_floor, min(policy.adaptive_ceiling, wanted))

    def latency_ratio(self, recent: float | None = None) -> float | None:
        """Recent duration (or another one, as a logarithm) over the learnt one; None before
        enough calls."""
        if self.timed < self.policy.required_calls:
            return None
        return exp((self.recent if recent is None else recent) - self.center)

    def has_drifted(self) -> bool:
        """Whether calls became slower for good, by more than the floor, or beyond the ceiling."""
        ratio, policy = self.latency_ratio(), self.policy
        if ratio is None or ratio < policy.adaptive_latency_floor:
            return False
        if ratio >= policy.adaptive_latency_ceiling:
            return True
        return self.drift >= policy.adaptive_latency_limit

    # --- keeping ---------------------------------------------------------------------------

    def export(self) -> dict[str, float | None]:
        """What it learnt, for people and metrics: ratios and seconds."""
        return {
            "error_rate": self.trend,
            "baseline_error_rate": self.base,
            "error_rate_limit": self.limit(),
            "baseline_latency_seconds": exp(self.center) if self.timed else None,
            "latency_ratio": self.latency_ratio(),
            "latency_drift": self.drift,
        }

    def dump(self) -> dict[str, float]:
        """For a snapshot."""
        return {name: getattr(self, name) for name in _KEPT}

    def load(self, data: Any) -> None:
        """From a snapshot. Raises ValueError, TypeError or KeyError for anything odd."""
        values = {name: float(data[name]) for name in _KEPT}
        if not all(map(isfinite, values.values())) or min(values["seen"], values["timed"]) < 0:
            raise ValueError("adaptive: a value is not a finite number in its range")
        if not 0.0 <= values["base"] <= 1.0 or not 0.0 <= values["trend"] <= 1.0:
            raise ValueError("adaptive: an error rate is not in [0, 1]")
        for name, value in values.items():
            setattr(self, name, int(value) if name in {"seen", "timed"} else value)
        memory = self.policy.adaptive_memory
        self.seen = max(1, min(self.seen, memory))
        self.timed = min(self.timed, memory)
        self.spread, self.drift = max(0.0, self.spread), max(0.0, self.drift)


def log_of(duration: float) -> float:
    """The logarithm of a duration in seconds, which may be 0."""
    return log(max(duration, _SHORTEST))


_KEPT: Final = ("base", "center", "drift", "recent", "seen", "spread", "timed", "trend")
"""What a snapshot holds of a learner."""
