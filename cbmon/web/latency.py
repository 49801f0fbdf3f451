"""The latest runs as a chart: a bar for each, drawn on the server.

Rule: pure. A failed run is told by its place below the line and in words, never by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cbmon.recent import Run

HEIGHT: Final = 100.0
"""Of the drawing, in its own units; its width is one unit per place for a run."""
PLACES: Final = 60
LEAST: Final = 1.0
"""Height of the shortest bar, so that it is seen."""
STEPS: Final = (1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0)


@dataclass(frozen=True, slots=True)
class Bar:
    """One run; ``x`` counts from the left, ``y`` and ``height`` from the top."""

    x: int
    y: float
    height: float
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What there is to draw; times in seconds."""

    bars: Sequence[Bar]
    top: float
    """What the upper edge stands for."""
    limit: float | None
    """Where a line marks a bound, counted from the top; None outside of the drawing."""
    median: float
    slow: float
    """95 of 100 were not slower."""
    slowest: float
    failed: int
    since: float


def chart(runs: Iterable[Run], limit: float | None = None) -> Chart | None:
    """The chart of the runs, oldest first, with a line at ``limit`` seconds; None without any."""
    taken = list(runs)[-PLACES:]
    if not taken:
        return None
    times = sorted(run.seconds for run in taken)
    top = nice(times[-1])
    first = PLACES - len(taken)
    bars = []
    for place, run in enumerate(taken, first):
        height = round(max(LEAST, min(HEIGHT, HEIGHT * run.seconds / top)), 2)
        bars.append(Bar(place, round(HEIGHT - height, 2), height, run))
    inside = limit is not None and limit <= top
    return Chart(
        bars=bars,
        top=top,
        limit=round(HEIGHT - HEIGHT * limit / top, 2) if inside and limit is not None else None,
        median=quantile(times, 0.5),
        slow=quantile(times, 0.95),
        slowest=times[-1],
        failed=sum(not run.ok for run in taken),
        since=taken[0].at,
    )


def nice(seconds: float) -> float:
    """The next round number that is not below, at least a millisecond."""
    unit = 0.001
    while unit * 10 < seconds:
        unit *= 10
    return next((unit * step for step in STEPS if unit * step >= seconds * 0.999), unit * 10)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below or at which that share of them lies; nearest rank."""
    rank = max(1, -(-int(share * 1000) * len(ordered) // 1000))
    return ordered[min(rank, len(ordered)) - 1]
