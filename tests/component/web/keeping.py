"""Results of the fake daemon: real tracks and chunks, without a database."""

from __future__ import annotations

from collections.abc import Iterable

from cbmon.errors import StoreError
from cbmon.results.chunks import Chunk, Sample
from cbmon.results.series import bucket, put, put_chunk
from cbmon.results.store import Series, Span
from cbmon.results.summary import TICK, Summary
from cbmon.results.tracks import Shard, Track
from cbmon.testing import ManualClock

DAY = 86_400.0


class FakeResults:
    """See :class:`cbmon.web.history.Results`; ``told`` are summaries that a test makes up."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.broken = False
        self.ran = [Span(clock.time() - 400 * DAY, clock.time())]
        self.told: dict[str, dict[float, Summary]] = {}
        self.asked = 0
        self._tracks: dict[str, Track] = {}
        self._chunks: dict[str, list[Chunk]] = {}

    def add(self, name: str, seconds: float, verdict: int, reach: float = 35.0) -> None:
        now = self.clock.time()
        if name not in self._tracks:
            self._tracks[name] = Track(Shard(0, now), 0, reach)
        self._tracks[name].add(now, seconds, verdict)

    def tell(self, name: str, at: float, *, up: float = 0.0, down: float = 0.0) -> None:
        """In the hour of that time it was so many seconds up and down."""
        its = Summary(up=round(up / TICK), down=round(down / TICK))
        put(self.told.setdefault(name, {}), bucket(at, 3600), its)

    def _known(self, name: str) -> list[Chunk]:
        self.asked += 1
        if self.broken:
            raise StoreError("database is locked")
        if name not in self._tracks:
            if name in self.told:
                return []
            raise KeyError(name)
        shard = self._tracks[name].shard
        shard.turn(self.clock.time())
        known = self._chunks.setdefault(name, [])
        known += shard.take()
        return known

    async def samples(self, name: str, begin: float, end: float, limit: int) -> list[Sample]:
        found = [one for chunk in self._known(name) for one in chunk.of(0)]
        return [one for one in found if begin <= one.at < end][:limit]

    async def series(self, name: str, width: int, begin: float, end: float) -> Series:
        found: Series = {}
        for chunk in self._known(name):
            put_chunk(found, chunk, 0, width)
        for at, its in self.told.get(name, {}).items():
            put(found, bucket(at, width), its)
        first = bucket(begin, width)
        return {at: its for at, its in sorted(found.items()) if first <= at < end}

    async def days(self, names: Iterable[str], begin: float) -> dict[str, Series]:
        found = {}
        for name in names:
            try:
                found[name] = await self.series(name, int(DAY), begin, self.clock.time() + DAY)
            except KeyError:
                continue
        return found

    async def spans(self, since: float) -> list[Span]:
        return self.ran
