"""The latest runs of a component: when each ended, how long it took and whether it was good.

Rule: a fixed number in a fixed place, under a kilobyte, so that ten thousand checks may have it;
what is older is for Prometheus to know.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final, NamedTuple

KEPT: Final = 60


class Run(NamedTuple):
    """One run. ``at`` is the Unix time of its end, ``seconds`` how long it took."""

    at: float
    seconds: float
    ok: bool


class RecentRuns:
    """A ring of the last :data:`KEPT` runs; iterating gives them oldest first."""

    __slots__ = ("_at", "_next", "_ok", "_seconds")

    def __init__(self) -> None:
        self._at = array("d")
        self._seconds = array("f")
        self._ok = bytearray()
        self._next = 0

    def __len__(self) -> int:
        return len(self._ok)

    def __iter__(self) -> Iterator[Run]:
        size = len(self._ok)
        begin = self._next if size == KEPT else 0
        for step in range(size):
            index = (begin + step) % size
            yield Run(self._at[index], self._seconds[index], bool(self._ok[index]))

    def add(self, at: float, seconds: float, *, ok: bool) -> None:
        """Remember one run, and forget the oldest when there are too many."""
        if len(self._ok) < KEPT:
            self._at.append(at)
            self._seconds.append(seconds)
            self._ok.append(ok)
            return
        self._at[self._next], self._seconds[self._next], self._ok[self._next] = at, seconds, ok
        self._next = (self._next + 1) % KEPT
