"""What the database keeps of results: the seam between the sampler and the store.

Rule: a seam only. Every method raises ``StoreError`` and nothing else; a save whose outcome is
unknown may be repeated. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from cbmon.results.chunks import Chunk, Sample
from cbmon.results.summary import Summary

RAW: Final = 0
LEVELS: Final = (300, 3600, 86_400)
"""Seconds in the buckets of each level above the runs themselves, in UTC."""

Series = dict[float, Summary]
"""Summaries by the Unix time at which their bucket begins."""


class Span(NamedTuple):
    """A stretch of time."""

    begin: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one transaction writes."""

    now: float
    run: int
    """The present run of the daemon, which is seen at ``now``."""
    orderly: bool = False
    """Whether this is the last of it."""
    names: Mapping[str, int] = field(default_factory=dict)
    """Components that are new, or are there again."""
    gone: Sequence[int] = ()
    """Components that are no longer configured."""
    chunks: Sequence[Chunk] = ()
    merge: Sequence[int] = ()
    """Shards whose chunks are to be summed up; after the chunks of this batch were added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What is known at the start: the daemon's run, the one before, and every component."""

    run: int
    before: Span | None
    orderly: bool
    """Whether the run before ended in order: if not, its last results are missing."""
    names: Mapping[str, int]
    absent: Sequence[int] = ()
    """Those of them that were not configured any more."""


class ResultStore(Protocol):
    """Chunks of runs, and their summaries by five minutes, hours and days."""

    async def begin(self, now: float) -> Opened:
        """The daemon runs from now on."""
        ...

    async def save(self, batch: Batch) -> None:
        """Write it, all or nothing; may be lost in a power cut."""
        ...

    async def samples(self, number: int, begin: float, end: float, limit: int) -> list[Sample]:
        """The runs of one component that ended in ``[begin, end)``, oldest first."""
        ...

    async def series(self, number: int, width: int, begin: float, end: float) -> Series:
        """Summaries of one component in buckets of ``width`` seconds, which begin before ``end``
        and end after ``begin``. A width of :data:`LEVELS`, a multiple of one, or below them all;
        what is not summed up yet is in it."""
        ...

    async def days(self, numbers: Sequence[int], begin: float) -> dict[int, Series]:
        """Summaries of days of some components, from the day of ``begin`` on."""
        ...

    async def spans(self, since: float) -> list[Span]:
        """When a daemon ran, oldest first, as far as it is known."""
        ...

    async def prune(self, before: Mapping[int, float]) -> int:
        """Drop what ended before these moments, by level (:data:`RAW` is the runs), in small
        transactions; how many rows went."""
        ...
