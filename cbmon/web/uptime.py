"""How much of the time something was up: by day, and over a span.

Rule: pure. Counted in the time of which results know, as :mod:`cbmon.results.summary` says; what
is not known is left out, never counted as up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cbmon.results.summary import TICK, Summary, total

DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Day:
    """A day in UTC. ``share`` is that of the known time that was up; None knows nothing."""

    start: float
    share: float | None
    down: float
    """Seconds."""
    known: float
    """Seconds."""

    @property
    def mark(self) -> str:
        """How bad it was, in a word."""
        if self.share is None:
            return "unknown"
        if self.share == 1:
            return "up"
        return "some" if self.share >= 0.9 else "down"


def days(by_day: Mapping[float, Summary], *, now: float, count: int = 30) -> list[Day]:
    """The last ``count`` days, today included, oldest first."""
    today = now - now % DAY
    found = []
    for back in range(count - 1, -1, -1):
        start = today - back * DAY
        its = by_day.get(start, NOTHING)
        found.append(Day(start, its.uptime, its.down * TICK, its.known_seconds))
    return found


def uptime(series: Mapping[float, Summary], *, since: float) -> float | None:
    """The share of the known time that was up, in the buckets that begin at ``since`` or later."""
    return total(its for at, its in series.items() if at >= since).uptime


NOTHING: Final = Summary()
