"""Checks of the values that a layer is made with.

Rule: a refused value is named together with the bound that it breaks; NaN is never in range.
"""

from __future__ import annotations

from typing import cast

from cbmon.breaker.validation import LONGEST


def positive(field: str, value: float) -> float:
    """Seconds: ``value`` if it is a number above 0 and at most :data:`LONGEST`, else ValueError."""
    if not (is_number(value) and 0.0 < value <= LONGEST):
        raise ValueError(f"{field}: got {value!r}, expected a number > 0{_and_not_too_long(value)}")
    return value


def not_negative(field: str, value: float) -> float:
    """The same, and 0 is allowed."""
    if not (is_number(value) and 0.0 <= value <= LONGEST):
        raise ValueError(
            f"{field}: got {value!r}, expected a number >= 0{_and_not_too_long(value)}"
        )
    return value


def _and_not_too_long(value: object) -> str:
    long = is_number(value) and cast("float", value) > LONGEST
    return f" and <= {LONGEST:.0f}" if long else ""


def at_least(field: str, value: object, least: int) -> int:
    """``value`` if it is an int and not below ``least``, else ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{field}: got {value!r}, expected an integer >= {least}")
    return value


def exception_classes(field: str, value: object) -> tuple[type[Exception], ...]:
    """A class or a tuple of classes as a tuple; TypeError for anything else in it."""
    kinds = value if isinstance(value, tuple) else (value,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(f"{field}: got {kind!r}, expected a subclass of Exception")
    return kinds


def is_number(value: object) -> bool:
    """Whether it is an int or a float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)
