"""How the page says things: states, durations, moments.

Rule: a state is said in words beside its colour; a duration has at most two units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cbmon.breaker import State


@dataclass(frozen=True, slots=True)
class StateWords:
    """How a state is called, what it means, and how urgent it is (0 first)."""

    label: str
    meaning: str
    urgency: int
    mark: str


STATES: Final[Mapping[str, StateWords]] = {
    State.OPEN: StateWords("Open", "failing: not tried until its next trial", 0, "✕"),
    State.FORCED_OPEN: StateWords("Forced open", "held open by an operator", 1, "✕"),
    State.HALF_OPEN: StateWords("Half-open", "being tried again", 2, "◐"),
    State.DISABLED: StateWords("Disabled", "out of service until enabled", 3, "⊘"),
    State.OBSERVE: StateWords("Observing", "recording only, never opens", 5, "◉"),
    State.FORCED_CLOSED: StateWords("Forced closed", "held closed by an operator", 4, "✓"),
    State.CLOSED: StateWords("Closed", "working", 6, "✓"),
}


def duration(seconds: float | None) -> str:
    """``3.4 ms``, ``850 ms``, ``45 s``, ``2 min 5 s``, ``3 h``, ``2 d 4 h``."""
    if seconds is None:
        return "—"
    if seconds < 1:
        milli = seconds * 1000
        return f"{milli:.1f} ms" if 0 < milli < 9.95 else f"{milli:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    return _two_units(round(seconds))


def _two_units(whole: int) -> str:
    units = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    words = []
    for size, name in units:
        count, whole = divmod(whole, size)
        if count:
            words.append(f"{count} {name}")
        elif words:
            break
        if len(words) == 2:
            break
    return " ".join(words) or "0 s"


def ago(seconds: float | None) -> str:
    """``just now``, ``12 s ago``."""
    if seconds is None:
        return "never"
    return "just now" if seconds < 1 else f"{_two_units(round(seconds))} ago"


def clock(at: float | None) -> str:
    """A moment in UTC, readable without JavaScript; the browser shows it in local time."""
    if at is None:
        return "—"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def countdown(seconds: float | None) -> str:
    """``0:42``, ``12:05``, ``1:02:03``; ``now`` when it is over."""
    if seconds is None:
        return ""
    if seconds <= 0:
        return "now"
    minutes, rest = divmod(max(0, int(seconds + 0.999)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def percent(share: float | None) -> str:
    """``99.9 %``, ``100 %``; never rounded up to 100."""
    if share is None:
        return "—"
    if share >= 1:
        return "100 %"
    return f"{min(99.9, round(100 * share, 1)):g} %"


def until(seconds: float) -> str:
    """``in 23 d 4 h``, ``3 h ago``."""
    return f"in {duration(seconds)}" if seconds > 0 else ago(-seconds)


def day(at: float) -> str:
    """``21 Nov 2026``, in UTC."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.day} {moment:%b %Y}"
