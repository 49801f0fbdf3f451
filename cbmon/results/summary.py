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
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
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

_HEAD: Final = struct.Struct("<BBIIIIQee")


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

    @classmethod
    def of(cls, runs: Sequence[tuple[float, int]]) -> Summary:
        """Of some runs, each as its seconds and its verdict; the same as adding each."""
        its = cls(runs=len(runs))
        good = [seconds for seconds, verdict in runs if verdict == GOOD]
        if good:
            its.least, its.most = min(good), max(good)
            its.total = sum([round(seconds * 1e6) for seconds in good])
            its.steps = dict(Counter(map(step_of, good)))
        its.failures = its.runs - len(good)
        if its.failures:
            for _, verdict in runs:
                if verdict != GOOD:
                    its.reasons[verdict] = its.reasons.get(verdict, 0) + 1
        return its

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
        steps, reasons = self.steps, self.reasons
        for key, count in other.steps.items():
            steps[key] = steps.get(key, 0) + count
        for key, count in other.reasons.items():
            reasons[key] = reasons.get(key, 0) + count

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


@lru_cache(4096)
def step_of(seconds: float) -> int:
    """In which step a duration lies. What was kept with 11 bits comes again and again."""
    if seconds <= LEAST:
        return 0
    return min(STEPS - 1, int(log(seconds / LEAST) * _PER_STEP) + 1)


def middle_of(step: int) -> float:
    """The middle of a step, in seconds; on a scale of ratios, as the steps are."""
    return float(LEAST * GROWTH**step / _MIDDLE)


def word_of(number: int) -> str:
    """A reason by its number."""
    return REASONS[number - 1].value if 0 < number <= len(REASONS) else Reason.INTERNAL.value


def packed(whole: Mapping[int, Summary]) -> bytes:
    """Summaries by slot as bytes: how many, their slots and lengths, then each."""
    parts = [_packed(its) for its in whole.values()]
    count = len(parts)
    lengths = struct.pack(f"<{count}H", *map(len, parts))
    return b"".join((bytes((count,)), bytes(whole), lengths, *parts))


def unpacked(data: bytes, wanted: Iterable[int] | None = None) -> dict[int, Summary]:
    """Summaries by slot; only of the ``wanted`` slots, or all."""
    count = data[0]
    slots = data[1 : count + 1]
    lengths = struct.unpack_from(f"<{count}H", data, count + 1)
    begin = 3 * count + 1
    chosen = slots if wanted is None else bytes(slot for slot in wanted if slot in slots)
    return {slot: _unpacked(data, begin + sum(lengths[: slots.index(slot)])) for slot in chosen}


def _packed(it: Summary) -> bytes:
    steps, reasons = sorted(it.steps), sorted(it.reasons)
    head = _HEAD.pack(
        len(steps), len(reasons), it.runs, it.failures, it.up, it.down, it.total, it.least, it.most
    )
    counts = [it.steps[step] for step in steps] + [it.reasons[number] for number in reasons]
    return b"".join((head, bytes(steps), bytes(reasons), struct.pack(f"<{len(counts)}I", *counts)))


def _unpacked(data: bytes, place: int) -> Summary:
    steps, reasons, *numbers = _HEAD.unpack_from(data, place)
    place += _HEAD.size
    counts = steps + reasons
    values = struct.unpack_from(f"<{counts}I", data, place + counts)
    its = Summary(*numbers)
    its.steps = dict(zip(data[place : place + steps], values, strict=False))
    its.reasons = dict(zip(data[place + steps : place + counts], values[steps:], strict=True))
    return its
