"""Durations of calls in buckets.

Rule: exists only once somebody asked for it, since each observation costs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import isfinite


class Histogram:
    """Counts per bucket: ``counts[i]`` calls took at most ``bounds[i]`` seconds and more than
    the bound before; the last count is of the longer ones. ``sum`` is in seconds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        limits = tuple(float(bound) for bound in bounds)
        if not limits or not all(map(isfinite, limits)) or list(limits) != sorted(set(limits)):
            raise ValueError(f"bounds: {bounds!r} is not allowed; expected growing finite seconds")
        self.bounds = limits
        self.counts = [0] * (len(limits) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        """Calls observed."""
        return sum(self.counts)

    def observe(self, seconds: float) -> None:
        """Add one call."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def copy(self) -> Histogram:
        """The numbers as they are now."""
        twin = Histogram(self.bounds)
        twin.counts, twin.sum = list(self.counts), self.sum
        return twin
