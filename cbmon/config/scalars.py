"""What a plain (unquoted) scalar means.

Rule: YAML 1.2's core schema and nothing more. Only true and false are booleans; a number that
another reader takes for something else (010, 1:30, 1_000, 0x1F) is refused, not guessed.
"""

from __future__ import annotations

import math
import re
from typing import Final

_SAFE_START: Final = frozenset("0123456789+-.~nNtTfFyYoO")
_CONSTANTS: Final[dict[str, object]] = {
    "null": None,
    "~": None,
    "true": True,
    "false": False,
}
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_OTHER_BOOLEANS: Final = re.compile(r"(?i:yes|no|on|off|true|false|null)")
_SEXAGESIMAL: Final = re.compile(r"[-+]?[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?")
_OCTAL: Final = re.compile(r"[-+]?0[0-9_]+")
_OTHER_NUMBERS: Final = re.compile(r"[-+]?(?:0[xXoObB][0-9a-fA-F_]+|[0-9][0-9_]*_[0-9_]*)")
_NOT_FINITE: Final = re.compile(r"(?i:[-+]?\.(?:inf|nan))")


class AmbiguousError(ValueError):
    """A plain scalar that YAML readers disagree about; the message says how to write it."""


def resolve(text: str) -> object:
    """None, a boolean, a number or the text itself; AmbiguousError when readers disagree."""
    if not text:
        return None
    if text[0] not in _SAFE_START:
        return str(text)
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    _refuse_ambiguous(text)
    return _finite(text) if _FLOAT.fullmatch(text) else str(text)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise AmbiguousError(f"{text[:20]} is not a finite number")
    return number


def _refuse_ambiguous(text: str) -> None:
    if _OTHER_BOOLEANS.fullmatch(text):
        raise AmbiguousError(_boolean_advice(text))
    if _OCTAL.fullmatch(text):
        plain = text.replace("_", "").lstrip("+-0") or "0"
        raise AmbiguousError(
            f'{text} is octal to some readers of YAML; write {plain}, or "{text}" for the text'
        )
    if _SEXAGESIMAL.fullmatch(text):
        raise AmbiguousError(
            f'{text} is a number in base 60 to some readers of YAML; write "{text}" for the text, '
            "or a duration such as 1m30s"
        )
    if _OTHER_NUMBERS.fullmatch(text):
        raise AmbiguousError(
            f'{text} is a number to some readers of YAML; write it in decimal, or "{text}" '
            "for the text"
        )
    if _NOT_FINITE.fullmatch(text):
        raise AmbiguousError(f"{text} is not a finite number")


def _boolean_advice(text: str) -> str:
    word = {"yes": "true", "on": "true", "no": "false", "off": "false"}
    meant = word.get(text.lower(), text.lower())
    return f'{text} is not {meant} here; write {meant}, or "{text}" for the text'
