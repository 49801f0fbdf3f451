"""How much of the time something was up, from its outages: by day, and over a span.

Rule: pure. Time before ``known_since`` is not known: it is left out, never counted as up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

DAY: Final = 86_400.0

Outage = tuple[float, float | None]
"""When it began and when it ended, in Unix seconds; None goes on."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day in UTC. ``share`` is that of the known time that was up; None knows nothing."""

    start: float
    share: float | None
    down: float
    """Seconds."""

    @property
    def mark(self) -> str:
        """How bad it was, in a word."""
        if self.share is None:
            return "unknown"
        if self.share == 1:
            return "up"
        return "some" if self.share >= 0.9 else "down"


def days(
    outages: Sequence[Outage], *, now: float, known_since: float, count: int = 30
) -> list[Day]:
    """The last ``count`` days, today included, oldest first."""
    today = now - now % DAY
    found = []
    for back in range(count - 1, -1, -1):
        start = today - back * DAY
        begin, end = max(start, known_since), min(start + DAY, now)
        down = _down(outages, begin, end)
        share = None if end <= begin else max(0.0, 1 - down / (end - begin))
        found.append(Day(start, share, down))
    return found


def uptime(
    outages: Sequence[Outage], *, now: float, span: float, known_since: float
) -> float | None:
    """The share of the last ``span`` seconds that was up; None when nothing is known."""
    begin = max(now - span, known_since)
    return None if now <= begin else max(0.0, 1 - _down(outages, begin, now) / (now - begin))


def _down(outages: Sequence[Outage], begin: float, end: float) -> float:
    """Seconds of a stretch that were down; outages of one thing do not overlap."""
    return sum(
        max(0.0, min(end if ended is None else ended, end) - max(started, begin))
        for started, ended in outages
    )
