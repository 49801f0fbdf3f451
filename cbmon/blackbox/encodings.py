"""Whether an Accept-Encoding header lets a compression through.

Rule: the first entry in order of quality that names the compression, or ``*``, decides.
"""

from __future__ import annotations


def accepts(compression: str, header: str) -> bool:
    """False when a target that obeys the header must not answer with that compression."""
    if not compression or not header:
        return True
    entries = sorted((_entry(part) for part in header.split(",")), key=lambda one: -one[1])
    return next((quality > 0 for name, quality in entries if name in {compression, "*"}), False)


def _entry(part: str) -> tuple[str, float]:
    name, semicolon, parameter = part.rpartition(";")
    if not semicolon:
        return part.strip(), 1.0
    try:
        return name.strip(), round(float(parameter.strip().removeprefix("q=")), 3)
    except ValueError:
        return name.strip(), 0.0
