"""What a component's moves tell over time: its failure cycles, and when it was disabled.

Rule: pure, made of the rows that the store has, newest first as it gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Row = Mapping[str, Any]

MOST: Final = 40
"""Openings in the trend."""
BY_ITSELF: Final = "cycles_exhausted"


@dataclass(frozen=True, slots=True)
class Cycle:
    """An opening: how many cycles had failed by then, and whether that disabled it."""

    at: float
    cycles: int
    disabled: bool


@dataclass(frozen=True, slots=True)
class Outage:
    """A time out of service; ``until`` and ``by`` are None while it lasts."""

    since: float
    until: float | None
    by_itself: bool
    text: str
    error: str
    actor: str
    ended_by: str
    ended_text: str


def cycles(rows: Sequence[Row]) -> list[Cycle]:
    """The cycle count at each opening, oldest first; closing begins anew at 0."""
    found = [
        Cycle(float(row["at"]), int(row.get("cycles") or 0), row["to_state"] == "disabled")
        for row in rows
        if row["to_state"] in {"open", "disabled"}
    ]
    return found[:MOST][::-1]


def outages(rows: Sequence[Row]) -> list[Outage]:
    """The times in which it was disabled, the latest first."""
    found = []
    later: Row | None = None
    for row in rows:
        if row["to_state"] == "disabled":
            found.append(_outage(row, later))
        later = row
    return found


def _outage(row: Row, end: Row | None) -> Outage:
    return Outage(
        since=float(row["at"]),
        until=None if end is None else float(end["at"]),
        by_itself=row.get("cause") == BY_ITSELF,
        text=str(row.get("text") or ""),
        error=str(row.get("last_error") or ""),
        actor=str(row.get("actor") or ""),
        ended_by="" if end is None else str(end.get("actor") or ""),
        ended_text="" if end is None else str(end.get("text") or ""),
    )
