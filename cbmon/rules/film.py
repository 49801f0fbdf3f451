"""The time of a promtool test: samples and evaluations on a grid that no window's edge hits.

Rule: a sample every two units and an evaluation every three, in whole milliseconds, so that a
sample can leave a window between two evaluations. A window that includes its left edge
(Prometheus 2) and one that does not (Prometheus 3) then hold the same samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cbmon.rules.quoting import duration, number

GONE: Final = "stale"
"""The token of a scrape that failed."""
Token = float | str
_STEADY: Final = 3


def unit_for(*durations: float) -> int:
    """Milliseconds such that each of the durations (seconds) holds some evaluations: 1, 2, 5 …"""
    most = max(1.0, min(durations) * 1000)
    power = 10 ** math.floor(math.log10(most))
    return int(max(factor for factor in (1, 2, 5) if factor * power <= most) * power)


@dataclass(frozen=True, slots=True)
class Film:
    """One grid. Moments are whole milliseconds; samples and steps are counted from 0."""

    unit: int

    @property
    def sample_interval(self) -> str:
        """As promtool takes it."""
        return duration(2 * self.unit / 1000)

    @property
    def step_interval(self) -> str:
        """As promtool takes it."""
        return duration(3 * self.unit / 1000)

    def sample(self, index: int) -> int:
        """When a sample is taken."""
        return 2 * self.unit * index

    def step(self, index: int) -> int:
        """When an evaluation is."""
        return 3 * self.unit * index

    def samples_for(self, seconds: float) -> int:
        """Samples that span at least so long."""
        return math.ceil(seconds * 1000 / (2 * self.unit))

    def step_from(self, moment: float) -> int:
        """The first evaluation at a moment or after it."""
        return math.ceil(moment / (3 * self.unit))

    def step_after(self, moment: float) -> int:
        """The first evaluation after a moment."""
        return math.floor(moment / (3 * self.unit)) + 1

    def held(self, step: int, seconds: float) -> int:
        """The first evaluation so long after another one."""
        return self.step_from(self.step(step) + seconds * 1000)

    def clear_of(self, index: int, windows: Iterable[float] = ()) -> int:
        """The first sample from ``index`` on that enters and leaves windows between evaluations."""
        shifts = [0.0, *(seconds * 1000 for seconds in windows)]
        for candidate in range(index, index + 3):
            if all((self.sample(candidate) + shift) % self.step(1) for shift in shifts):
                return candidate
        return index


def lasting(tokens: Sequence[Token], length: int) -> Sequence[Token]:
    """At least so many tokens: it goes on as it ended, level, rising or gone."""
    missing = length - len(tokens)
    if missing <= 0:
        return tokens
    last, before = tokens[-1], tokens[-2]
    if isinstance(last, str) or isinstance(before, str):
        return [*tokens, *[last] * missing]
    return [*tokens, *(last + (last - before) * (index + 1) for index in range(missing))]


def spelled(tokens: Sequence[Token]) -> str:
    """Values in promtool's notation, steady stretches shortened."""
    words, at = [], 0
    while at < len(tokens):
        length, slope = _stretch(tokens, at)
        first = tokens[at]
        if isinstance(first, str) or length < _STEADY:
            words.append(first if isinstance(first, str) else number(first))
            at += 1
        else:
            words.append(f"{number(first)}{'-' if slope < 0 else '+'}{number(abs(slope))}x{length}")
            at += length + 1
    return " ".join(words)


def _stretch(tokens: Sequence[Token], at: int) -> tuple[int, float]:
    """How many tokens follow in equal whole steps, and the step."""
    length, slope = 0, 0.0
    while at + length + 1 < len(tokens):
        here, there = tokens[at + length], tokens[at + length + 1]
        if isinstance(here, str) or isinstance(there, str):
            break
        if length and there - here != slope:
            break
        slope = there - here
        if slope != int(slope):
            break
        length += 1
    return length, slope
