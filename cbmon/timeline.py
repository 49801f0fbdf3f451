"""The timeline: which name is due when, on the monotonic axis.

Rule: pure. The caller gives the time and does what is returned; nothing here reads a clock, waits
or calls back. A tick lies at ``phase + k * interval`` on the monotonic axis itself, so that a
restarted process finds the ticks of the one before. A tick that was passed by a whole interval is
counted, never made up for.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from math import floor, isfinite
from typing import Final, NamedTuple, Protocol

Fire = Callable[[str, float, int], object]
"""``fire(name, due, missed)``: ``due`` in monotonic seconds, ``missed`` ticks before it."""

_SLACK: Final = 64
"""Dead items that are always tolerated, so that small timelines never compact."""
_CELLS: Final = 4
"""Cells per second: within one, what is due is put in order at once when its turn comes."""


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


_Item = tuple[float, int, _Entry]


class _Agenda:
    """What is due, in order. An item is void once its entry has another serial.

    The cell that is going on is sorted, later ones are not: to plan a run costs an append, and its
    share of a sort, however many there are.
    """

    __slots__ = ("_cells", "_current", "_keys", "_near", "_place", "_size")

    def __init__(self) -> None:
        self._near: list[_Item] = []
        self._place = 0
        """Where the first one is in it that was not taken."""
        self._current = float("-inf")
        """The cell in which the near ones lie, or before it."""
        self._cells: dict[int, list[_Item]] = {}
        self._keys: list[int] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, item: _Item) -> None:
        """Plan it."""
        self._size += 1
        key = floor(item[0] * _CELLS)
        if key <= self._current:
            insort(self._near, item, self._place)
        elif (cell := self._cells.get(key)) is not None:
            cell.append(item)
        else:
            self._cells[key] = [item]
            heappush(self._keys, key)

    def first(self) -> _Item | None:
        """The earliest that is not void."""
        while True:
            near, place = self._near, self._place
            while place < len(near):
                item = near[place]
                if item[2].serial == item[1]:
                    self._place = place
                    return item
                place += 1
                self._size -= 1
            self._place = 0
            if not self._keys:
                self._near = []
                return None
            self._current = key = heappop(self._keys)
            self._near = self._cells.pop(key)
            self._near.sort()

    def take(self) -> None:
        """Take the one away that :meth:`first` has given."""
        self._place += 1
        self._size -= 1

    def compact(self) -> None:
        """Forget what is void."""
        self._near, self._place = _valid(self._near[self._place :]), 0
        found = {key: _valid(cell) for key, cell in self._cells.items()}
        self._cells = {key: cell for key, cell in found.items() if cell}
        self._keys = list(self._cells)
        heapify(self._keys)
        self._size = len(self._near) + sum(map(len, self._cells.values()))


def _valid(items: list[_Item]) -> list[_Item]:
    return [item for item in items if item[2].serial == item[1]]


class Timeline:
    """An agenda of due times with lazy deletion: no change costs more for more names.

    All moments are monotonic seconds on one axis. Methods that take a name raise KeyError for
    one that was not added, but for :meth:`remove` and :meth:`next_run`.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._agenda = _Agenda()
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
        item = self._agenda.first()
        return None if item is None else item[0]

    def pop(self, now: float) -> Firing | None:
        """The oldest run that is due, replanned to its next tick; None when none is.

        What is late by a whole interval or more is not returned: its ticks are added to
        ``missed`` and it waits for its phase, so that the end of a pause is no storm.
        """
        while (item := self._agenda.first()) is not None and item[0] <= now:
            due, _, entry = item
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
        while (item := self._agenda.first()) is not None and item[0] < now:
            entry = item[2]
            self._replan(entry, now if entry.appointed else entry.tick_after(now))

    def _plan(self, entry: _Entry, due: float) -> None:
        if entry.due is None:
            self._planned += 1
        entry.due, entry.appointed = due, False
        entry.serial = serial = next(self._serials)
        self._agenda.push((due, serial, entry))
        self._compact()

    def _replan(self, entry: _Entry, due: float) -> None:
        """Move the entry that comes first."""
        self._agenda.take()
        entry.due = due
        entry.serial = serial = next(self._serials)
        self._agenda.push((due, serial, entry))

    def _unplan(self, entry: _Entry) -> None:
        if entry.due is not None:
            self._planned -= 1
        entry.due, entry.appointed, entry.serial = None, False, -1
        self._compact()

    def _compact(self) -> None:
        if len(self._agenda) > 2 * self._planned + _SLACK:
            self._agenda.compact()
