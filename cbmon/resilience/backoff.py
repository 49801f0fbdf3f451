"""How long to wait before the next attempt.

Rule: the wait is drawn from the whole range between 0 and the exponential bound ("full jitter"),
so that callers that failed together do not come back together.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from cbmon.resilience.checks import positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits in seconds: before the n-th retry, uniform in [0, min(maximum, base * factor^(n-1))].

    ``base`` and ``maximum`` > 0, ``factor`` >= 1; ValueError otherwise.
    """

    base: float = 0.1
    factor: float = 2.0
    maximum: float = 10.0

    def __post_init__(self) -> None:
        positive("base", self.base)
        positive("maximum", self.maximum)
        if not 1.0 <= self.factor < math.inf:
            raise ValueError(f"factor: got {self.factor!r}, expected a number >= 1")

    def bound(self, retry: int) -> float:
        """The longest wait before the ``retry``-th retry (from 1); never overflows."""
        growth = (retry - 1) * math.log(self.factor)
        if growth >= math.log(self.maximum / self.base):
            return self.maximum
        return self.base * math.exp(growth)

    def draw(self, retry: int, random: Random) -> float:
        """A wait before the ``retry``-th retry."""
        return random.random() * self.bound(retry)
