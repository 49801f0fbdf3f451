"""Durations in the words of a message."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def told(seconds: float) -> str:
    """``2 minutes``, ``1 hour 30 minutes``, ``0.5 seconds``: at most two units."""
    if seconds < 1:
        return f"{seconds:.3g} seconds"
    rest, parts = round(seconds), []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts[:2])


def humanized(seconds: float) -> str:
    """A positive duration as Prometheus' template function humanizeDuration writes it."""
    if seconds < 1:
        return _small(seconds)
    whole = int(seconds)
    days, hours, minutes, rest = whole // 86_400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    if days:
        return f"{days}d {hours}h {minutes}m {rest}s"
    if hours:
        return f"{hours}h {minutes}m {rest}s"
    return f"{minutes}m {rest}s" if minutes else f"{seconds:.4g}s"


def _small(seconds: float) -> str:
    for prefix in ("m", "u"):
        seconds *= 1000
        if seconds >= 1:
            return f"{seconds:.4g}{prefix}s"
    return f"{seconds * 1000:.4g}ns"
