"""Comparisons as a person writes them: ``5``, ``"> 0.5"``, ``[">= 1", "< 100"]``.

Rule: pure. A number compares as a number, any other text only as itself.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_WRITTEN: Final = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Comparison:
    """An operator and a number to the right of it."""

    sign: str
    operand: float

    def holds(self, value: float) -> bool:
        """Whether the value passes; NaN passes nothing, not even ``!=``."""
        return not math.isnan(value) and _OPERATORS[self.sign](value, self.operand)

    def __str__(self) -> str:
        return f"{self.sign} {self.operand:g}"


def parse_comparison(value: object) -> Comparison:
    """From a number (equal to it) or text such as ``"> 0.5"``; ValueError says what is wrong."""
    if isinstance(value, Comparison):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Comparison("==", _finite(value))
    match = _WRITTEN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('expected a number or a comparison such as "> 0.5"')
    try:
        return Comparison(match[1], _finite(float(match[2])))
    except ValueError:
        raise ValueError(f"expected a number after {match[1]}") from None


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("expected a finite number")
    return float(value)


def _comparisons(value: object) -> tuple[Comparison, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        raise ValueError("expected at least one comparison")
    return tuple(parse_comparison(item) for item in items)


def _written(value: Sequence[Comparison] | None) -> list[str] | None:
    return None if value is None else [str(item) for item in value]


_ONE: Final[dict[str, Any]] = {
    "anyOf": [{"type": "number"}, {"type": "string", "pattern": "^\\s*(>=|<=|==|!=|>|<)"}]
}

Comparisons = Annotated[
    Any,
    BeforeValidator(_comparisons),
    PlainSerializer(_written, when_used="json"),
    WithJsonSchema({"anyOf": [*_ONE["anyOf"], {"type": "array", "items": _ONE}]}),
]
"""One comparison or a list that must all hold: a tuple of :class:`Comparison`."""


def unmet(value: float, comparisons: Sequence[Comparison]) -> str | None:
    """What was expected, such as ``> 0.5``, if not all hold; None if they do."""
    if all(one.holds(value) for one in comparisons):
        return None
    return " and ".join(str(one) for one in comparisons)
