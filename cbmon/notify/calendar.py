"""Named time intervals: whether one lasts now, and when that may change. Pure.

Rule: Alertmanager's reading: an interval lasts when one of its entries matches, an entry when each
of its fields does. Fields are read off the wall clock of the entry's own time zone, so that
``09:00`` is nine o'clock there, in summer and in winter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

Ranges = tuple[tuple[int, int], ...]
"""Inclusive ranges; an empty tuple is everything."""

HALF_HOUR: Final = 1800
HORIZON: Final = 48 * 3600
"""Seconds that are searched for a change; without one there, one looks again after them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeInterval:
    """One entry. ``times`` are minutes of the day, the end not included; weekdays have 0 for
    Sunday; days of the month below 0 count from its end."""

    times: Ranges = ()
    weekdays: Ranges = ()
    days_of_month: Ranges = ()
    months: Ranges = ()
    years: Ranges = ()
    location: str = "UTC"

    def contains(self, now: float) -> bool:
        """Whether it lasts at Unix time ``now``."""
        local = datetime.fromtimestamp(now, _zone(self.location))
        minute = local.hour * 60 + local.minute
        return (
            (not self.times or any(start <= minute < end for start, end in self.times))
            and _within(self.weekdays, local.isoweekday() % 7)
            and _within_month(self.days_of_month, local)
            and _within(self.months, local.month)
            and _within(self.years, local.year)
        )

    def edges(self, now: float) -> Iterator[float]:
        """Moments of the next days at which it may begin or end."""
        zone = _zone(self.location)
        midnight = datetime.fromtimestamp(now, zone).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        minutes = {0, *(edge for pair in self.times for edge in pair)}
        for day in range(HORIZON // 86_400 + 2):
            start = midnight + timedelta(days=day)
            for minute in minutes:
                yield (start + timedelta(minutes=minute)).timestamp()


@dataclass(frozen=True, slots=True)
class Calendar:
    """Time intervals by name."""

    intervals: Mapping[str, Sequence[TimeInterval]] = field(default_factory=dict)

    def any(self, names: Iterable[str], now: float) -> bool:
        """Whether one of these lasts now; a name that is not known never does."""
        return any(entry.contains(now) for name in names for entry in self.intervals.get(name, ()))

    def next_change(self, names: Sequence[str], now: float) -> float:
        """When :meth:`any` is next worth asking again, in Unix seconds; at most two days ahead."""
        before = {name: self.any((name,), now) for name in names}
        entries = [entry for name in names for entry in self.intervals.get(name, ())]
        # Clocks are put forward and back on half hours of UTC, everywhere.
        first = int(now // HALF_HOUR + 1) * HALF_HOUR
        moments = {float(first + step) for step in range(0, HORIZON, HALF_HOUR)}
        moments.update(edge for entry in entries for edge in entry.edges(now) if edge > now)
        for moment in sorted(moments):
            if any(self.any((name,), moment) is not lasts for name, lasts in before.items()):
                return moment
        return now + HORIZON


def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _within(ranges: Ranges, value: int) -> bool:
    return not ranges or any(first <= value <= last for first, last in ranges)


def _within_month(ranges: Ranges, local: datetime) -> bool:
    if not ranges:
        return True
    following = (local.replace(day=28) + timedelta(days=4)).replace(day=1)
    days = (following - timedelta(days=1)).day

    def counted(day: int) -> int:
        return days + 1 + day if day < 0 else day

    return any(
        max(1, counted(first)) <= local.day <= min(days, counted(last)) for first, last in ranges
    )
