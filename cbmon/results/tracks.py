"""What is gathered in memory until it is written: one track per component, a chunk per shard.

Rule: to record a run is a handful of assignments, and never fails. A result stands for the time
until the next one, but at most until the next one should have been there: ``reach`` seconds, an
interval and a timeout. So the time in which the daemon did not run, or was told not to look, is
not known, and counts neither as up nor as down. While an open breaker keeps runs off, the failure
that opened it stands; a component that nobody tries has no result that stands.
"""

from __future__ import annotations

from array import array
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
    """Up to :data:`SHARD` components and the chunk that they fill, from the moment ``now`` on.

    What is known of each component stands in columns, by its slot: that takes a fifth of what
    objects would. Moments are Unix seconds.
    """

    __slots__ = (
        "border", "chunk", "done", "good", "last", "marks", "number", "reach", "stands", "tracks",
    )  # fmt: skip

    def __init__(self, number: int, now: float) -> None:
        self.number = number
        self.tracks: list[Track | None] = [None] * SHARD
        self.marks = array("d", bytes(8 * SHARD))
        """Until when the time of each is accounted for."""
        self.stands = array("d", [-inf] * SHARD)
        """Until when the last result of each stands."""
        self.good = bytearray(SHARD)
        self.reach = array("f", bytes(4 * SHARD))
        self.done: list[Chunk] = []
        """Chunks that are complete and wait to be taken."""
        self._begin(now)

    def turn(self, now: float) -> None:
        """Complete the chunk: every result stands until ``now``, or until the chunk's border.

        The next one begins where it ends; after a longer pause, or a clock set back, at ``now``.
        """
        chunk = self.chunk
        chunk.end = max(chunk.begin + self.last * TICK, min(now, self.border))
        for slot, stands in enumerate(self.stands):
            if stands > chunk.begin:
                self.extend(slot, chunk.end)
        if chunk:
            self.done.append(chunk)
        self._begin(chunk.end if 0 <= now - chunk.end < BUCKET else now)

    def extend(self, slot: int, to: float) -> None:
        """Account for the time of one until ``to``, as far as its last result stands."""
        chunk, mark = self.chunk, self.marks[slot]
        end = min(to, self.stands[slot], mark + BLIND)
        begin = max(mark, chunk.begin)
        if end > begin:
            (chunk.up if self.good[slot] else chunk.down)[slot] += end - begin
        self.marks[slot] = to

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
    """One component's place in its shard."""

    __slots__ = ("shard", "slot")

    def __init__(self, shard: Shard, slot: int, reach: float) -> None:
        self.shard = shard
        self.slot = slot
        shard.tracks[slot] = self
        shard.stands[slot] = -inf
        self.expect(reach)

    def add(self, at: float, seconds: float, verdict: int) -> None:
        """A run ended at ``at``; ``verdict`` is 0 or the number of its reason."""
        shard, slot = self.shard, self.slot
        chunk = shard.chunk
        while not chunk.begin <= at < shard.border or len(chunk.slots) >= FULL:
            shard.turn(at)
            chunk = shard.chunk
        marks, stands = shard.marks, shard.stands
        if stands[slot] > marks[slot]:
            shard.extend(slot, at)
        tick = max(shard.last, int((at - chunk.begin) / TICK))
        chunk.slots.append(slot)
        chunk.steps.append(tick - shard.last)
        chunk.seconds.append(seconds)
        chunk.verdicts.append(verdict)
        shard.last = tick
        marks[slot] = at
        stands[slot] = at + shard.reach[slot]
        shard.good[slot] = verdict == GOOD

    def hold(self, at: float | None = None) -> None:
        """Nobody looks until further notice: the last failure stands; a good result does not.

        With ``at``, something is known to be down from then on without a run that says so.
        """
        shard, slot = self.shard, self.slot
        if at is not None:
            shard.good[slot], shard.marks[slot] = False, at
        if not shard.good[slot] and (at is not None or shard.stands[slot] > -inf):
            shard.stands[slot] = inf

    def leave(self, at: float) -> None:
        """Nobody looks, and what was seen says nothing of the time from ``at`` on."""
        stands = self.shard.stands
        stands[self.slot] = min(stands[self.slot], at)

    def expect(self, reach: float) -> None:
        """From now on a result stands for ``reach`` seconds at most."""
        self.shard.reach[self.slot] = reach + SLACK

    def close(self) -> None:
        """It is watched no more."""
        self.shard.tracks[self.slot] = None
        self.shard.stands[self.slot] = -inf


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
