"""The history that a daemon has recorded itself, as its API gives it.

Rule: while an open breaker kept runs off, nothing was recorded. A replay would take that for a time
without a target, so the failure before it is repeated at the interval, where the sums say that the
check was down; nowhere else is anything filled in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from cbmon.simulation.replay import Sample

FINEST: Final = 300.0
"""Seconds in the sums that tell of the time without runs."""

Point = Mapping[str, Any]


def from_points(points: Sequence[Point]) -> list[Sample]:
    """Single runs of ``GET /api/v1/checks/{name}/results``, oldest first."""
    return [
        Sample(_time(each), not each["failures"], (each["duration_seconds"] or {}).get("max"))
        for each in points
    ]


def held_off(points: Sequence[Point]) -> frozenset[float]:
    """When the sums of five minutes begin in which it was down for some time."""
    return frozenset(_time(each) for each in points if each["down_seconds"] > 0)


def filled(
    samples: Sequence[Sample], down: frozenset[float], *, interval: float, timeout: float
) -> tuple[list[Sample], int]:
    """The history with what an open breaker held off, and how many runs that is."""
    found: list[Sample] = []
    count = 0
    for this, following in pairwise(samples):
        found.append(this)
        at = this.at + interval
        while not this.ok and at < following.at - timeout - interval / 2:
            if at - at % FINEST in down:
                found.append(Sample(at, ok=False))
                count += 1
            at += interval
    return [*found, *samples[-1:]], count


def _time(point: Point) -> float:
    return datetime.fromisoformat(point["at"]).timestamp()
