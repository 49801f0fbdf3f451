"""The fields that may be set while the daemon runs, and how a value of each is written.

Rule: everything a policy holds besides code. A value means the same in a JSON body and in a
column of the database; ``null`` there is the value None, an empty column sets nothing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from cbmon.breaker import BreakerPolicy
from cbmon.breaker.validation import BOUNDS
from cbmon.config.units import MAX_DURATION, format_duration, parse_duration, parse_ratio
from cbmon.config.words import suggestion
from cbmon.settings.problems import Problem

CODE: Final = frozenset({"expected_exceptions", "ignored_exceptions", "is_failure"})
FIELDS: Final = tuple(
    field.name for field in dataclasses.fields(BreakerPolicy) if field.name not in CODE
)
ALIASES: Final[Mapping[str, str]] = {"timeout_seconds": "recovery_timeout"}
DURATIONS: Final = frozenset(
    {
        "window_seconds",
        "slow_call_seconds",
        "recovery_timeout",
        "max_recovery_timeout",
        "half_open_max_wait",
        "call_timeout",
        "gradual_return_seconds",
    }
)
RATIOS: Final = frozenset(
    {
        "failure_rate_threshold",
        "slow_call_rate_threshold",
        "recovery_jitter",
        "adaptive_floor",
        "adaptive_ceiling",
        "adaptive_smoothing",
    }
)
SWITCHES: Final[Mapping[str, bool]] = {
    "true": True, "t": True, "1": True, "yes": True, "on": True,
    "false": False, "f": False, "0": False, "no": False, "off": False,
}  # fmt: skip
NULL: Final = "null"
LONGEST: Final = format_duration(MAX_DURATION)
MOST_HINTS: Final = 50
"""Names that are compared with all that are known: a body may hold thousands."""
LARGEST: Final = 10**300
"""An int beyond it may be no float; the policy refuses it as it is."""

Reader = Callable[[str, Any], Any]


def from_json(name: str, value: Any) -> Any:
    """The policy's value for a JSON one. ValueError says what was expected.

    Durations may be texts such as ``90s``, ratios texts such as ``40%``.
    """
    if isinstance(value, str) and name in DURATIONS:
        return _told(parse_duration, value, "seconds, or a duration such as 500ms, 30s or 1h30m")
    if isinstance(value, str) and name in RATIOS:
        return _told(parse_ratio, value, "a ratio such as 0.4 or 40%")
    if isinstance(value, list) and name == "adaptive_rules":
        return tuple(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _as_number(name, value)
    return value


def from_text(name: str, text: str) -> Any:
    """The policy's value for the text of a column. ValueError says what was expected."""
    plain = text.strip()
    if plain.lower() == NULL:
        return None
    if name == "kind":
        return plain
    if name == "auto_disable_enabled":
        return SWITCHES.get(plain.lower(), plain)
    if name == "adaptive_rules":
        return _rules(plain)
    if name in DURATIONS or name in RATIOS:
        return from_json(name, plain)
    return _number(plain, whole=BOUNDS[name].type is int)


def to_text(value: Any) -> str:
    """A policy's value as a column holds it; :func:`from_text` gives it back."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def as_json(value: Any) -> Any:
    """A policy's value as JSON has it; :func:`from_json` gives it back."""
    return list(value) if isinstance(value, tuple) else value


def read(given: Mapping[str, Any], reader: Reader) -> tuple[dict[str, Any], list[Problem]]:
    """The settings that ``given`` means, and what of it cannot be read."""
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for written, value in given.items():
        name = ALIASES.get(written, written)
        if name not in FIELDS:
            hint = suggestion(written, FIELDS) if len(problems) < MOST_HINTS else ""
            expected = f"the name of a setting{hint}"
            problems.append(Problem(field=written, value=value, expected=expected))
        elif name in found:
            expected = f"only one of {written} and {name}"
            problems.append(Problem(field=written, value=value, expected=expected))
        else:
            try:
                found[name] = reader(name, value)
            except ValueError as error:
                problems.append(Problem(field=written, value=value, expected=str(error)))
    return found, problems


def _as_number(name: str, value: float) -> float:
    """The same number in the type that the policy has; what is out of bounds is its business."""
    if name in DURATIONS and MAX_DURATION < value < float("inf"):
        raise ValueError(f"at most {LONGEST}")
    whole = name not in BOUNDS or BOUNDS[name].type is int
    return value if whole or abs(value) > LARGEST else float(value)


def _told(parse: Callable[[object], float], text: str, expected: str) -> float:
    try:
        return parse(text)
    except ValueError:
        raise ValueError(expected) from None


def _number(text: str, *, whole: bool) -> float:
    expected = "a whole number" if whole else "a number"
    try:
        number = float(text)
        return int(text) if whole and "." not in text else number
    except ValueError:
        raise ValueError(expected) from None


def _rules(text: str) -> tuple[Any, ...]:
    if text.startswith("["):
        try:
            return tuple(json.loads(text))
        except (ValueError, TypeError):
            raise ValueError('rules such as "error_rate,latency"') from None
    return tuple(part.strip() for part in text.split(","))
