"""How long runs took and whether they were good, over a span of time: drawn on the server.

Rule: pure. A column is a stretch of time; what is not known of it stays empty and is said to be
unknown. A failure is told by its place below the line, by its height and in words, never by colour
alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cbmon.results.series import bucket
from cbmon.results.summary import Summary, total

HEIGHT: Final = 100.0
"""Of the drawing, in its own units; its width is one unit per column."""
LEAST: Final = 1.0
"""Height of the shortest bar, so that it is seen."""
STEPS: Final = (1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A span of time on the page, in ``count`` columns of ``width`` seconds."""

    label: str
    width: int
    count: int

    @property
    def span(self) -> float:
        """Seconds."""
        return float(self.width * self.count)


SCALES: Final[Mapping[str, Scale]] = {
    "1h": Scale(label="1 h", width=60, count=60),
    "24h": Scale(label="24 h", width=900, count=96),
    "7d": Scale(label="7 d", width=7200, count=84),
    "90d": Scale(label="90 d", width=86_400, count=90),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One stretch; ``x`` counts from the left. Heights are 0 when there is nothing to draw."""

    x: int
    at: float
    its: Summary
    middle: float
    """Height of the median."""
    slow: float
    """Height up to which 95 of 100 reach."""

    @property
    def bad(self) -> float | None:
        """The share that was bad, 0 to 1: of its runs, or of its time; None knows nothing."""
        if self.its.runs:
            return self.its.failures / self.its.runs
        uptime = self.its.uptime
        return None if uptime is None else 1 - uptime

    @property
    def mark(self) -> str:
        """The same in a word."""
        bad = self.bad
        if bad is None:
            return "unknown"
        if bad == 0:
            return "up"
        return "down" if bad >= 0.5 else "some"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What there is to draw; times in seconds."""

    scale: Scale
    columns: Sequence[Column]
    whole: Summary
    top: float
    """What the upper edge stands for."""
    limit: float | None
    """Where a line marks a bound, counted from the top; None outside of the drawing."""

    @property
    def told(self) -> list[Column]:
        """The columns of which something is known, the latest first: the rows of the table."""
        return [column for column in reversed(self.columns) if column.bad is not None]


def chart(
    series: Mapping[float, Summary], scale: Scale, now: float, limit: float | None = None
) -> Chart | None:
    """The columns until ``now``, with a line at ``limit`` seconds; None when all is unknown."""
    last = bucket(now, scale.width)
    moments = [last - scale.width * back for back in range(scale.count - 1, -1, -1)]
    known = [series.get(at, NOTHING) for at in moments]
    whole = total(known)
    if not whole.runs and whole.uptime is None:
        return None
    top = nice(max((its.quantile(0.95) or 0.0 for its in known), default=0.0))
    columns = [
        Column(x, at, its, _height(its.quantile(0.5), top), _height(its.quantile(0.95), top))
        for x, (at, its) in enumerate(zip(moments, known, strict=True))
    ]
    inside = limit is not None and limit <= top
    return Chart(
        scale=scale,
        columns=columns,
        whole=whole,
        top=top,
        limit=round(HEIGHT - HEIGHT * limit / top, 2) if inside and limit is not None else None,
    )


def nice(seconds: float) -> float:
    """The next round number that is not below, at least a millisecond."""
    unit = 0.001
    while unit * 10 < seconds:
        unit *= 10
    return next((unit * step for step in STEPS if unit * step >= seconds * 0.999), unit * 10)


def _height(seconds: float | None, top: float) -> float:
    if seconds is None:
        return 0.0
    return round(max(LEAST, min(HEIGHT, HEIGHT * seconds / top)), 2)


NOTHING: Final = Summary()
