"""Field types with Go's meaning: texts, flags, numbers, durations, sizes, patterns, secrets.

Rule: what blackbox_exporter refuses to load is refused, and what it loads is loaded with the same
value; each type gets a scalar's text and nothing that was guessed from it.

Sources: Go's time.ParseDuration and strconv.ParseInt, the units of alecthomas/units, and the
decoder of go.yaml.in/yaml/v3.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer

from cbmon.blackbox.scalars import Plain
from cbmon.config.fields import Regex, Secret
from cbmon.config.units import format_duration
from cbmon.config.words import kind, shown

_TRUE: Final = frozenset({"true", "True", "TRUE", "y", "Y", "yes", "on"})
_FALSE: Final = frozenset({"false", "False", "FALSE", "n", "N", "no", "off"})
_PART: Final = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_DURATION: Final = re.compile(rf"([-+]?)((?:{_PART}(?:ns|us|µs|μs|ms|s|m|h))+|0)")
_DURATION_PART: Final = re.compile(rf"({_PART})(ns|us|µs|μs|ms|s|m|h)")
_SECONDS: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip
_LARGEST: Final = 2**63 - 1
_SIZE: Final = re.compile(rf"([-+]?)((?:{_PART}[A-Za-z]+)+|0)")
_SIZE_PART: Final = re.compile(rf"({_PART})([A-Za-z]+)")
_POWERS: Final = {name: 1024 ** (index + 1) for index, name in enumerate("KMGTPE")}


def _text(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    raise ValueError(f"expected text, got {kind(value)}")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and (value in _TRUE or value in _FALSE):
        return value in _TRUE
    raise ValueError(f"expected true or false, got {shown(value)}")


def _number(value: object) -> int:
    if type(value) is int:
        return value
    if isinstance(value, Plain):
        try:
            return _integer(value.replace("_", ""))
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"expected a whole number, got {shown(value)}")


def _integer(text: str) -> int:
    """As Go reads it: 0x1F, 0o17, 017 and 0b1 too, and a float without its fraction."""
    bare = text.lstrip("+-")
    if re.fullmatch(r"0[0-7]+", bare):
        found = int(bare, 8)
    elif re.fullmatch(r"(?i:[0-9]*\.[0-9]*(e[-+]?[0-9]+)?|[0-9]+e[-+]?[0-9]+)", bare):
        found = int(float(bare))
    else:
        found = int(bare, 0)
    if found > _LARGEST:
        raise OverflowError
    return -found if text.startswith("-") else found


def _duration(value: object) -> float:
    if isinstance(value, float):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or value == "0":
        hint = "such as 5s, 1m30s or 500ms"
        raise ValueError(f"expected a duration with a unit {hint}, got {shown(value)}")
    total = sum(float(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(match[2]))
    if total > _LARGEST / 1e9:
        raise ValueError(f"expected a duration below 292 years, got {shown(value)}")
    return -total if match[1] == "-" else total


def _size(value: object) -> int:
    if type(value) is int:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected a size with a unit such as 512B or 10MB, got {shown(value)}")
    total = sum(float(n) * _factor(unit) for n, unit in _SIZE_PART.findall(match[2]))
    if total > _LARGEST:
        raise ValueError(f"expected a size below 8EiB, got {shown(value)}")
    return -int(total) if match[1] == "-" else int(total)


def _factor(unit: str) -> int:
    """K is 1024 with and without the i, as blackbox_exporter has it."""
    if unit == "B":
        return 1
    if unit[0] in _POWERS and unit[1:] in {"B", "iB"}:
        return int(_POWERS[unit[0]])
    raise ValueError(f"expected a unit such as B, KB or MiB, got {shown(unit)}")


def _pattern(value: object) -> Regex:
    return value if isinstance(value, Regex) else Regex(_text(value))


def _secret(value: object) -> Secret:
    return value if isinstance(value, Secret) else Secret(_text(value))


def _path(value: object) -> Path:
    return value if isinstance(value, Path) else Path(_text(value))


def _hidden(value: Secret) -> str:
    return repr(value) if value.reveal() else ""


Text = Annotated[str, BeforeValidator(_text)]
"""Any scalar, as it is written."""
Flag = Annotated[bool, BeforeValidator(_flag)]
Number = Annotated[int, BeforeValidator(_number)]
GoDuration = Annotated[
    float, BeforeValidator(_duration), PlainSerializer(format_duration, str, when_used="json")
]
"""Seconds; a bare number is refused."""
BinarySize = Annotated[int, BeforeValidator(_size)]
"""Bytes; KB is 1024."""
Pattern = Annotated[
    Any, BeforeValidator(_pattern), PlainSerializer(lambda found: found.pattern, str)
]
"""A :class:`cbmon.config.fields.Regex`."""
Hidden = Annotated[Any, BeforeValidator(_secret), PlainSerializer(_hidden, str)]
"""A :class:`cbmon.config.fields.Secret`, which may be empty."""
File = Annotated[Any, BeforeValidator(_path), PlainSerializer(str, str)]
"""A path, relative to the directory that the daemon was started in."""
Texts = tuple[Text, ...]
Patterns = tuple[Pattern, ...]
