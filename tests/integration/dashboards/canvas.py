"""What panels are painted with: a canvas of SVG, colours, and values in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

Json = dict[str, Any]
Answers = list[tuple[Json, list[Json]]]
"""Each target with its series."""

COLORS: Final = {
    "green": "#3f8f3f", "orange": "#e08a1e", "red": "#d03a4c", "blue": "#3274d9",
    "purple": "#8f5bbd", "#8e8e8e": "#b5b5b5",
}  # fmt: skip
PALETTE: Final = (
    "#3274d9",
    "#e08a1e",
    "#3f8f3f",
    "#d03a4c",
    "#8f5bbd",
    "#1f9e9e",
    "#a0772d",
    "#666",
)
INK: Final = "#24292e"
FAINT: Final = "#d8dde3"
_LABEL: Final = re.compile(r"\{\{(\w+)\}\}")


class Canvas:
    """A rectangle of an SVG to draw on; its corner is 0, 0."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.parts: list[str] = []

    def text(self, x: float, y: float, text: str, size: float = 11, **more: str) -> None:
        given = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in more.items())
        fill = "" if "fill" in more else f' fill="{INK}"'
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}"{fill}{given}>{escape(text)}</text>'
        )

    def box(self, x: float, y: float, w: float, h: float, fill: str, **more: str) -> None:
        given = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in more.items())
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" height="{h:.1f}" '
            f'fill="{fill}"{given}/>'
        )

    def path(self, d: str, color: str, dashed: bool = False) -> None:
        dash = ' stroke-dasharray="8 6"' if dashed else ""
        self.parts.append(f'<path d="{d}" fill="none" stroke="{color}" stroke-width="1.5"{dash}/>')

    def line(self, x1: float, y1: float, x2: float, y2: float, color: str = FAINT) -> None:
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'
        )


def shown(value: float, unit: str, now: float, decimals: int | None = None) -> str:
    """A value in words; ``now`` is a Unix time."""
    words = {
        "s": lambda: seconds(value),
        "percentunit": lambda: f"{100 * value:.3g} %",
        "bytes": lambda: f"{value / 2**20:.0f} MiB",
        "cpm": lambda: f"{value:.3g} cpm",
        "dateTimeFromNow": lambda: f"{seconds(now - value / 1000)} ago",
        "dateTimeAsIso": lambda: datetime.fromtimestamp(value / 1000, UTC).isoformat(
            " ", "seconds"
        ),
    }
    if unit in words:
        return words[unit]()
    return f"{value:.{decimals}f}" if decimals is not None else f"{value:.4g}"


def seconds(value: float) -> str:
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if abs(value) >= 2 * size:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g} s" if abs(value) >= 1 or not value else f"{1000 * value:.3g} ms"


def legend(target: Json, labels: dict[str, str]) -> str:
    """A series' name."""
    form: str = target.get("legendFormat", "")
    named = _LABEL.sub(lambda match: str(labels.get(match[1], "")), form)
    return named or str(labels or "")


def hue(name: str) -> str:
    """A colour of a panel as it is painted."""
    return COLORS.get(name, name)


def color_of(value: float, defaults: Json) -> str:
    """By the mappings, else by the steps."""
    if word := mapped(value, defaults):
        return hue(word["color"])
    found = "green"
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            found = step["color"]
    return hue(found)


def mapped(value: float, defaults: Json) -> Json | None:
    """The word for a value, if it has one."""
    for one in defaults["mappings"]:
        if one["type"] == "value" and f"{value:g}" in one["options"]:
            found: Json = one["options"][f"{value:g}"]
            return found
    return None
