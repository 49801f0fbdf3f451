"""Runs of the components of one shard in a stretch of time, packed in columns.

Rule: what is unpacked is what was packed, up to the precision of the columns: 10 ms for when a run
ended, one part in a thousand for how long it took. A chunk never reaches over a border of five
minutes in UTC, so that all of it belongs to one bucket of every resolution.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, compress
from typing import Final, NamedTuple

from cbmon.results import summary
from cbmon.results.summary import GOOD, TICK, Summary

SHARD: Final = 64
"""Components whose results lie together."""
LONGEST: Final = 60_000.0
"""Seconds; a longer duration is kept as this one: the column has 16 bits."""
MOST: Final = 65_535
"""What a column of 16 bits holds."""
_FORMAT: Final = 1
_HEAD: Final = struct.Struct("<BddIB")


class Sample(NamedTuple):
    """One run: when it ended (Unix seconds), how long it took, and 0 or its reason's number."""

    at: float
    seconds: float
    verdict: int

    @property
    def ok(self) -> bool:
        """Whether it was good."""
        return self.verdict == GOOD


@dataclass(slots=True)
class Chunk:
    """What happened in one shard from ``begin`` to ``end`` (Unix seconds), in order."""

    shard: int
    begin: float
    end: float = 0.0
    slots: bytearray = field(default_factory=bytearray)
    steps: array[int] = field(default_factory=lambda: array("H"))
    """Of each run, in :data:`TICK` since the run before."""
    seconds: array[float] = field(default_factory=lambda: array("f"))
    verdicts: bytearray = field(default_factory=bytearray)
    up: array[float] = field(default_factory=lambda: array("f", bytes(4 * SHARD)))
    """By slot, how many seconds of it were up."""
    down: array[float] = field(default_factory=lambda: array("f", bytes(4 * SHARD)))

    def __len__(self) -> int:
        return len(self.slots)

    def __bool__(self) -> bool:
        return bool(self.slots) or any(self.up) or any(self.down)

    def samples(self) -> Iterator[tuple[int, Sample]]:
        """Each run with the slot of its component."""
        times = accumulate(self.steps)
        for slot, tick, seconds, verdict in zip(
            self.slots, times, self.seconds, self.verdicts, strict=True
        ):
            yield slot, Sample(self.begin + tick * TICK, seconds, verdict)

    def of(self, slot: int) -> Iterator[Sample]:
        """The runs of one component."""
        chosen = [one == slot for one in self.slots]
        ticks = compress(accumulate(self.steps), chosen)
        values = zip(compress(self.seconds, chosen), compress(self.verdicts, chosen), strict=True)
        for tick, (seconds, verdict) in zip(ticks, values, strict=True):
            yield Sample(self.begin + tick * TICK, seconds, verdict)

    def summary(self, slot: int) -> Summary:
        """What it comes to for one component."""
        its = Summary()
        for one in self.of(slot):
            its.add(one.verdict, one.seconds)
        its.up, its.down = self.covered(slot)
        return its

    def slots_covered(self) -> list[int]:
        """The components of which something is known in this time."""
        return [slot for slot, pair in enumerate(zip(self.up, self.down, strict=True)) if any(pair)]

    def covered(self, slot: int) -> tuple[int, int]:
        """For how long one component was up and down, in :data:`TICK`."""
        up, down = self.up[slot], self.down[slot]
        return min(round(up / TICK), MOST), min(round(down / TICK), MOST)


def summed(parts: Iterable[Chunk]) -> dict[int, Summary]:
    """What chunks of one shard come to, by slot; of those of which anything is known."""
    runs: dict[int, list[tuple[float, int]]] = defaultdict(list)
    known: dict[int, list[int]] = {}
    for chunk in parts:
        for slot, seconds, verdict in zip(chunk.slots, chunk.seconds, chunk.verdicts, strict=True):
            runs[slot].append((seconds, verdict))
        for slot in chunk.slots_covered():
            up, down = chunk.covered(slot)
            its = known.setdefault(slot, [0, 0])
            its[0] += up
            its[1] += down
    found = {slot: Summary.of(its) for slot, its in runs.items()}
    for slot, (up, down) in known.items():
        one = found.setdefault(slot, Summary())
        one.up, one.down = up, down
    return found


def packed(chunk: Chunk) -> bytes:
    """A chunk as bytes."""
    count = len(chunk)
    covered = chunk.slots_covered()
    spans = [tick for slot in covered for tick in chunk.covered(slot)]
    head = _HEAD.pack(_FORMAT, chunk.begin, chunk.end, count, len(covered))
    columns = (
        bytes(chunk.slots),
        struct.pack(f"<{count}H", *chunk.steps),
        struct.pack(f"<{count}e", *_bounded(chunk.seconds)),
        bytes(chunk.verdicts),
        bytes(covered),
        struct.pack(f"<{len(spans)}H", *spans),
    )
    return head + zlib.compress(b"".join(columns), 1)


def unpacked(shard: int, data: bytes) -> Chunk:
    """The chunk in some bytes; ValueError when they are none."""
    try:
        form, begin, end, count, covered = _HEAD.unpack_from(data)
        if form != _FORMAT:
            raise ValueError(f"results in format {form}, expected {_FORMAT}")
        columns = memoryview(zlib.decompress(data[_HEAD.size :]))
        chunk = Chunk(shard, begin, end)
        chunk.slots += columns[:count]
        chunk.steps.extend(struct.unpack_from(f"<{count}H", columns, count))
        chunk.seconds.extend(struct.unpack_from(f"<{count}e", columns, 3 * count))
        chunk.verdicts += columns[5 * count : 6 * count]
        slots = columns[6 * count : 6 * count + covered]
        spans = struct.unpack_from(f"<{2 * covered}H", columns, 6 * count + covered)
    except (struct.error, zlib.error) as error:
        raise ValueError(f"results cannot be read: {error}") from error
    for slot, up, down in zip(slots, spans[::2], spans[1::2], strict=True):
        chunk.up[slot], chunk.down[slot] = up * TICK, down * TICK
    return chunk


def squeezed(whole: Mapping[int, Summary]) -> bytes:
    """Summaries by slot as they are stored."""
    return bytes((_FORMAT,)) + zlib.compress(summary.packed(whole), 1)


def expanded(data: bytes, wanted: Iterable[int] | None = None) -> dict[int, Summary]:
    """The summaries in what is stored, or some of them; ValueError when it is something else."""
    if data[:1] != bytes((_FORMAT,)):
        raise ValueError(f"summaries in format {data[:1]!r}, expected {_FORMAT}")
    try:
        return summary.unpacked(zlib.decompress(data[1:]), wanted)
    except (zlib.error, struct.error, IndexError) as error:
        raise ValueError(f"summaries cannot be read: {error}") from error


def _bounded(seconds: Sequence[float]) -> Sequence[float]:
    """Durations that the column can hold."""
    if not seconds or (min(seconds) >= 0 and max(seconds) <= LONGEST):
        return seconds
    return [min(max(0.0, each), LONGEST) for each in seconds]
