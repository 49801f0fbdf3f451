"""What many runs come to: counts, durations, reasons, and how much of the time was up.

Rule: summaries add up. The sum of the parts is the whole, in any order and over any gaps, so that
days are made of hours and hours of minutes without a look back at the runs.

Durations are those of good runs: how fast a connection was refused says nothing of the target.
They are counted in 255 steps, each a tenth above the one before, from 10 µs to 100 h; a quantile
is the middle of its step, so it is off by at most 5 %. As in DDSketch (Masson et al., 2019).

Uptime is ``up / (up + down)``: the time in which the latest result was good, of the time for which
there is one. A result stands until the next one, at most as long as :mod:`cbmon.results.tracks`
lets it; the rest of the time is not known and in neither.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import log, sqrt
from typing import Final

from cbmon.model import Reason

TICK: Final = 0.01
"""Seconds in the unit in which time is kept."""
LEAST: Final = 1e-5
GROWTH: Final = 1.1
STEPS: Final = 255
_PER_STEP: Final = 1 / log(GROWTH)
_MIDDLE: Final = sqrt(GROWTH)

REASONS: Final = tuple(Reason)
"""A reason's place in it, counted from 1, is its number in the database; new ones go to the end."""
GOOD: Final = 0
NUMBER_OF: Final[Mapping[Reason | None, int]] = {
    None: GOOD,
    **{reason: number for number, reason in enumerate(REASONS, start=1)},
}

_HEAD: Final = struct.Struct("<BBBIIIIQee")


@dataclass(slots=True)
class Summary:
    """Runs of one component. ``up`` and ``down`` are in :data:`TICK`, ``total`` in microseconds."""

    runs: int = 0
    failures: int = 0
    up: int = 0
    down: int = 0
    total: int = 0
    least: float = 0.0
    most: float = 0.0
    steps: dict[int, int] = field(default_factory=dict)
    """How many durations lay in each step."""
    reasons: dict[int, int] = field(default_factory=dict)
    """How many runs failed for each reason, by its number."""

    def add(self, verdict: int, seconds: float) -> None:
        """Count one run."""
        self.runs += 1
        if verdict != GOOD:
            self.failures += 1
            self.reasons[verdict] = self.reasons.get(verdict, 0) + 1
            return
        first = self.runs - self.failures == 1
        self.least = seconds if first else min(self.least, seconds)
        self.most = seconds if first else max(self.most, seconds)
        self.total += round(seconds * 1e6)
        step = step_of(seconds)
        self.steps[step] = self.steps.get(step, 0) + 1

    def merge(self, other: Summary) -> None:
        """Add what another one has."""
        if other.good:
            self.least = min(self.least, other.least) if self.good else other.least
            self.most = max(self.most, other.most) if self.good else other.most
        self.runs += other.runs
        self.failures += other.failures
        self.up += other.up
        self.down += other.down
        self.total += other.total
        for mine, its in ((self.steps, other.steps), (self.reasons, other.reasons)):
            for key, count in its.items():
                mine[key] = mine.get(key, 0) + count

    @property
    def good(self) -> int:
        """Runs that did not fail."""
        return self.runs - self.failures

    @property
    def uptime(self) -> float | None:
        """The share of the known time that was up, 0 to 1; None when nothing is known."""
        known = self.up + self.down
        return self.up / known if known else None

    @property
    def known_seconds(self) -> float:
        """For how long something is known."""
        return (self.up + self.down) * TICK

    @property
    def mean(self) -> float | None:
        """Mean duration of the good runs in seconds."""
        return self.total / self.good / 1e6 if self.good else None

    def quantile(self, share: float) -> float | None:
        """The duration below or at which ``share`` (0 to 1) of the good runs lies, in seconds."""
        if not self.good:
            return None
        rank = max(1.0, share * self.good)
        for step in sorted(self.steps):
            rank -= self.steps[step]
            if rank <= 1e-9:
                break
        return min(max(middle_of(step), self.least), self.most)

    def failed_for(self) -> dict[str, int]:
        """How many runs failed for each reason, the most frequent first."""
        ranked = sorted(self.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        return {word_of(number): count for number, count in ranked}


def total(parts: Iterable[Summary]) -> Summary:
    """The whole of some parts."""
    whole = Summary()
    for part in parts:
        whole.merge(part)
    return whole


def step_of(seconds: float) -> int:
    """In which step a duration lies."""
    if seconds <= LEAST:
        return 0
    return min(STEPS - 1, int(log(seconds / LEAST) * _PER_STEP) + 1)


def middle_of(step: int) -> float:
    """The middle of a step, in seconds; on a scale of ratios, as the steps are."""
    return float(LEAST * GROWTH**step / _MIDDLE)


def word_of(number: int) -> str:
    """A reason by its number."""
    return REASONS[number - 1].value if 0 < number <= len(REASONS) else Reason.INTERNAL.value


def packed(slot: int, it: Summary) -> bytes:
    """A summary as bytes, with the place of its component in its shard."""
    steps, reasons = sorted(it.steps), sorted(it.reasons)
    head = _HEAD.pack(
        slot, len(steps), len(reasons), it.runs, it.failures, it.up, it.down, it.total,
        it.least, it.most,
    )  # fmt: skip
    counts = [it.steps[step] for step in steps] + [it.reasons[number] for number in reasons]
    return b"".join((head, bytes(steps), bytes(reasons), struct.pack(f"<{len(counts)}I", *counts)))


def unpacked(data: bytes, wanted: frozenset[int] | None = None) -> dict[int, Summary]:
    """Summaries by slot out of many packed ones; only the ``wanted`` slots, or all."""
    found: dict[int, Summary] = {}
    place, end = 0, len(data)
    while place < end:
        slot, steps, reasons, *numbers = _HEAD.unpack_from(data, place)
        place += _HEAD.size
        names, counts = place + steps + reasons, steps + reasons
        if wanted is None or slot in wanted:
            values = struct.unpack_from(f"<{counts}I", data, names)
            found[slot] = its = Summary(*numbers)
            its.steps = dict(zip(data[place : place + steps], values, strict=False))
            its.reasons = dict(zip(data[place + steps : names], values[steps:], strict=True))
        place = names + 4 * counts
    return found
