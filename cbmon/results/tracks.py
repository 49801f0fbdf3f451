"""What is gathered in memory until it is written: one track per component, a chunk per shard.

Rule: to record a run is a handful of assignments, and never fails. A result stands for the time
until the next one, but at most until the next one should have been there: ``reach`` seconds, an
interval and a timeout. So the time in which the daemon did not run, or was told not to look, is
not known, and counts neither as up nor as down. While an open breaker keeps runs off, the failure
that opened it stands; a component that nobody tries has no result that stands.
"""

from __future__ import annotations

from math import inf
from typing import Final, Protocol

from cbmon.results.chunks import SHARD, Chunk
from cbmon.results.summary import GOOD, TICK

BUCKET: Final = 300.0
"""Seconds whose borders no chunk reaches over; the shortest time that is summed up."""
FULL: Final = 512
"""Runs after which a chunk is complete, however short its time."""
BLIND: Final = 180.0
"""Seconds: no result is extended by more at once, however long it stands. Time passes in steps of
a minute; a longer one means that the process stood still and knows nothing of it."""
SLACK: Final = 2.0
"""Seconds by which a run may be late and still follow on the one before."""


class Shard:
    """Up to :data:`SHARD` components and the chunk that they fill, from the moment ``now`` on."""

    __slots__ = ("border", "chunk", "done", "last", "number", "tracks")

    def __init__(self, number: int, now: float) -> None:
        self.number = number
        self.tracks: dict[int, Track] = {}
        self.done: list[Chunk] = []
        """Chunks that are complete and wait to be taken."""
        self._begin(now)

    def turn(self, now: float) -> None:
        """Complete the chunk: every result stands until ``now``, or until the chunk's border.

        The next one begins where it ends; after a longer pause, or a clock set back, at ``now``.
        """
        chunk = self.chunk
        chunk.end = max(chunk.begin + self.last * TICK, min(now, self.border))
        for track in self.tracks.values():
            track.extend(chunk, chunk.end)
        if chunk:
            self.done.append(chunk)
        self._begin(chunk.end if 0 <= now - chunk.end < BUCKET else now)

    def take(self) -> list[Chunk]:
        """What is complete."""
        done, self.done = self.done, []
        return done

    def _begin(self, at: float) -> None:
        self.chunk = Chunk(self.number, at)
        self.border = at - at % BUCKET + BUCKET
        self.last = 0
        """Tick of the chunk's last run."""


class Track:
    """One component's way through its shard. Moments are Unix seconds."""

    __slots__ = ("good", "mark", "reach", "shard", "slot", "stands")

    def __init__(self, shard: Shard, slot: int, reach: float) -> None:
        self.shard = shard
        self.slot = slot
        self.reach = reach + SLACK
        self.mark = 0.0
        """Until when its time is accounted for."""
        self.stands = -inf
        """Until when its last result stands."""
        self.good = True
        shard.tracks[slot] = self

    def add(self, at: float, seconds: float, verdict: int) -> None:
        """A run ended at ``at``; ``verdict`` is 0 or the number of its reason."""
        shard = self.shard
        chunk = shard.chunk
        while not chunk.begin <= at < shard.border or len(chunk.slots) >= FULL:
            shard.turn(at)
            chunk = shard.chunk
        if self.stands > self.mark:
            self.extend(chunk, at)
        tick = int((at - chunk.begin) / TICK)
        tick = max(tick, shard.last)
        chunk.slots.append(self.slot)
        chunk.steps.append(tick - shard.last)
        chunk.seconds.append(seconds)
        chunk.verdicts.append(verdict)
        shard.last = tick
        self.mark = at
        self.stands = at + self.reach
        self.good = verdict == GOOD

    def extend(self, chunk: Chunk, to: float) -> None:
        """Account for the time until ``to``, as far as the last result stands."""
        mark = self.mark
        end = min(to, self.stands, mark + BLIND)
        begin = max(mark, chunk.begin)
        if end > begin:
            (chunk.up if self.good else chunk.down)[self.slot] += end - begin
        self.mark = to

    def hold(self, at: float | None = None) -> None:
        """Nobody looks until further notice: the last failure stands; a good result does not.

        With ``at``, something is known to be down from then on without a run that says so.
        """
        if at is not None:
            self.good, self.mark = False, at
        if not self.good:
            self.stands = inf

    def leave(self, at: float) -> None:
        """Nobody looks, and what was seen says nothing of the time from ``at`` on."""
        self.stands = min(self.stands, at)

    def expect(self, reach: float) -> None:
        """From now on a result stands for ``reach`` seconds at most."""
        self.reach = reach + SLACK

    def close(self) -> None:
        """It is watched no more."""
        self.shard.tracks.pop(self.slot, None)


def place_of(number: int) -> tuple[int, int]:
    """Shard and slot of the component with that number."""
    return divmod(number, SHARD)


class Recording(Protocol):
    """A track, as far as whoever runs a component sees it."""

    def add(self, at: float, seconds: float, verdict: int) -> None:
        """A run ended."""
        ...

    def leave(self, at: float) -> None:
        """Nobody looks for a while."""
        ...

    def expect(self, reach: float) -> None:
        """From now on a result stands for ``reach`` seconds at most."""
        ...


class _NoTrack:
    """Of what nobody keeps the results."""

    def add(self, at: float, seconds: float, verdict: int) -> None: ...

    def leave(self, at: float) -> None: ...

    def expect(self, reach: float) -> None: ...


NO_TRACK: Final[Recording] = _NoTrack()
