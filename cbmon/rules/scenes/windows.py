"""What ``increase`` and ``rate`` see of a counter in a scene.

Rule: the edge of a window never meets a sample, because the grid's unit does not divide the window:
Prometheus 2 counts a sample on the left edge, Prometheus 3 does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from cbmon.rules.film import Film, unit_for
from cbmon.rules.plan import Plan

_PERCENT: Final = (95, 93, 89)
_NEAR: Final = 1.1
"""A first sample so many intervals after the start of the window is the first of all."""
FIRST: Final = 1e3
"""How many times its growth a counter begins at, or the window would be cut off at zero."""


def film_for(plan: Plan, alert: str, window: float, samples: int = 60) -> Film:
    """A grid with so many units in a window at least, for the alert's delay too."""
    hold = plan.hold(alert)
    return askew(unit_for(window / samples, *([hold / 6] if hold else [])), window)


def askew(unit: int, window: float) -> Film:
    """A grid a little finer than this, of whose units a window does not consist."""
    finer = (max(1, unit * percent // 100) for percent in _PERCENT)
    return Film(next((found for found in finer if window * 1000 % found), unit))


def increase(film: Film, tokens: Sequence[float], step: int, window: float) -> float:
    """As Prometheus extrapolates it, for a counter whose first sample is at the start too."""
    end, tick = film.step(step), film.sample(1)
    start = end - window * 1000
    last, first = end // tick, max(0, math.ceil(start / tick))
    grown = tokens[min(last, len(tokens) - 1)] - tokens[min(first, len(tokens) - 1)]
    before = film.sample(first) - start
    if before >= _NEAR * tick:
        before = tick / 2
    seen = film.sample(last - first)
    return grown * (seen + before + end - film.sample(last)) / seen


def bursts(film: Film, window: float, hold: float, size: float) -> list[tuple[float, int]]:
    """Slopes of as many bursts as it takes, half a window apart, to be in it for the delay."""
    apart = max(1, int(window * 500 / film.sample(1)))
    more = math.ceil(max(0.0, hold - window / 2) * 1000 / film.sample(apart))
    return [(size, 1), *([(0.0, apart - 1), (size, 1)] * more)]


def length_of(slopes: Sequence[tuple[float, int]]) -> int:
    """How many samples they take."""
    return sum(length for _, length in slopes)
