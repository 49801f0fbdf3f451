"""Performance data of monitoring plug-ins: ``'label'=value[unit];warn;crit;min;max``.

Rule: pure. What cannot be read is left out and the rest is kept, because plug-ins are many and
their output is nobody's promise. Units follow the guidelines of the Monitoring Plugins project;
times become seconds and sizes bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST: Final = 200
"""Values that are read of one output."""
LONGEST_LABEL: Final = 200
"""Characters of a label, or of a range, beyond which it is cut off."""
_TIMES: Final[Mapping[str, float]] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_SIZES: Final[Mapping[str, float]] = {
    "b": 1,
    **{f"{prefix}b": 1000.0**power for power, prefix in enumerate("kmgtpe", 1)},
    **{f"{prefix}ib": 1024.0**power for power, prefix in enumerate("kmgtpe", 1)},
}
_WRITTEN: Final = r"[-+]?(?>[0-9]+(?:[.,][0-9]+)?|[.,][0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
"""A number. Atomic: else a plug-in's thousands of digits are tried in every division of them."""
_VALUE: Final = re.compile(rf"({_WRITTEN})([^0-9;\s]*)")
_NUMBER: Final = re.compile(_WRITTEN)
_QUOTED: Final = re.compile(r"'((?:[^']|'')*)'=")
_PLAIN: Final = re.compile(r"([^\s=']+)=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value in its unit: ``seconds``, ``bytes``, ``percent``, ``counter``, another or none.

    ``warn`` and ``crit`` are ranges as the plug-in wrote them, in its own unit.
    """

    label: str
    value: float
    unit: str = ""
    warn: str = ""
    crit: str = ""
    minimum: float | None = None
    maximum: float | None = None

    def facts(self) -> dict[str, Any]:
        """For a result's facts: what is there."""
        found: dict[str, Any] = {"label": self.label, "value": self.value}
        pairs = {"unit": self.unit, "warn": self.warn, "crit": self.crit}
        found.update({name: text for name, text in pairs.items() if text})
        limits = {"min": self.minimum, "max": self.maximum}
        found.update({name: limit for name, limit in limits.items() if limit is not None})
        return found


def split_output(output: str) -> tuple[str, str, str]:
    """The first line, the lines after it, and all performance data, each without the others.

    The data stand behind the first ``|`` of the first line and from the first ``|`` of a later
    line on.
    """
    first, _, rest = output.strip("\r\n").partition("\n")
    message, _, data = first.partition("|")
    more, _, further = rest.partition("|")
    return message.strip(), more.strip(), f"{data} {further}".strip()


def parse(text: str) -> list[Value]:
    """Every value that can be read, at most :data:`MOST`; of two with one label the last."""
    found: dict[str, Value] = {}
    for label, written in _pairs(text):
        value = _value(label, written)
        if value is not None:
            found[label] = value
        if len(found) >= MOST:
            break
    return list(found.values())


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        quoted = _QUOTED.match(text, at)
        match = quoted or _PLAIN.match(text, at)
        end = _end(text, match.end() if match else at)
        if match is not None:
            label = match[1].replace("''", "'") if quoted else match[1]
            yield label[:LONGEST_LABEL], text[match.end() : end]
        at = end


def _end(text: str, at: int) -> int:
    while at < len(text) and not text[at].isspace():
        at += 1
    return at


def _value(label: str, written: str) -> Value | None:
    first, *limits = written.split(";")
    match = _VALUE.fullmatch(first)
    if match is None or not label:  # "U" says that the value is unknown
        return None
    factor, unit = _unit(match[2])
    warn, crit, low, high = (*limits[:4], "", "", "", "")[:4]
    value = _number(match[1], factor)
    if value is None:
        return None
    return Value(
        label=label,
        value=value,
        unit=unit,
        warn=warn[:LONGEST_LABEL],
        crit=crit[:LONGEST_LABEL],
        minimum=_number(low, factor),
        maximum=_number(high, factor),
    )


def _unit(written: str) -> tuple[float, str]:
    if written in _TIMES:
        return _TIMES[written], "seconds"
    if written.lower() in _SIZES:
        return _SIZES[written.lower()], "bytes"
    return 1.0, {"%": "percent", "c": "counter"}.get(written, written[:20])


def _number(text: str, factor: float) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text.replace(",", ".")) * factor
    return value if math.isfinite(value) else None
