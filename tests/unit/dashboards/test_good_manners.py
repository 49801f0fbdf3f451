"""What dashboard-linter asks of a dashboard, in our own words, and a few things more.

Rule: every rule is shown to bite, on a dashboard that breaks it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cbmon.config.alerting import ALERTS
from cbmon.dashboards.render import DASHBOARDS

Json = dict[str, Any]
Rule = Callable[[Json], Iterator[str]]

UNITS = {"none", "short", "s", "cpm", "bytes", "percentunit", "dateTimeFromNow", "dateTimeAsIso"}
"""Those we use of @grafana/data's list."""
NUMBERED = {"stat", "table", "timeseries", "bargauge", "heatmap"}
SELECTOR = re.compile(r"([a-z_][a-z0-9_]*)\{((?:[^{}\"]|\"(?:[^\"\\]|\\.)*\")*)\}(\[[^\]]*\])?")
RATES = re.compile(r"\b(?:rate|irate|increase)\([a-z_]+\{")
CUMULATIVE = re.compile(r"_(?:total|bucket|sum|count)$")


def panels(dashboard: Json) -> list[Json]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets(dashboard: Json) -> Iterator[tuple[str, Json]]:
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target


def variable(dashboard: Json, name: str) -> Json:
    found = [one for one in dashboard["templating"]["list"] if one["name"] == name]
    return found[0] if len(found) == 1 else {}


def editable(dashboard: Json) -> Iterator[str]:
    if dashboard["editable"] is not False:
        yield "a provisioned dashboard can be edited, and the edit is lost"


def source(dashboard: Json) -> Iterator[str]:
    found = variable(dashboard, "datasource")
    if (found.get("type"), found.get("query"), found.get("label")) != (
        "datasource",
        "prometheus",
        "Data source",
    ):
        yield "no variable for the data source"
    if "__inputs" in dashboard or "DS_PROMETHEUS" in str(dashboard):
        yield "an input that provisioning cannot fill in"


def whose(dashboard: Json) -> Iterator[str]:
    for name in ("job", "instance"):
        found = variable(dashboard, name)
        if not found or found["label"] != name.title() or not found["multi"]:
            yield f"no variable {name} to choose several of"
        elif found["allValue"] != ".+" or found["datasource"]["uid"] != "$datasource":
            yield f"variable {name}: all is not .+ of the chosen source"


def refreshed(dashboard: Json) -> Iterator[str]:
    for one in dashboard["templating"]["list"]:
        if one["type"] == "query" and one["refresh"] != 2:
            yield f"variable {one['name']} does not follow the time shown"


def asked_well(dashboard: Json) -> Iterator[str]:
    for one in dashboard["templating"]["list"]:
        if one["type"] == "query" and one["query"]["query"] != one["definition"]:
            yield f"variable {one['name']} shows another query than it asks"


def sourced(dashboard: Json) -> Iterator[str]:
    for panel in panels(dashboard):
        for one in (panel, *panel["targets"]):
            if one["datasource"] != {"type": "prometheus", "uid": "$datasource"}:
                yield f"{panel['title']}: not the chosen source"
    for one in dashboard["annotations"]["list"]:
        if not one.get("builtIn") and one["datasource"]["uid"] != "$datasource":
            yield f"annotation {one['name']}: not the chosen source"


def described(dashboard: Json) -> Iterator[str]:
    titles = [panel["title"] for panel in panels(dashboard)]
    for panel in panels(dashboard):
        if not panel["title"] or not panel["description"].endswith("."):
            yield f"{panel['title']!r} does not say what it shows"
        if titles.count(panel["title"]) > 1:
            yield f"two panels are named {panel['title']}"


def united(dashboard: Json) -> Iterator[str]:
    for panel in panels(dashboard):
        defaults = panel["fieldConfig"]["defaults"]
        unit = defaults["unit"]
        own = [
            prop["value"]
            for one in panel["fieldConfig"]["overrides"]
            for prop in one["properties"]
            if prop["id"] == "unit"
        ]
        if not {unit, *own} <= UNITS:
            yield f"{panel['title']}: no such unit"
        if panel["type"] in NUMBERED and unit == "none" and not (defaults["mappings"] or own):
            yield f"{panel['title']}: neither a unit nor words for its values"


def asking(dashboard: Json) -> Iterator[str]:
    for panel in panels(dashboard):
        letters = [target["refId"] for target in panel["targets"]]
        if not letters or len(letters) != len(set(letters)):
            yield f"{panel['title']}: no queries, or two of one letter"
    for place, target in targets(dashboard):
        if not target["expr"] or target["instant"] is target["range"]:
            yield f"{place}: nothing, or now and then at once"


def paced(dashboard: Json) -> Iterator[str]:
    """Rates over what the step needs; over the time shown only where one moment is asked for."""
    for place, target in targets(dashboard):
        spans = re.findall(r"(?:rate|increase)\([a-z_]+\{[^\[]*\[([^\]]+)\]", target["expr"])
        right = "$__range" if target["instant"] else "$__rate_interval"
        if set(spans) - {right}:
            yield f"{place}: a rate over {spans}"


def matched(dashboard: Json) -> Iterator[str]:
    for place, target in targets(dashboard):
        found = SELECTOR.findall(target["expr"])
        if not found:
            yield f"{place}: no selector"
        for metric, matchers, _ in found:
            if 'job=~"$job"' not in matchers or 'instance=~"$instance"' not in matchers:
                yield f"{place}: {metric} of every job"


