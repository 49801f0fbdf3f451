"""What all dashboards have in common: place of the panels, variables, annotations, links.

Rule: uids never change, and no dashboard knows a data source by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cbmon import __version__
from cbmon.dashboards.panels import SOURCE
from cbmon.dashboards.queries import Scope
from cbmon.dashboards.words import GREY, Json
from cbmon.rules.plan import Plan
from cbmon.rules.quoting import duration
from cbmon.rules.render import base_url

SCHEMA: Final = 39
"""Of Grafana 10.4 and later; newer ones read it too."""
TAG: Final = "cbmon"
MADE_BY: Final = "Made by `cbmon dashboards`: change the configuration and render again."
WIDTH: Final = 24
KEPT: Final = (
    "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}"
)


@dataclass(frozen=True, slots=True)
class Line:
    """Panels side by side, of one height; ``widths`` of 24, all alike without them."""

    height: int
    panels: Sequence[Json]
    widths: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the lines below it."""

    title: str
    lines: Sequence[Line]


def placed(sections: Iterable[Section], interval: str) -> list[Json]:
    """The panels in their places, numbered from 1; ``interval`` is the shortest step."""
    found: list[Json] = []
    top = 0
    for section in sections:
        heading = {"collapsed": False, "panels": [], "title": section.title, "type": "row"}
        found.append({**heading, "gridPos": _place(0, top, WIDTH, 1)})
        top += 1
        for line in section.lines:
            found += _line(line, top, interval)
            top += line.height
    return [{**panel, "id": index} for index, panel in enumerate(found, 1)]


def _line(line: Line, top: int, interval: str) -> list[Json]:
    count = len(line.panels)
    widths = line.widths or [WIDTH // count + (index < WIDTH % count) for index in range(count)]
    left, found = 0, []
    for panel, width in zip(line.panels, widths, strict=True):
        found.append(
            {**panel, "gridPos": _place(left, top, width, line.height), "interval": interval}
        )
        left += width
    return found


def _place(left: int, top: int, width: int, height: int) -> Json:
    return {"h": height, "w": width, "x": left, "y": top}


def variable(name: str, label: str, query: str, *, many: bool = True) -> Json:
    """A variable that is filled by a query; with ``many`` several or all may be chosen."""
    found: Json = {
        "datasource": SOURCE,
        "definition": query,
        "hide": 0,
        "includeAll": many,
        "label": label,
        "multi": many,
        "name": name,
        "query": {"qryType": 1, "query": query, "refId": f"variable-{name}"},
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
        "type": "query",
    }
    if many:
        everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
        return {**found, "allValue": ".+", "current": everything}
    return found


def _source() -> Json:
    return {
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
        "type": "datasource",
    }


def moments(name: str, expr: str, color: str, text: str, tags: str = "") -> Json:
    """An annotation at the moments that are the values of a query, in milliseconds."""
    return {
        "datasource": SOURCE,
        "enable": True,
        "expr": expr,
        "hide": False,
        "iconColor": color,
        "name": name,
        "step": "60s",
        "tagKeys": tags,
        "target": {"expr": expr, "interval": "60s", "refId": name},
        "textFormat": text,
        "titleFormat": name,
        "useValueForTime": True,
    }


def transitions(scope: Scope, color: str = GREY, *states: str) -> Json:
    """When breakers moved, and to which state; to one of ``states`` if there are any.

    It is the moment the breaker noted itself, not that of the scrape that saw it.
    """
    only = [f'state=~"{"|".join(states)}"'] if states else []
    last = scope.breaker("last_transition_timestamp_seconds")
    expr = (
        f"1000 * ({scope.breaker('status', *only)} == 1)\n"
        f"* ignoring (state) group_left () ({last} > 0)"
    )
    return moments("Transitions", expr, color, "{{component}}: {{state}}", "category,component")


def link(title: str, url: str, *, new: bool = False) -> Json:
    """A link from a value or a panel."""
    return {"targetBlank": new, "title": title, "url": url}


def to(uid: str, title: str, **chosen: str) -> Json:
    """A link from a value to another dashboard, with the same time, source and daemon."""
    more = "".join(f"&var-{name}={value}" for name, value in chosen.items())
    return link(title, f"/d/{uid}?{KEPT}{more}")


def page(plan: Plan, title: str, path: str) -> Json:
    """A link to cbmon itself."""
    return link(title, site(plan) + path, new=True)


def site(plan: Plan) -> str:
    """Where the daemon's pages are, without Grafana's variables in it."""
    return base_url(plan.config).replace("$", "%24")


def dashboard(
    plan: Plan,
    *,
    uid: str,
    title: str,
    about: str,
    variables: Sequence[Json],
    annotations: Sequence[Json],
    sections: Sequence[Section],
    links: Sequence[tuple[str, str]] = (),
) -> Json:
    """A whole dashboard; ``links`` are titles and paths on cbmon's own pages."""
    interval = duration(plan.alerting.scrape_interval)
    made = f"cbmon {__version__}, configuration {plan.config.hash}. {MADE_BY}"
    own = [_page_link(label, site(plan) + path) for label, path in (("cbmon's page", "/"), *links)]
    return {
        "annotations": {"list": [_grafanas(), *annotations]},
        "description": f"{about} {made}",
        "editable": False,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": [_siblings(), *own],
        "panels": placed(sections, interval),
        "refresh": "1m",
        "schemaVersion": SCHEMA,
        "tags": [TAG],
        "templating": {"list": [_source(), *variables]},
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "timezone": "",
        "title": title,
        "uid": uid,
        "weekStart": "",
    }


def _grafanas() -> Json:
    return {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }


def _siblings() -> Json:
    return {
        **_any_link("cbmon", "dashboards"),
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "tags": [TAG],
        "url": "",
    }


def _page_link(title: str, url: str) -> Json:
    return {**_any_link(title, "link"), "icon": "external link", "targetBlank": True, "url": url}


def _any_link(title: str, kind: str) -> dict[str, Any]:
    return {
        "asDropdown": False,
        "icon": "",
        "includeVars": False,
        "keepTime": False,
        "tags": [],
        "targetBlank": False,
        "title": title,
        "tooltip": "",
        "type": kind,
    }


def daemon_variables(scope: Scope, metric: str) -> list[Json]:
    """Which job and which instance, as far as they have a metric."""
    job = scope.variable(metric, "job")
    instance = scope.variable(metric, "instance", 'job=~"$job"')
    return [variable("job", "Job", job), variable("instance", "Instance", instance)]
