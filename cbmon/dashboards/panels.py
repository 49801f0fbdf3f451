"""Panels as Grafana reads them.

Rule: a panel says what it shows (title, description, unit) and asks the chosen data source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cbmon.dashboards.words import GREEN, Json

SOURCE: Final[Json] = {"type": "prometheus", "uid": "$datasource"}
Steps = Sequence[tuple[float | None, str]]
"""From which value on which colour; the first from None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query. ``instant``: its value now instead of its course; ``of`` is its letter."""

    expr: str
    legend: str = ""
    instant: bool = False
    heatmap: bool = False
    of: str = ""

    def as_json(self, index: int, *, table: bool = False) -> Json:
        """As a panel's target."""
        form = "table" if table else "heatmap" if self.heatmap else "time_series"
        found: Json = {
            "datasource": SOURCE,
            "editorMode": "code",
            "expr": self.expr,
            "format": form,
            "instant": self.instant,
            "range": not self.instant,
            "refId": self.of or chr(ord("A") + index),
        }
        return {**found, "legendFormat": self.legend} if self.legend else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How values are shown. Without ``steps`` everything has one colour."""

    unit: str = "none"
    decimals: int | None = None
    low: float | None = None
    high: float | None = None
    steps: Steps = ()
    mappings: Sequence[Json] = ()
    nothing: str = ""
    """What stands there when there is no value."""
    links: Sequence[Json] = ()
    custom: Mapping[str, object] | None = None
    overrides: Sequence[Json] = ()
    palette: bool = False
    """A colour for each series instead of one by value."""

    def as_json(self) -> Json:
        """As a panel's fieldConfig."""
        steps = [{"color": color, "value": at} for at, color in self.steps or ((None, GREEN),)]
        optional = {
            "decimals": self.decimals,
            "min": self.low,
            "max": self.high,
            "noValue": self.nothing or None,
        }
        defaults: Json = {
            "color": {"mode": "palette-classic" if self.palette else "thresholds"},
            "custom": dict(self.custom or {}),
            "links": list(self.links),
            "mappings": list(self.mappings),
            "thresholds": {"mode": "absolute", "steps": steps},
            "unit": self.unit,
            **{key: value for key, value in optional.items() if value is not None},
        }
        return {"defaults": defaults, "overrides": list(self.overrides)}


def stat(title: str, about: str, expr: str, look: Look, *, colored: bool = False) -> Json:
    """One number, now; ``colored`` fills its background with the colour of its value."""
    options = {
        "colorMode": "background" if colored else "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": _last(),
        "showPercentChange": False,
        "textMode": "value",
        "wideLayout": True,
    }
    return _panel("stat", title, about, [Query(expr=expr, instant=True)], look, options=options)


def chart(
    title: str, about: str, queries: Sequence[Query], look: Look, *, stacked: str = ""
) -> Json:
    """The course of numbers; ``stacked`` as ``areas`` or ``bars``."""
    custom = {
        "drawStyle": "bars" if stacked == "bars" else "line",
        "fillOpacity": 60 if stacked else 0,
        "lineInterpolation": "stepAfter" if stacked == "areas" else "linear",
        "lineWidth": 1,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
        **(look.custom or {}),
    }
    options = {
        "legend": {
            "calcs": ["lastNotNull", "max"],
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    shown = Look(
        unit=look.unit,
        decimals=look.decimals,
        low=0 if look.low is None else look.low,
        high=look.high,
        steps=look.steps,
        mappings=look.mappings,
        links=look.links,
        custom=custom,
        overrides=look.overrides,
        palette=True,
    )
    return _panel("timeseries", title, about, queries, shown, options=options)


def timeline(
    title: str, about: str, query: Query, mappings: Sequence[Json], links: Sequence[Json]
) -> Json:
    """States over time, a row for each series, with colour and word."""
    look = Look(
        mappings=mappings,
        links=links,
        custom={"fillOpacity": 80, "insertNulls": False, "lineWidth": 0, "spanNulls": False},
    )
    options = {
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "mergeValues": True,
        "perPage": 40,
        "rowHeight": 0.85,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return _panel("state-timeline", title, about, [query], look, options=options)


def ranking(title: str, about: str, query: Query, look: Look) -> Json:
    """Bars by size, now."""
    options = {
        "displayMode": "basic",
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "left",
        "orientation": "horizontal",
        "reduceOptions": _last(),
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    }
    return _panel("bargauge", title, about, [query], look, options=options)


def heatmap(title: str, about: str, query: Query) -> Json:
    """How a histogram changes over time; the buckets' bounds are seconds."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"unit": "short"},
        "color": {
            "exponent": 0.5,
            "fill": "dark-orange",
            "mode": "scheme",
            "reverse": False,
            "scale": "exponential",
            "scheme": "Oranges",
            "steps": 64,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "showColorScale": True, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": "s"},
    }
    return _panel("heatmap", title, about, [query], Look(unit="short"), options=options)


def table(
    title: str,
    about: str,
    queries: Sequence[Query],
    look: Look,
    *,
    columns: Mapping[str, str],
    sort: str = "",
    hidden: Sequence[str] = (),
) -> Json:
    """A table of what is now; ``columns`` are the fields in their order with their headings.

    ``sort`` is the heading to sort by, the largest first.
    """
    options: Json = {
        "cellHeight": "sm",
        "footer": {"countRows": False, "reducer": ["sum"], "show": False},
        "showHeader": True,
        "sortBy": [{"desc": True, "displayName": sort}] if sort else [],
    }
    arrange = {
        "id": "organize",
        "options": {
            "excludeByName": dict.fromkeys(("Time", *hidden), True),
            "includeByName": {},
            "indexByName": {name: index for index, name in enumerate(columns)},
            "renameByName": dict(columns),
        },
    }
    made = _panel("table", title, about, queries, look, options=options, table=True)
    merge = [{"id": "merge", "options": {}}] if len(queries) > 1 else []
    return {**made, "transformations": [*merge, arrange]}


def override(name: str, **properties: object) -> Json:
    """Another look for one column or series; ``__`` in a property stands for a dot."""
    found = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": found}


def dashed(pattern: str, color: str) -> Json:
    """Series that are limits: thin and dashed."""
    style = {"dash": [8, 6], "fill": "dash"}
    return {
        "matcher": {"id": "byRegexp", "options": pattern},
        "properties": [
            {"id": "custom.lineStyle", "value": style},
            {"id": "color", "value": {"fixedColor": color, "mode": "fixed"}},
            {"id": "custom.showPoints", "value": "never"},
        ],
    }


def _last() -> Json:
    return {"calcs": ["lastNotNull"], "fields": "", "values": False}


def _panel(
    kind: str,
    title: str,
    about: str,
    queries: Sequence[Query],
    look: Look,
    *,
    options: Json,
    table: bool = False,
) -> Json:
    return {
        "datasource": SOURCE,
        "description": about,
        "fieldConfig": look.as_json(),
        "options": options,
        "targets": [query.as_json(index, table=table) for index, query in enumerate(queries)],
        "title": title,
        "type": kind,
    }
