"""Badges: a label and a value as a small picture that any page can show.

Rule: pure; everything is escaped, and its width is counted, not measured.
"""

from __future__ import annotations

from html import escape
from typing import Final

COLOURS: Final = {
    "good": "#1a7f46",
    "warn": "#8f5a00",
    "bad": "#c01f2e",
    "off": "#6b3fc0",
    "unknown": "#5b6170",
}
LABEL: Final = "#3b4250"
PAD: Final = 7
LETTER: Final = 6.4
"""Width of a letter of 11 px on average; the picture stretches the text to what was counted."""
NARROW: Final = frozenset("iIjl.,:;|!'()[] ftr1-")
LONGEST: Final = 60


def badge(label: str, value: str, colour: str) -> str:
    """The picture as SVG; ``colour`` is one of COLOURS."""
    label, value = _plain(label), _plain(value)
    left, right = _width(label) + 2 * PAD, _width(value) + 2 * PAD
    whole = left + right
    name = escape(f"{label}: {value}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="20" role="img" '
        f'aria-label="{name}"><title>{name}</title>'
        f'<clipPath id="r"><rect width="{whole}" height="20" rx="4"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="{LABEL}"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{COLOURS[colour]}"/></g>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{_text(label, PAD, left - 2 * PAD)}{_text(value, left + PAD, right - 2 * PAD)}</g></svg>"
    )


def _plain(text: str) -> str:
    """What XML can hold: it knows no control characters."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:LONGEST])


def _text(text: str, x: int, width: int) -> str:
    return f'<text x="{x}" y="14" textLength="{width}">{escape(text)}</text>'


def _width(text: str) -> int:
    return max(8, round(sum(LETTER * (0.65 if letter in NARROW else 1.1) for letter in text)))
