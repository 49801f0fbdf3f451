"""The timeline: which name is due when, on the monotonic axis.

Rule: pure. The caller gives the time and does what is returned; nothing here reads a clock, waits
or calls back. A tick lies at ``phase + k * interval`` on the monotonic axis itself, so that a
restarted process finds the ticks of the one before. A tick that was passed by a whole interval is
counted, never made up for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from math import floor, isfinite
from typing import Final, NamedTuple, Protocol

Fire = Callable[[str, float, int], object]
"""``fire(name, due, missed)``: ``due`` in monotonic seconds, ``missed`` ticks before it."""

_SLACK: Final = 64
"""Dead heap items that are always tolerated, so that small timelines never compact."""


def phase_of(name: str) -> float:
    """Where in its interval a name ticks: a fraction in [0, 1), the same in every process."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


class Timetable(Protocol):
    """When what runs, as far as the one who runs it sees it. Moments are monotonic."""

    def add(self, name: str, interval: float, fire: Fire, *, first: float | None = None) -> None:
        """Fire a name every ``interval`` seconds; again with the same name: change it."""
        ...

    def remove(self, name: str) -> None:
        """Never fire a name again."""
        ...

    def at(self, name: str, when_monotonic: float) -> None:
        """Fire next exactly then, then at the ordinary ticks again."""
        ...

    def park(self, name: str) -> None:
        """Do not fire until told."""
        ...

    def run_now(self, name: str) -> None:
        """Fire at the next wake-up."""
        ...

    def next_run(self, name: str) -> float | None:
        """When a name fires next; None when nobody knows."""
        ...


class Firing(NamedTuple):
    """One run that is due."""

    name: str
    due: float
    missed: int
    """Ticks passed over, by a process that was paused or late, since the previous firing."""
    fire: Fire


class _Entry:
    __slots__ = ("appointed", "due", "fire", "fraction", "interval", "missed", "name", "serial")

    def __init__(self, name: str, interval: float, fire: Fire) -> None:
        self.name = name
        self.interval = interval
        self.fire = fire
        self.fraction = phase_of(name)
        self.due: float | None = None
        self.missed = 0
        self.appointed = False
        self.serial = -1

    def tick_after(self, moment: float) -> float:
        """The first tick that lies strictly after a moment."""
        interval = self.interval
        phase = self.fraction * interval
        tick = phase + (floor((moment - phase) / interval) + 1) * interval
        return tick if tick > moment else tick + interval


class Timeline:
    """A heap of due times with lazy deletion: changes are O(log n), the next due time is O(1).

    All moments are monotonic seconds on one axis. Methods that take a name raise KeyError for
    one that was not added, but for :meth:`remove` and :meth:`next_run`.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._heap: list[tuple[float, int, _Entry]] = []
        self._serials = count()
        self._planned = 0
        self.rate = 0.0
        """Ticks per second, all names together."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def add(
        self, name: str, interval: float, fire: Fire, *, now: float, first: float | None = None
    ) -> None:
        """Let a name tick every ``interval`` seconds, first at ``first`` or at its phase.

        A name that is there already gets the new interval and callback: it keeps its place in the
        interval (as a fraction), and if it is parked or has an appointment, that too. Raises
        ValueError for an interval that is not a positive, finite number.
        """
        if not (isfinite(interval) and interval > 0):
            raise ValueError(f"interval of {name!r}: {interval!r} is not a positive number")
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = _Entry(name, interval, fire)
            self.rate += 1 / interval
            self._plan(entry, entry.tick_after(now))
        else:
            entry.fire = fire
            if entry.interval != interval:
                self.rate += 1 / interval - 1 / entry.interval
                entry.interval = interval
                if entry.due is not None and not entry.appointed:
                    self._plan(entry, entry.tick_after(now))
        if first is not None:
            self.at(name, first, now=now)

    def remove(self, name: str) -> None:
        """Forget a name; one that is not there is no error."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            self.rate = max(0.0, self.rate - 1 / entry.interval) if self._entries else 0.0
            self._unplan(entry)

    def at(self, name: str, when: float, *, now: float) -> None:
        """Run next exactly at ``when`` instead of at the tick (now, if that is past).

        The run is kept however late the caller comes; the ordinary ticks go on after it.
        """
        entry = self._entries[name]
        self._plan(entry, max(when, now))
        entry.appointed = True

    def park(self, name: str) -> None:
        """No run until told otherwise by :meth:`resume`, :meth:`at` or a new appointment."""
        self._unplan(self._entries[name])

    def resume(self, name: str, *, now: float) -> None:
        """End :meth:`park` or an appointment: run next at the ordinary tick."""
        entry = self._entries[name]
        if entry.due is None or entry.appointed:
            self._plan(entry, entry.tick_after(now))

    def next_run(self, name: str) -> float | None:
        """When a name runs next; None when it is parked or unknown."""
        entry = self._entries.get(name)
        return None if entry is None else entry.due

    def next_due(self) -> float | None:
        """When anything runs next."""
        heap = self._heap
        while heap:
            due, serial, entry = heap[0]
            if entry.serial == serial:
                return due
            heappop(heap)
        return None

    def pop(self, now: float) -> Firing | None:
        """The oldest run that is due, replanned to its next tick; None when none is.

        What is late by a whole interval or more is not returned: its ticks are added to
        ``missed`` and it waits for its phase, so that the end of a pause is no storm.
        """
        while (due := self.next_due()) is not None and due <= now:
            entry = self._heap[0][2]
            late = now - due
            if entry.appointed:
                entry.appointed = False
                self._replan(entry, entry.tick_after(now))
            elif late < entry.interval:
                self._replan(entry, due + entry.interval)
            else:
                entry.missed += floor(late / entry.interval) + 1
                self._replan(entry, entry.tick_after(now))
                continue
            missed, entry.missed = entry.missed, 0
            return Firing(entry.name, due, missed, entry.fire)
        return None

    def skip(self, now: float) -> None:
        """Let go, uncounted, of every tick before ``now``: they fell into a wanted pause.

        Appointments stay.
        """
        while (due := self.next_due()) is not None and due < now:
            entry = self._heap[0][2]
            self._replan(entry, now if entry.appointed else entry.tick_after(now))

    def _plan(self, entry: _Entry, due: float) -> None:
        if entry.due is None:
            self._planned += 1
        entry.due, entry.appointed = due, False
        entry.serial = serial = next(self._serials)
        heappush(self._heap, (due, serial, entry))
        self._compact()

    def _replan(self, entry: _Entry, due: float) -> None:
        """Move the entry at the head of the heap."""
        entry.due = due
        entry.serial = serial = next(self._serials)
        heapreplace(self._heap, (due, serial, entry))

    def _unplan(self, entry: _Entry) -> None:
        if entry.due is not None:
            self._planned -= 1
        entry.due, entry.appointed, entry.serial = None, False, -1
        self._compact()

    def _compact(self) -> None:
        if len(self._heap) > 2 * self._planned + _SLACK:
            self._heap = [item for item in self._heap if item[2].serial == item[1]]
            heapify(self._heap)