def counted(dashboard: Json) -> Iterator[str]:
    """A counter by itself says nothing: its increase does."""
    for place, target in targets(dashboard):
        bare = RATES.sub("", target["expr"])
        for metric, _, _ in SELECTOR.findall(bare):
            if CUMULATIVE.search(metric):
                yield f"{place}: {metric} without its rate"


def placed(dashboard: Json) -> Iterator[str]:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        if cells & taken or at["x"] + at["w"] > 24:
            yield f"{panel['title']} lies on another panel or beside the page"
        taken |= cells
    if len(taken) != 24 * (max(y for _, y in taken) + 1):
        yield "there are holes"
    ids = [panel["id"] for panel in dashboard["panels"]]
    if ids != list(range(1, len(ids) + 1)):
        yield "the panels are not numbered"


def linked(dashboard: Json) -> Iterator[str]:
    text = str(dashboard)
    for uid in re.findall(r"'/d/([a-z-]+)\?", text):
        if uid not in DASHBOARDS:
            yield f"a link to a dashboard {uid}"
    books = re.findall(r"/runbooks/(\w+)", text)
    yield from (f"a link to a runbook {name}" for name in books if name not in ALERTS)
    if not books:
        yield "no link to a runbook"
    kinds = [(one["type"], one["url"].startswith("http")) for one in dashboard["links"]]
    if ("dashboards", False) not in kinds or ("link", True) not in kinds:
        yield "no link to the other dashboards, or none to the page"


def headed(dashboard: Json) -> Iterator[str]:
    """An override or a sorting that names a column that is not there does nothing, silently."""
    for panel in panels(dashboard):
        if panel["type"] != "table":
            continue
        names = panel["transformations"][-1]["options"]["renameByName"]
        count = len(panel["targets"])
        letters = [f"Value #{chr(65 + index)}" for index in range(count)]
        expected = letters if count > 1 else ["Value"]
        if [name for name in names if name.startswith("Value")] != expected:
            yield f"{panel['title']}: not one column for each query"
        headings = set(names.values())
        used = {one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"]}
        used |= {one["displayName"] for one in panel["options"]["sortBy"]}
        if used - headings:
            yield f"{panel['title']}: no column {used - headings}"


RULES: list[Rule] = [
    editable, source, whose, refreshed, asked_well, sourced, described, united, asking,
    paced, matched, counted, placed, linked, headed,
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_dashboard_has_good_manners(dashboard: Json, rule: Rule) -> None:
    assert list(rule(dashboard)) == []


def _expr(dashboard: Json, old: str, new: str) -> None:
    for _, target in targets(dashboard):
        target["expr"] = target["expr"].replace(old, new)


def _first(dashboard: Json, kind: str) -> Json:
    return next(panel for panel in panels(dashboard) if panel["type"] == kind)


BREAKING: dict[str, tuple[Rule, Callable[[Json], Any]]] = {
    "editable": (editable, lambda d: d.update(editable=True)),
    "an input": (source, lambda d: d.update(__inputs=[])),
    "no source": (source, lambda d: d["templating"]["list"].pop(0)),
    "no job": (whose, lambda d: d["templating"]["list"].pop(1)),
    "one instance": (whose, lambda d: d["templating"]["list"][2].update(multi=False)),
    "stale variable": (refreshed, lambda d: d["templating"]["list"][1].update(refresh=1)),
    "other query": (asked_well, lambda d: d["templating"]["list"][1].update(definition="x")),
    "a source by name": (sourced, lambda d: panels(d)[0].update(datasource="Prometheus")),
    "no description": (described, lambda d: panels(d)[0].update(description="")),
    "a title twice": (described, lambda d: panels(d)[0].update(title=panels(d)[1]["title"])),
    "no unit": (
        united,
        lambda d: _first(d, "timeseries")["fieldConfig"]["defaults"].update(unit="none"),
    ),
    "an odd unit": (
        united,
        lambda d: _first(d, "stat")["fieldConfig"]["defaults"].update(unit="furlong"),
    ),
    "no query": (asking, lambda d: panels(d)[0].update(targets=[])),
    "now and then": (asking, lambda d: panels(d)[0]["targets"][0].update(range=True)),
    "a fixed span": (paced, lambda d: _expr(d, "$__rate_interval", "5m")),
    "every job": (matched, lambda d: _expr(d, 'job=~"$job",', "")),
    "a bare counter": (counted, lambda d: _expr(d, "rate(", "max_over_time(")),
    "overlap": (placed, lambda d: d["panels"][2]["gridPos"].update(x=0)),
    "no runbook": (linked, lambda d: d.update(links=d["links"][:2])),
    "no page": (linked, lambda d: d.update(links=d["links"][:1])),
    "an odd column": (
        headed,
        lambda d: _first(d, "table")["options"].update(sortBy=[{"displayName": "x"}]),
    ),
}


@pytest.mark.parametrize("broken", BREAKING)
def test_every_rule_bites(broken: str, load: Callable[[Json], Any]) -> None:
    from cbmon.dashboards.render import dashboards

    rule, spoil = BREAKING[broken]
    dashboard = copy.deepcopy(dashboards(load({"checks": []}))["cbmon-overview"])
    assert list(rule(dashboard)) == []
    spoil(dashboard)
    assert list(rule(dashboard)) != []


def test_every_rule_is_shown_to_bite() -> None:
    assert {rule for rule, _ in BREAKING.values()} == set(RULES)
