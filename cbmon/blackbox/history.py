"""The last probes, for people: what happened, and the last failures beyond.

Rule: bounded in number and in size; a failure that leaves the list is kept longer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

LIMIT: Final = 100
LONGEST: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One probe that was made; ``report`` tells of it."""

    number: int
    module: str
    target: str
    ok: bool
    report: Callable[[], str]

    @property
    def text(self) -> str:
        """What ``debug=true`` would have shown."""
        return self.report()[:LONGEST]


class History:
    """The last probes, and as many failures from before them."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._recent: deque[Entry] = deque()
        self._failures: deque[Entry] = deque(maxlen=limit)
        self._number = 0

    def __iter__(self) -> Iterator[Entry]:
        """From the newest to the oldest."""
        yield from reversed(self._recent)
        yield from reversed(self._failures)

    def add(self, module: str, target: str, report: Callable[[], str], *, ok: bool) -> None:
        """Remember one."""
        entry = Entry(self._number, module, target, ok, report)
        self._number += 1
        self._recent.append(entry)
        if len(self._recent) > self._limit:
            oldest = self._recent.popleft()
            if not oldest.ok:
                self._failures.append(oldest)

    def by_number(self, number: int) -> Entry | None:
        """That one, if it is still remembered."""
        return next((entry for entry in self if entry.number == number), None)

    def by_target(self, target: str, module: str = "") -> Entry | None:
        """The newest one of a target, and of a module if one is named."""
        wanted = (one for one in self if one.target == target and module in {"", one.module})
        return next(wanted, None)
