"""Draws panels as SVG from the answers to their queries, much as Grafana would.

Rule: what is drawn is what the panel says: its unit, its mappings, its steps, its legend.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from tests.integration.dashboards.canvas import (
    COLORS,
    INK,
    PALETTE,
    Answers,
    Canvas,
    Json,
    color_of,
    legend,
    mapped,
    seconds,
    shown,
)


def _points(series: Json) -> list[tuple[float, float]]:
    return [(float(at), float(value)) for at, value in series["values"]]


def _value(series: Json) -> float:
    return float(series["value"][1])


def stat(canvas: Canvas, panel: Json, answers: Answers, span: tuple[float, float]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    found = answers[0][1]
    color, text = "#888", defaults.get("noValue", "no data")
    if found:
        value = _value(found[0])
        word = mapped(value, defaults)
        text = (
            word["text"]
            if word
            else shown(value, defaults["unit"], span[1], defaults.get("decimals"))
        )
        color = color_of(value, defaults)
    filled = panel["options"]["colorMode"] == "background" and bool(found)
    if filled:
        canvas.box(0, 22, canvas.width, canvas.height - 22, color, rx="3")
    middle, low = canvas.width / 2, canvas.height / 2 + 20
    size = min(24.0, 1.7 * canvas.width / max(len(text), 1))
    canvas.text(
        middle, low, text, size, text_anchor="middle", fill="#fff" if filled else color,
        font_weight="bold",
    )  # fmt: skip


def timeline(canvas: Canvas, panel: Json, answers: Answers, span: tuple[float, float]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    rows = sorted(
        ((legend(t, s["metric"]), _points(s)) for t, found in answers for s in found),
        key=lambda row: row[0],
    )
    left, top = 190.0, 26.0
    scale = (canvas.width - left - 8) / (span[1] - span[0])
    height = (canvas.height - top - 42) / max(len(rows), 1)
    for index, (name, points) in enumerate(rows):
        y = top + index * height
        canvas.text(left - 6, y + height / 2 + 4, name[:32], 11, text_anchor="end")
        for begin, end, value in _runs(points, span[1]):
            x, w = left + (begin - span[0]) * scale, (end - begin) * scale
            canvas.box(x, y + 2, w, height - 4, color_of(value, defaults))
            text = (mapped(value, defaults) or {}).get("text", f"{value:g}")
            if w > 7 * len(text):
                canvas.text(x + 4, y + height / 2 + 4, text, 10, fill="#fff")
    _times(canvas, left, canvas.width - 8, canvas.height - 28, span)
    words = [
        w for one in defaults["mappings"] if one["type"] == "value" for w in one["options"].values()
    ]
    x = left
    for word in sorted(words, key=lambda word: word["index"]):
        canvas.box(x, canvas.height - 13, 10, 10, COLORS.get(word["color"], word["color"]))
        canvas.text(x + 14, canvas.height - 4, word["text"], 10)
        x += 30 + 6.2 * len(word["text"])


def _runs(points: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float, float]]:
    found: list[tuple[float, float, float]] = []
    for at, value in points:
        if found and found[-1][2] == value:
            found[-1] = (found[-1][0], at, value)
        else:
            if found:
                found[-1] = (found[-1][0], at, found[-1][2])
            found.append((at, at, value))
    return found


def _times(canvas: Canvas, left: float, right: float, y: float, span: tuple[float, float]) -> None:
    for index in range(7):
        at = span[0] + index * (span[1] - span[0]) / 6
        x = left + index * (right - left) / 6
        anchor = "middle" if 0 < index < 6 else "start" if index == 0 else "end"
        canvas.text(
            x, y + 11, datetime.fromtimestamp(at, UTC).strftime("%H:%M"), 10,
            text_anchor=anchor, fill="#666",
        )  # fmt: skip


def chart(canvas: Canvas, panel: Json, answers: Answers, span: tuple[float, float]) -> None:
    field = panel["fieldConfig"]
    defaults = field["defaults"]
    custom = defaults["custom"]
    series = [(legend(t, s["metric"]), _points(s)) for t, found in answers for s in found]
    series = sorted(series)[:8]
    stacked = custom["stacking"]["mode"] == "normal"
    if stacked:
        series = _stack(series)
    tops = [v for _, points in series for _, v in points if math.isfinite(v)]
    high = defaults.get("max") or 1.1 * max(tops, default=1) or 1.0
    left, right, top, bottom = 58.0, canvas.width - 8, 30.0, canvas.height - 36
    for index in range(5):
        y = bottom - index * (bottom - top) / 4
        canvas.line(left, y, right, y)
        text = shown(high * index / 4, defaults["unit"], span[1])
        canvas.text(left - 5, y + 4, text, 10, text_anchor="end", fill="#666")
    _times(canvas, left, right, bottom + 2, span)
    place = _placer(span, high, (left, right, top, bottom))
    x = left
    for index, (name, points) in reversed(list(enumerate(series))):
        color, dashed = _style(name, index, field["overrides"])
        if stacked:
            _area(canvas, points, place, bottom, color)
        else:
            canvas.path(_trace(points, place, span), color, dashed)
    for index, (name, _) in enumerate(series):
        if x < canvas.width - 60:
            color, _ = _style(name, index, field["overrides"])
            canvas.box(x, canvas.height - 12, 12, 4, color)
            canvas.text(x + 16, canvas.height - 6, name[:30], 10)
            x += 32 + 6 * len(name[:30])


Place = Callable[[float, float], tuple[float, float]]


def _placer(
    span: tuple[float, float], high: float, box: tuple[float, float, float, float]
) -> Place:
    left, right, top, bottom = box

    def place(at: float, value: float) -> tuple[float, float]:
        x = left + (at - span[0]) / (span[1] - span[0]) * (right - left)
        return x, max(top, bottom - value / high * (bottom - top))

    return place


def _trace(points: list[tuple[float, float]], place: Place, span: tuple[float, float]) -> str:
    gap = 1.5 * (span[1] - span[0]) / 180
    parts, before = [], -math.inf
    for at, value in points:
        if math.isfinite(value):
            x, y = place(at, value)
            parts.append(f"{'M' if at - before > gap else 'L'}{x:.1f} {y:.1f}")
            before = at
    return "".join(parts) or "M0 0"


def _area(
    canvas: Canvas, points: list[tuple[float, float]], place: Place, bottom: float, color: str
) -> None:
    for (at, value), (then, _) in zip(points, [*points[1:], points[-1]], strict=True):
        x, y = place(at, value)
        width = max(1.5, min(place(then, 0)[0] - x, 7))
        if bottom - y > 0.1:
            canvas.box(x, y, width, bottom - y, color)


def _stack(
    series: list[tuple[str, list[tuple[float, float]]]],
) -> list[tuple[str, list[tuple[float, float]]]]:
    total: dict[float, float] = {}
    found = []
    for name, points in series:
        for at, value in points:
            total[at] = total.get(at, 0.0) + value
        found.append((name, [(at, total[at]) for at, _ in points]))
    return found


def _style(name: str, index: int, overrides: list[Json]) -> tuple[str, bool]:
    for one in overrides:
        if one["matcher"]["id"] == "byRegexp" and re.fullmatch(one["matcher"]["options"], name):
            colors = [p["value"] for p in one["properties"] if p["id"] == "color"]
            return COLORS[colors[0]["fixedColor"]], True
    return PALETTE[index % len(PALETTE)], False


def ranking(canvas: Canvas, panel: Json, answers: Answers, span: tuple[float, float]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    target, found = answers[0]
    rows = sorted(((_value(s), legend(target, s["metric"])) for s in found), reverse=True)
    height = min(26.0, (canvas.height - 30) / max(len(rows), 1))
    most = max((value for value, _ in rows), default=1.0)
    for index, (value, name) in enumerate(rows):
        y = 28 + index * height
        canvas.text(160, y + height / 2 + 3, name[:26], 11, text_anchor="end")
        room = canvas.width - 250
        canvas.box(166, y + 2, room * value / most, height - 5, color_of(value, defaults))
        canvas.text(
            canvas.width - 8,
            y + height / 2 + 3,
            shown(value, defaults["unit"], span[1]),
            11,
            text_anchor="end",
        )


def heatmap(canvas: Canvas, panel: Json, answers: Answers, span: tuple[float, float]) -> None:
    rows = sorted((float(s["metric"]["le"]), dict(_points(s))) for s in answers[0][1])
    left, top, bottom = 58.0, 28.0, canvas.height - 30
    height = (bottom - top) / max(len(rows), 1)
    cells: list[tuple[float, int, float]] = []
    before: dict[float, float] = {}
    for index, (_, points) in enumerate(rows):
        cells += [(at, index, max(0.0, v - before.get(at, 0.0))) for at, v in points.items()]
        before = points
    most = max((count for _, _, count in cells), default=1.0) or 1.0
    width = (canvas.width - left - 8) / 180
    for at, index, count in cells:
        if count > 0.01:
            x = left + (at - span[0]) / (span[1] - span[0]) * (canvas.width - left - 8)
            share = (count / most) ** 0.5
            canvas.box(
                x - width,
                bottom - (index + 1) * height,
                width,
                height - 1,
                "#d9701a",
                fill_opacity=f"{share:.2f}",
            )
    for index, (bound, _) in enumerate(rows):
        text = "more" if math.isinf(bound) else seconds(bound)
        canvas.text(left - 5, bottom - index * height, text, 9, text_anchor="end", fill="#666")
    _times(canvas, left, canvas.width - 8, bottom + 4, span)


def table(canvas: Canvas, panel: Json, answers: Answers, span: tuple[float, float]) -> None:
    field, arrange = panel["fieldConfig"], panel["transformations"][-1]["options"]
    columns: dict[str, str] = arrange["renameByName"]
    rows: dict[tuple[str, ...], Json] = {}
    keys = [name for name in columns if not name.startswith("Value")]
    shared = [name for name in keys if all(name in s["metric"] for _, f in answers for s in f)]
    for target, found in answers:
        value = f"Value #{target['refId']}" if len(answers) > 1 else "Value"
        for series in found:
            row = rows.setdefault(tuple(series["metric"][name] for name in shared), {})
            row |= {name: series["metric"][name] for name in keys if name in series["metric"]}
            row[value] = _value(series)
    wide = canvas.width / len(columns)
    for index, heading in enumerate(columns.values()):
        canvas.text(8 + index * wide, 40, heading, 11, font_weight="bold", fill="#555")
    sort = panel["options"]["sortBy"]
    by = next(
        (name for name, heading in columns.items() if sort and heading == sort[0]["displayName"]),
        "",
    )
    ordered = (
        sorted(rows.values(), key=lambda row: -row.get(by, 0.0)) if by else list(rows.values())
    )
    room = int((canvas.height - 46) // 19)
    for number, row in enumerate(ordered[:room]):
        y = 59 + number * 19
        canvas.line(4, y - 14, canvas.width - 4, y - 14)
        for index, (name, heading) in enumerate(columns.items()):
            text, color = _cell(row.get(name, ""), heading, field, span[1])
            canvas.text(8 + index * wide, y, text[: int(wide / 6)], 11, fill=color)


def _cell(value: Any, heading: str, field: Json, now: float) -> tuple[str, str]:
    if isinstance(value, str):
        return value, INK
    own = {
        prop["id"]: prop["value"]
        for one in field["overrides"]
        if one["matcher"]["options"] == heading
        for prop in one["properties"]
    }
    defaults = {**field["defaults"], **own}
    if word := mapped(value, defaults):
        return word["text"], COLORS.get(word["color"], INK)
    colored = "custom.cellOptions" in own
    return (
        shown(value, defaults["unit"], now, defaults.get("decimals")),
        color_of(value, defaults) if colored else INK,
    )


PAINTERS: Final[dict[str, Callable[[Canvas, Json, Answers, tuple[float, float]], None]]] = {
    "stat": stat,
    "state-timeline": timeline,
    "timeseries": chart,
    "bargauge": ranking,
    "heatmap": heatmap,
    "table": table,
}
