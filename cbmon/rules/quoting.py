"""Text from the configuration inside PromQL, regular expressions, Go templates and YAML.

Rule: quoted from the inside out; each function knows one language.

Sources: Prometheus' "Querying basics" (string literals), RE2's syntax page, Go's text/template,
YAML 1.2 chapter 5.7 (escaped characters).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final

from cbmon.config.units import format_duration

_META: Final = re.compile(r"([\\.+*?()|\[\]{}^$])")
_SHORT: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def promql(text: str) -> str:
    """A string literal of PromQL; Alertmanager's matchers read it alike."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def regex(text: str) -> str:
    """A regular expression of RE2 that matches the text and nothing else."""
    return _META.sub(r"\\\1", text)


def go_template(text: str) -> str:
    """A Go template that gives the text: no ``{{`` in it begins an action."""
    return text.replace("{{", '{{ "{{" }}')


def yaml(text: str) -> str:
    """A double-quoted YAML scalar on one line."""
    return '"' + "".join(map(_yaml_character, text)) + '"'


def _yaml_character(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def number(value: float) -> str:
    """A number literal of PromQL, as short as it can be."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def duration(seconds: float) -> str:
    """A duration of PromQL and Alertmanager: whole milliseconds, rounded up, at least one."""
    return format_duration(max(1, math.ceil(round(seconds * 1000, 3))) / 1000)


def equal(label: str, value: str) -> str:
    """A matcher for one value."""
    return f"{label}={promql(value)}"


def among(label: str, values: Iterable[str], *, but: bool = False) -> str:
    """A matcher for any of the values, or with ``but`` for none of them; they are sorted."""
    pattern = "|".join(regex(value) for value in sorted(values))
    return f"{label}{'!~' if but else '=~'}{promql(pattern)}"
