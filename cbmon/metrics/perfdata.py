"""Performance data of plug-ins as metrics.

Rule: which labels there are, and in which unit, is configured and never what a plug-in says. They
exist from the moment their check is added; a gauge is NaN and a counter absent until it is told,
as a 0 that nobody measured would be taken for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import nan
from typing import Any, Final

from cbmon.metrics.text import Family, labelled, number
from cbmon.model import Unit

_P: Final = ("check", "label")
_SAID: Final = "the plug-in of a check said last, by the label that its configuration lists"

PERFDATA_TOLD: Final = Family(
    name="cbmon_check_perfdata_told",
    type="gauge",
    labels=_P,
    help="1 if the last run of a plug-in told this label in its unit; 0 if not, or before it.",
)
_FAMILIES: Final[Mapping[Unit, Family]] = {
    "value": Family(
        name="cbmon_check_perfdata_value",
        type="gauge",
        labels=_P,
        help=f"What {_SAID}, in the base unit of whatever it is; NaN before.",
    ),
    "seconds": Family(
        name="cbmon_check_perfdata_seconds",
        type="gauge",
        labels=_P,
        help=f"Seconds that {_SAID}; NaN before.",
    ),
    "bytes": Family(
        name="cbmon_check_perfdata_bytes",
        type="gauge",
        labels=_P,
        help=f"Bytes that {_SAID}; NaN before.",
    ),
    "ratio": Family(
        name="cbmon_check_perfdata_ratio",
        type="gauge",
        labels=_P,
        help=f"The share that {_SAID}, 1 for 100 %; NaN before.",
    ),
    "counter": Family(
        name="cbmon_check_perfdata_total",
        type="counter",
        labels=_P,
        help=f"The count that {_SAID}.",
        absent="until a run told it: the plug-in's count does not begin at 0 with the daemon",
    ),
}
PERFDATA: Final = (PERFDATA_TOLD, *_FAMILIES.values())
_FITTING: Final[Mapping[Unit, frozenset[str]]] = {
    "seconds": frozenset({"", "seconds"}),
    "bytes": frozenset({"", "bytes"}),
    "ratio": frozenset({"", "percent"}),
    "counter": frozenset({"", "counter"}),
}
"""Units in which a plug-in may tell it; the configured one is believed where it tells none."""


class PerfdataRecord:
    """What one check's plug-in told, by its configured labels."""

    __slots__ = ("check", "told", "units", "values")

    def __init__(self, check: str, units: Mapping[str, Unit]) -> None:
        self.check = check
        self.units = dict(units)
        self.values: dict[str, float] = {}
        self.told: frozenset[str] = frozenset()

    def tell(self, values: Iterable[Mapping[str, Any]]) -> None:
        """What a run told, each with ``label``, ``value`` and, if it has one, ``unit``."""
        told = {}
        for one in values:
            label, value, unit = one["label"], one["value"], one.get("unit", "")
            wanted = self.units.get(label)
            if wanted is None or unit not in _FITTING.get(wanted, {unit}):
                continue
            if wanted == "counter" and value < 0:
                continue
            told[label] = value / 100 if unit == "percent" else value
        self.values.update(told)
        self.told = frozenset(told)


def perfdata_sections(records: Iterable[PerfdataRecord]) -> Iterator[tuple[Family, bytes]]:
    """Each family with the lines of every check."""
    records = list(records)
    yield (
        PERFDATA_TOLD,
        _lines(
            (PERFDATA_TOLD, one, label, label in one.told) for one in records for label in one.units
        ),
    )
    for unit, family in _FAMILIES.items():
        yield (
            family,
            _lines(
                (family, one, label, one.values.get(label, nan))
                for one in records
                for label, of in one.units.items()
                if of == unit and (unit != "counter" or label in one.values)
            ),
        )


def _lines(samples: Iterable[tuple[Family, PerfdataRecord, str, float]]) -> bytes:
    return "".join(
        f"{labelled(family.name, {'check': one.check, 'label': label})} {number(value)}\n"
        for family, one, label, value in samples
    ).encode()
