"""Durations, ratios and sizes: read from what a person writes, and written back.

Rule: one unit inside (seconds as float, a ratio from 0 to 1, bytes), and a refusal says what was
got and what it should look like. A bare number is in the unit that is used inside.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Final

from cbmon.config.words import shown

MAX_DURATION: Final = 36_500 * 86_400.0
"""A hundred years, in seconds: more is a slip of the pen, and it would overflow timers."""
MAX_SIZE: Final = 1 << 50

_SECONDS: Final[Mapping[str, Decimal]] = {
    "d": Decimal(86_400),
    "h": Decimal(3_600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
_BYTES: Final[Mapping[str, int]] = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}
_NUMBER: Final = r"[0-9]{1,18}(?:\.[0-9]{1,9})?"
_BARE: Final = re.compile(_NUMBER)
_DURATION: Final = re.compile(
    "".join(rf"(?:(?P<{unit}>{_NUMBER}){unit}(?![a-z]))?" for unit in _SECONDS)
)
_SIZE: Final = re.compile(rf"({_NUMBER}) ?([A-Za-z]{{0,3}})")
_PERCENT: Final = re.compile(rf"({_NUMBER}) ?%")

DURATION_PATTERN: Final = (
    r"^(?=[0-9])([0-9.]+d)?([0-9.]+h)?([0-9.]+m)?([0-9.]+s)?([0-9.]+ms)?$|^[0-9.]+$|\$\{"
)
SIZE_PATTERN: Final = r"^[0-9.]+ ?([kKmMgG][iI]?)?[bB]?$|\$\{"
RATIO_PATTERN: Final = r"^[0-9.]+ ?%?$|\$\{"


def parse_duration(value: object) -> float:
    """Seconds from ``500ms``, ``30s``, ``1h30m``, ``7d`` or a bare number of seconds.

    Units are d, h, m, s and ms, each at most once and in that order. ValueError says what is
    wrong; ``inf``, ``nan``, negatives and more than a hundred years are refused, 0 is not.
    """
    seconds = _seconds(value)
    if seconds is None:
        raise ValueError(f"expected a duration such as 500ms, 30s or 1h30m, got {shown(value)}")
    if not 0 <= seconds <= MAX_DURATION:
        raise ValueError(f"expected a duration from 0 to 36500d, got {shown(value)}")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest spelling that :func:`parse_duration` reads back to the same value."""
    if seconds == 0:
        return "0s"
    text = _spelled(seconds)
    return text if parse_duration(text) == seconds else repr(float(seconds))


def parse_ratio(value: object) -> float:
    """A ratio from 0 to 1 from ``0.4`` or ``40%``."""
    number = _number(value)
    if number is None and isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        number = float(match[1]) / 100
    if number is None or math.isnan(number):
        raise ValueError(f"expected a ratio such as 0.4 or 40%, got {shown(value)}")
    if not 0 <= number <= 1:
        hint = f"; for {number:g} per cent write {number:g}%" if 1 < number <= 100 else ""
        raise ValueError(f"expected a ratio from 0 to 1, got {shown(value)}{hint}")
    return number


def parse_size(value: object) -> int:
    """Bytes from ``1MiB`` (1024²), ``1MB`` (1000²), ``512`` or ``512B``."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = Decimal(value)
    elif (
        isinstance(value, str)
        and (match := _SIZE.fullmatch(value.strip()))
        and match[2].lower() in _BYTES
    ):
        size = Decimal(match[1]) * _BYTES[match[2].lower()]
    else:
        raise ValueError(f"expected a size such as 64KiB, 1MB or 4096, got {shown(value)}")
    if not 0 <= size <= MAX_SIZE or size % 1:
        raise ValueError(f"expected a whole number of bytes up to 1024TiB, got {shown(value)}")
    return int(size)


def format_size(size: int) -> str:
    """The shortest spelling that :func:`parse_size` reads back to the same value."""
    for unit in ("GiB", "MiB", "KiB"):
        count, rest = divmod(size, _BYTES[unit.lower()])
        if count and not rest:
            return f"{count}{unit}"
    return f"{size}B"


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 1e300 else math.inf
    if isinstance(value, str) and _BARE.fullmatch(value.strip()):
        return float(value)
    return None


def _seconds(value: object) -> float | None:
    number = _number(value)
    if number is not None:
        return None if math.isnan(number) else number
    return _spelled_out(value.strip()) if isinstance(value, str) else None


@lru_cache(maxsize=1024)
def _spelled_out(text: str) -> float | None:
    """Summed in decimals, so that 1s769ms is the same number as 1.769."""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        return None
    parts = match.groupdict("0").items()
    return float(sum(Decimal(part) * _SECONDS[unit] for unit, part in parts))


def _spelled(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
