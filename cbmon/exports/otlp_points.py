"""Data points of OTLP from the daemon's exposition.

Rule: a point is its metric's head, the field that its form has there, and its own bytes; whoever
puts them together needs to know no more. Bounds of buckets are cumulative in Prometheus and are not
in OTLP.

Source: opentelemetry/proto/metrics/v1/metrics.proto
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from cbmon.exports.protobuf import double, fixed64, nested, number, text
from cbmon.exports.samples import labels_of, name_of

GAUGE: Final = 5
SUM: Final = 7
HISTOGRAM: Final = 9
NO_VALUE: Final = 1
"""The flag of a point that only says that its series has ended."""

_ATTRIBUTES: Final = {GAUGE: 7, SUM: 7, HISTOGRAM: 9}
_FLAGS: Final = {GAUGE: 8, SUM: 8, HISTOGRAM: 10}
_FORMS: Final = {"counter": SUM, "histogram": HISTOGRAM}
_UNITS: Final = {"seconds": "s", "bytes": "By", "ratio": "1"}

Point = tuple[bytes, int, bytes]
"""A metric's head, the field of its form, and the point."""


class Family(NamedTuple):
    """A family of the exposition with its lines."""

    head: bytes
    form: int
    rows: list[tuple[bytes, float]]


class Series(NamedTuple):
    """What a series keeps from one run to the next."""

    head: bytes
    form: int
    attributes: bytes


class Points:
    """Makes points; it remembers the series that it told last."""

    def __init__(self, started: int) -> None:
        """``started`` is when counting began, in Unix nanoseconds."""
        self._started = started
        self._known: dict[bytes, Series] = {}

    def of(self, exposition: bytes, at: int) -> list[Point]:
        """Every series at ``at``, in Unix nanoseconds, and the end of those that are gone."""
        before, self._known = self._known, {}
        stamp = fixed64(3, at)
        made: list[Point] = []
        for family in families(exposition):
            if family.form == HISTOGRAM:
                made += self._histograms(family, before, stamp)
            else:
                made += self._numbers(family, before, stamp)
        gone = [series for key, series in before.items() if key not in self._known]
        return made + [_end(series, stamp) for series in gone]

    def ends(self, at: int) -> list[Point]:
        """The end of every series."""
        before, self._known = self._known, {}
        return [_end(series, fixed64(3, at)) for series in before.values()]

    def _numbers(
        self, family: Family, before: dict[bytes, Series], stamp: bytes
    ) -> Iterator[Point]:
        head, form, rows = family
        begun = fixed64(2, self._started) if form == SUM else b""
        for key, value in rows:
            series = before.get(key)
            if series is None or (series.head, series.form) != (head, form):
                series = Series(head, form, _attributes(form, labels_of(key)))
            self._known[key] = series
            yield head, form, nested(1, begun + stamp + double(4, value) + series.attributes)

    def _histograms(
        self, family: Family, before: dict[bytes, Series], stamp: bytes
    ) -> Iterator[Point]:
        begun = fixed64(2, self._started)
        for key, parts in _grouped(family.rows).items():
            series = before.get(key)
            if series is None or series.form != HISTOGRAM:
                series = Series(family.head, HISTOGRAM, _attributes(HISTOGRAM, parts.labels))
            self._known[key] = series
            counts = parts.counts
            body = (
                begun + stamp + fixed64(4, counts[-1] if counts else 0) + double(5, parts.sum)
                + nested(6, struct.pack(f"<{len(counts)}Q", *_alone(counts)))
                + nested(7, struct.pack(f"<{len(parts.bounds)}d", *parts.bounds))
                + series.attributes
            )  # fmt: skip
            yield family.head, HISTOGRAM, nested(1, body)


def attribute(field: int, name: str, value: str) -> bytes:
    """A ``KeyValue`` of a string."""
    return nested(field, text(1, name) + nested(2, text(1, value)))


def families(exposition: bytes) -> Iterator[Family]:
    """The families of an exposition, in its order."""
    name = help_text = ""
    kind, rows = "untyped", list[tuple[bytes, float]]()
    for line in exposition.split(b"\n"):
        if line.startswith(b"# HELP "):
            if rows:
                yield _family(name, kind, help_text, rows)
            name, _, help_text = line[7:].decode().partition(" ")
            kind, rows = "untyped", []
        elif line.startswith(b"# TYPE "):
            kind = line.rpartition(b" ")[2].decode()
        elif line:
            series, _, value = line.rpartition(b" ")
            rows.append((series, float(value)))
    if rows:
        yield _family(name, kind, help_text, rows)


def _family(name: str, kind: str, help_text: str, rows: list[tuple[bytes, float]]) -> Family:
    unit = _UNITS.get(name.removesuffix("_total").rpartition("_")[2], "")
    head = text(1, name or name_of(rows[0][0])) + text(2, help_text)
    return Family(head + (text(3, unit) if unit else b""), _FORMS.get(kind, GAUGE), rows)


class _Parts:
    """One histogram: its bounds but for the infinite one, cumulative counts, and sum."""

    __slots__ = ("bounds", "counts", "labels", "sum")

    def __init__(self, labels: dict[str, str]) -> None:
        self.labels = labels
        self.bounds: list[float] = []
        self.counts: list[int] = []
        self.sum = 0.0


def _grouped(rows: list[tuple[bytes, float]]) -> dict[bytes, _Parts]:
    found: dict[bytes, _Parts] = {}
    for series, value in rows:
        labels = labels_of(series)
        bound = labels.pop("le", None)
        name = name_of(series)
        key = repr((name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count"),
                    sorted(labels.items()))).encode()  # fmt: skip
        parts = found.setdefault(key, _Parts(labels))
        if bound is not None:
            parts.counts.append(int(value))
            if not math.isinf(float(bound)):
                parts.bounds.append(float(bound))
        elif name.endswith("_sum"):
            parts.sum = value
    return found


def _alone(cumulative: list[int]) -> list[int]:
    """The count of each bucket without those below it."""
    return [count - below for count, below in zip(cumulative, [0, *cumulative], strict=False)]


def _attributes(form: int, labels: dict[str, str]) -> bytes:
    field = _ATTRIBUTES[form]
    return b"".join(attribute(field, name, value) for name, value in labels.items())


def _end(series: Series, stamp: bytes) -> Point:
    flag = number(_FLAGS[series.form], NO_VALUE)
    return series.head, series.form, nested(1, stamp + series.attributes + flag)
