"""When the next heartbeat is expected.

Rule: pure; Unix seconds in, Unix seconds out. A job by the hour follows the wall clock of its time
zone, through summer time as cron does.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError


class Plan(Protocol):
    """A rule for heartbeats."""

    def after(self, heard: float) -> float:
        """When the next one is expected, after one at ``heard``."""
        ...


class Interval:
    """At least every so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def after(self, heard: float) -> float:
        """So many seconds later."""
        return heard + self._seconds


class Cron:
    """At the times of a cron expression; ValueError for one that is none, or never comes.

    A heartbeat up to ``early`` seconds before its time counts for that time: the clocks of two
    machines differ. ``early`` never reaches back over more than half the way to the time before.
    """

    def __init__(self, expression: str, zone: ZoneInfo, early: float) -> None:
        self._expression = expression
        self._zone = zone
        self._early = early
        self._known: tuple[float, float] | None = None
        try:
            self._next(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
        except (CronSimError, StopIteration):
            raise ValueError(
                "expected minute, hour, day, month and weekday of a time that comes, "
                'such as "30 2 * * *"'
            ) from None

    def after(self, heard: float) -> float:
        """The next time, or the one after it if this heartbeat counts for the next."""
        if self._known is None or self._known[0] != heard:
            following = self._next(heard)
            if following - heard <= min(self._early, (self._next(following) - following) / 2):
                following = self._next(following)
            self._known = (heard, following)
        return self._known[1]

    def _next(self, at: float) -> float:
        moment = datetime.fromtimestamp(at, self._zone)
        found: datetime = next(CronSim(self._expression, moment))
        return found.timestamp()
