"""From the daemon's exposition to single samples.

Rule: reads what the daemon renders (text format 0.0.4, no time stamps), not whatever others write;
a series is known by its own text, so that one that was read before costs a look-up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_LABEL: Final = re.compile(rb'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_SHARP: Final = ord("#")

NAME: Final = "__name__"


def samples(exposition: bytes) -> Iterator[tuple[bytes, float]]:
    """Every series as it is written, with its value."""
    for line in exposition.split(b"\n"):
        if line and line[0] != _SHARP:
            series, _, value = line.rpartition(b" ")
            yield series, float(value)


def name_of(series: bytes) -> str:
    """The metric's name."""
    return series.partition(b"{")[0].decode()


def labels_of(series: bytes) -> dict[str, str]:
    """The labels of a series, its name not among them."""
    return {
        name.decode(): _unescaped(value).decode("utf-8", "replace")
        for name, value in _LABEL.findall(series.partition(b"{")[2])
    }


def _unescaped(value: bytes) -> bytes:
    if b"\\" not in value:
        return value
    return _ESCAPED.sub(lambda match: b"\n" if match[1] == b"n" else match[1], value)
