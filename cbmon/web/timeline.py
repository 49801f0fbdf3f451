"""A component's states over a span of time, as the parts of a bar.

Rule: what is not known is left out, never drawn as healthy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cbmon.results.store import Span

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch in one state; ``start`` and ``width`` are per cent of the span."""

    state: str
    start: float
    width: float
    since: float
    until: float


def parts(
    rows: Sequence[Row],
    *,
    state: str,
    now: float,
    span: float,
    known_since: float,
    absences: Iterable[Span] = (),
) -> list[Part]:
    """The stretches of the last ``span`` seconds, oldest first.

    ``rows`` are the component's moves, newest first; ``state`` is the present one. Before its
    oldest row a component was in that row's ``from_state``, as far back as ``known_since``. Of the
    ``absences``, in which no daemon ran, nothing is known.
    """
    found = _parts(rows, state, now, span, known_since)
    for gap in absences:
        found = [rest for part in found for rest in _without(part, gap, now - span, span)]
    return found


def _without(part: Part, gap: Span, begin: float, span: float) -> list[Part]:
    if gap.end <= part.since or gap.begin >= part.until:
        return [part]
    rest = []
    if gap.begin > part.since:
        rest.append(_part(part.state, part.since, gap.begin, begin, span))
    if gap.end < part.until:
        rest.append(_part(part.state, gap.end, part.until, begin, span))
    return rest


def _parts(
    rows: Sequence[Row], state: str, now: float, span: float, known_since: float
) -> list[Part]:
    begin = now - span
    found = []
    until, current = now, state
    for row in rows:
        at = min(float(row["at"]), until)
        if at <= begin:
            break
        found.append(_part(current, at, until, begin, span))
        until, current = at, str(row["from_state"])
    else:
        begin_known = max(begin, min(known_since, until))
        found.append(_part(current, begin_known, until, begin, span))
        return [part for part in reversed(found) if part.width > 0]
    found.append(_part(current, begin, until, begin, span))
    return [part for part in reversed(found) if part.width > 0]


def share(stretch: Sequence[Part], healthy: frozenset[str]) -> float | None:
    """Which share of the known time was healthy, 0 to 1; None when nothing is known."""
    known = sum(part.width for part in stretch)
    if not known:
        return None
    return sum(part.width for part in stretch if part.state in healthy) / known


def _part(state: str, since: float, until: float, begin: float, span: float) -> Part:
    start = 100 * (since - begin) / span
    return Part(state, round(start, 3), round(100 * (until - since) / span, 3), since, until)
