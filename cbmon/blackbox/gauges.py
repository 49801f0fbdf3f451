"""The metrics of one probe, and how they are written.

Rule: a gauge is there from its declaration on, at 0, unless it has labels: then from its first
value on. Families are written in the order of their names, numbers as Go writes them.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import lru_cache
from typing import Final

from cbmon.metrics.text import Family, labelled

_EXACT: Final = 1e6
"""Whole numbers from here on have an exponent in Go's shortest form."""

Labels = tuple[tuple[str, str], ...]


class Gauges:
    """What one probe has measured so far."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, dict[Labels, float]]] = {}

    def declare(self, name: str, help: str) -> None:  # noqa: A002 - Prometheus' word
        """A gauge without labels, at 0."""
        self.declare_labelled(name, help)
        self._families[name][1].setdefault((), 0.0)

    def declare_labelled(self, name: str, help: str) -> None:  # noqa: A002
        """A gauge with labels."""
        self._families.setdefault(name, (help, {}))

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """The value from now on."""
        self._families[name][1][tuple(labels.items())] = float(value)

    def add(self, name: str, value: float, /, **labels: str) -> None:
        """The value grows by so much."""
        samples = self._families[name][1]
        key = tuple(labels.items())
        samples[key] = samples.get(key, 0.0) + value

    def value(self, name: str, /, **labels: str) -> float | None:
        """The present value; None when there is none."""
        _, samples = self._families.get(name, ("", {}))
        return samples.get(tuple(labels.items()))

    def text(self) -> str:
        """In the text format 0.0.4."""
        return "".join(
            _family(name, help_text, samples)
            for name, (help_text, samples) in sorted(self._families.items())
            if samples
        )


def _family(name: str, help_text: str, samples: dict[Labels, float]) -> str:
    series = sorted((labelled(name, dict(labels)), value) for labels, value in samples.items())
    return _head(name, help_text) + "".join(f"{each} {number(value)}\n" for each, value in series)


@lru_cache(maxsize=256)
def _head(name: str, help_text: str) -> str:
    return Family(name=name, type="gauge", help=help_text).head


def number(value: float) -> str:
    """The shortest text that gives the number back, in Go's form: ``1.5``, ``2.5e+09``, ``NaN``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < _EXACT:
        return str(int(value))
    if _EXACT > abs(value) >= 1e-4:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 - it is finite
    first, rest = str(digits[0]), "".join(map(str, digits[1:]))
    mantissa = f"{'-' * sign}{first}{'.' * bool(rest)}{rest}"
    return f"{mantissa}e{exponent + len(digits) - 1:+03d}"
