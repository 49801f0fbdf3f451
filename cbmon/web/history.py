"""What the web asks of the results of runs: a seam, and answers that are the same for all.

Rule: a component without results is one of which nothing is known, never an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, Protocol

from cbmon.results.chunks import Sample
from cbmon.results.store import Series, Span

HOUR: Final = 3600.0
DAY: Final = 86_400.0


class Results(Protocol):
    """Results of checks and exports over time; every method raises StoreError."""

    async def samples(self, name: str, begin: float, end: float, limit: int) -> list[Sample]:
        """The runs that ended in ``[begin, end)``, oldest first; KeyError for one never watched."""
        ...

    async def series(self, name: str, width: int, begin: float, end: float) -> Series:
        """Summaries in buckets of ``width`` seconds, by when each begins; KeyError."""
        ...

    async def days(self, names: Iterable[str], begin: float) -> dict[str, Series]:
        """Summaries of days, from that of ``begin`` on, of those that were ever watched."""
        ...

    async def spans(self, since: float) -> list[Span]:
        """When a daemon ran, oldest first."""
        ...


async def series_of(results: Results, name: str, width: int, begin: float, end: float) -> Series:
    """Summaries of one component; none of one that was never watched."""
    try:
        return await results.series(name, width, begin, end)
    except KeyError:
        return {}


def absences(ran: Sequence[Span]) -> list[Span]:
    """The times between, in which no daemon ran."""
    return [
        Span(before.end, after.begin) for before, after in pairwise(ran) if after.begin > before.end
    ]
