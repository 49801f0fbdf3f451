"""Content negotiation: which of a few media types a client prefers, and whether it takes gzip.

Rule: RFC 9110, section 12.5, as far as a scraper uses it: q-values, wildcards, parameters that
narrow a type. Nothing that a client sends raises; what cannot be read is as if it were absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Range:
    """One element of an ``Accept`` header."""

    type: str
    subtype: str
    parameters: tuple[tuple[str, str], ...]
    quality: float

    def fits(self, media: str, parameters: dict[str, str]) -> int:
        """How closely it names a media type; 0 when it does not name it."""
        type_, _, subtype = media.partition("/")
        if self.type not in {"*", type_} or self.subtype not in {"*", subtype}:
            return 0
        wanted = {k: v for k, v in self.parameters if k in parameters}
        if any(parameters[name] != value for name, value in wanted.items()):
            return 0
        return 1 + 2 * (self.type != "*") + 2 * (self.subtype != "*") + len(wanted)


def parse(header: str) -> list[Range]:
    """The ranges of an ``Accept`` header, unreadable ones left out."""
    found = (_range(element) for element in header[:LONGEST].split(","))
    return [item for item in found if item is not None]


def choose(header: str | None, offers: Sequence[tuple[str, dict[str, str]]]) -> int:
    """The index of the offer that is liked best; the first one on a tie or without a wish."""
    ranges = parse(header or "")
    if not ranges:
        return 0
    scores = [_quality(ranges, media, parameters) for media, parameters in offers]
    best = max(scores)
    return scores.index(best) if best > 0 else 0


def takes_gzip(header: str | None) -> bool:
    """Whether ``Accept-Encoding`` allows gzip."""
    qualities = {}
    for element in (header or "")[:LONGEST].split(","):
        name, *parameters = (part.strip().lower() for part in element.split(";"))
        qualities[name] = _q(parameters)
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _quality(ranges: Sequence[Range], media: str, parameters: dict[str, str]) -> float:
    """The quality of the closest range, or of the best among equally close ones."""
    fits = [(r.fits(media, parameters), r.quality) for r in ranges]
    closest, quality = max(fits)
    return quality if closest else 0.0


def _range(element: str) -> Range | None:
    media, *rest = (part.strip() for part in element.split(";"))
    type_, slash, subtype = media.lower().partition("/")
    if not slash or not type_ or not subtype:
        return None
    pairs = []
    for parameter in rest:
        name, equals, value = parameter.partition("=")
        if equals and name.strip().lower() != "q":
            pairs.append((name.strip().lower(), value.strip().strip('"').lower()))
    return Range(type_, subtype, tuple(pairs), _q(rest))


def _q(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0
