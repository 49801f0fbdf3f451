"""Every query of every dashboard, asked of a real Prometheus that holds six hours of a story."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cbmon.dashboards.render import DASHBOARDS, dashboards
from cbmon.dashboards.words import NO_DATA, WORDS
from tests.integration.dashboards.grafana import Asked, Series, Viewer, queries
from tests.integration.dashboards.story import END, ODD, START, Story, backfill, load
from tests.integration.harness import Daemon, Prometheus, program
from tests.unit.dashboards.conftest import CONFIGS, ENVIRONMENT

MOMENT = 1000.0


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return dashboards(load(tmp_path_factory.mktemp("config")))


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    directory = tmp_path_factory.mktemp("prometheus")
    backfill(directory, Story(load(directory)))
    yield from _running(directory)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    """A Prometheus that never heard of cbmon."""
    yield from _running(tmp_path_factory.mktemp("empty"))


def _running(directory: Path) -> Iterator[Viewer]:
    server = Prometheus(directory, {})
    try:
        server.start()
        yield Viewer(server)
    finally:
        server.process.clean_up()


def asked(dashboard: dict[str, Any], place: str) -> Asked:
    found = [one for one in queries(dashboard) if f": {place}" in one.place]
    assert len(found) == 1, [one.place for one in queries(dashboard)]
    return found[0]


def chosen(viewer: Viewer, dashboard: dict[str, Any], value: str) -> dict[str, str]:
    return next(one for one in viewer.choices(dashboard) if value in one.values())


def story_of(series: Series) -> dict[str, list[float]]:
    """The values that follow each other, by the component."""
    told: dict[str, list[float]] = {}
    for one in series:
        values = [float(value) for _, value in one["values"]]
        changes = [v for i, v in enumerate(values) if i == 0 or v != values[i - 1]]
        told.setdefault(one["metric"].get("component", ""), []).extend(changes)
    return told


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_every_query_of_a_panel_and_an_annotation_gives_data(
    rendered: dict[str, dict[str, Any]], viewer: Viewer, uid: str
) -> None:
    choices = list(viewer.choices(rendered[uid]))
    silent = [
        one.place
        for one in queries(rendered[uid])
        if not any(_numbers(viewer.ask(one, choice)) for choice in choices)
    ]
    assert silent == []


def _numbers(series: Series) -> bool:
    values = [value for one in series for _, value in one.get("values", [one.get("value")])]
    return any(math.isfinite(float(value)) for value in values)


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_every_variable_has_something_to_choose(
    rendered: dict[str, dict[str, Any]], viewer: Viewer, uid: str
) -> None:
    choice = next(viewer.choices(rendered[uid]))
    for variable in rendered[uid]["templating"]["list"]:
        if variable["type"] == "query":
            assert viewer.values(variable["query"]["query"], choice), variable["name"]


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_no_query_is_an_error_where_there_is_nothing(
    rendered: dict[str, dict[str, Any]], stranger: Viewer, uid: str
) -> None:
    for choice in stranger.choices(rendered[uid]):
        for one in queries(rendered[uid]):
            found = stranger.ask(one, choice)
            assert all(float(series["value"][1]) == 0 for series in found), one.place


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_no_query_gives_two_series_with_the_same_legend(
    rendered: dict[str, dict[str, Any]], viewer: Viewer, uid: str
) -> None:
    for choice in viewer.choices(rendered[uid]):
        for one in queries(rendered[uid]):
            if one.legend:
                legends = [_legend(one, series["metric"]) for series in viewer.ask(one, choice)]
                assert len(legends) == len(set(legends)), (one.place, legends)


def _legend(one: Asked, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), one.legend)


def test_the_timeline_tells_each_breakers_story(
    rendered: dict[str, dict[str, Any]], viewer: Viewer
) -> None:
    overview = rendered["cbmon-overview"]
    choice = next(viewer.choices(overview))
    told = story_of(viewer.ask(asked(overview, "State of every breaker"), choice))
    assert told["website"] == [1.0]
    assert told[ODD] == [1.0]
    assert told["retired"] == [1.0, NO_DATA]
    assert told["shop-db"][:3] == [1.0, 0.0, 0.5]
    assert told["shop-db"][-1] == 1.0
    assert told["billing"][-1] == 0.0
    assert set().union(*told.values()) == {NO_DATA, 0.0, 0.5, 1.0}


def test_the_breakers_timeline_knows_open_from_disabled(
    rendered: dict[str, dict[str, Any]], viewer: Viewer
) -> None:
    dashboard = rendered["cbmon-breaker"]
    timeline = asked(dashboard, "State over time: A")
    codes = {code: state.value for state, (code, _, _) in WORDS.items()}
    ends = {}
    for name in ("billing", "search", "website"):
        series = viewer.ask(timeline, chosen(viewer, dashboard, name))
        ends[name] = {codes[int(float(one["values"][-1][1]))] for one in series}
    assert ends["billing"] == {"disabled"}
    assert ends["website"] == {"closed"}
    assert ends["search"] <= {"open", "half_open"}


@pytest.mark.parametrize(
    ("name", "panel", "limit"),
    [
        ("shop-api", "Failure and slow ratio: C", 0.4),
        ("shop-api", "Failure and slow ratio: D", 0.5),
        ("search", "Failures in a row over time: B", 3.0),
        ("website", "Failures in a row over time: B", 5.0),
        (ODD.replace("\\", "\\\\").replace('"', '\\"'), "Failures in a row over time: B", 5.0),
        ("billing", "Failure cycles over time: B", 4.0),
    ],
)
def test_the_thresholds_are_those_of_the_configuration(
    rendered: dict[str, dict[str, Any]], viewer: Viewer, name: str, panel: str, limit: float
) -> None:
    dashboard = rendered["cbmon-breaker"]
    series = viewer.ask(asked(dashboard, panel), chosen(viewer, dashboard, name))
    assert {float(value) for one in series for _, value in one["values"]} == {limit}


def test_a_breaker_without_a_threshold_shows_none(
    rendered: dict[str, dict[str, Any]], viewer: Viewer
) -> None:
    dashboard = rendered["cbmon-breaker"]
    for name in ("website", "payments"):
        choice = chosen(viewer, dashboard, name)
        assert viewer.ask(asked(dashboard, "Failure and slow ratio: C"), choice) == []
    rows = asked(dashboard, "Failures in a row over time: B")
    assert viewer.ask(rows, chosen(viewer, dashboard, "payments")) == []


def test_an_instance_weighs_as_long_as_it_was_there(
    rendered: dict[str, dict[str, Any]], viewer: Viewer
) -> None:
    """The second daemon is there for the last hour only, in which billing is disabled."""
    overview = rendered["cbmon-overview"]
    choice = next(viewer.choices(overview))
    found = {
        one["metric"]["component"]: float(one["value"][1])
        for one in viewer.ask(asked(overview, "Incidents: C"), choice)
    }
    assert found["billing"] == pytest.approx(3.55 / 7, abs=0.02)
    assert found["gateway"] == pytest.approx(1 - 0.5 / 7, abs=0.02)
    assert set(found) == {
        "billing", "search", "shop-db", "shop-api", "gateway", "mimir", "geocoder", "chat",
    }  # fmt: skip


def test_an_incident_that_two_daemons_saw_is_one(
    rendered: dict[str, dict[str, Any]], viewer: Viewer
) -> None:
    overview = rendered["cbmon-overview"]
    series = viewer.ask(asked(overview, "Incidents: A"), next(viewer.choices(overview)))
    found = {one["metric"]["component"]: round(float(one["value"][1])) for one in series}
    assert (found["search"], found["shop-db"], found["billing"]) == (2, 2, 1)


@pytest.mark.parametrize("name", ["hostile", "many"])
def test_prometheus_reads_the_queries_of_every_configuration(
    stranger: Viewer, tmp_path: Path, name: str
) -> None:
    config = load(tmp_path, CONFIGS[name], ENVIRONMENT)
    asked_for = 0
    for dashboard in dashboards(config).values():
        for choice in stranger.choices(dashboard):
            for one in queries(dashboard):
                stranger.ask(one, choice)  # fails for a query that Prometheus does not read
                asked_for += 1
    assert asked_for > 50


def test_annotations_stand_at_the_moment_of_the_move(
    rendered: dict[str, dict[str, Any]], viewer: Viewer
) -> None:
    dashboard = rendered["cbmon-breaker"]
    annotation = asked(dashboard, "annotation Transitions")
    series = viewer.ask(annotation, chosen(viewer, dashboard, "shop-db"))
    moments = {
        one["metric"]["state"]: sorted({float(value) for _, value in one["values"]})
        for one in series
    }
    assert set(moments) == {"open", "half_open", "closed"}
    assert all(START * MOMENT <= at <= END * MOMENT for found in moments.values() for at in found)
    first = START + 2.0 * 3600 + 4 * 60
    assert moments["open"][0] == pytest.approx(first * MOMENT, abs=60 * MOMENT)


def test_the_dashboards_know_whether_they_are_of_the_configuration_in_force(
    rendered: dict[str, dict[str, Any]], viewer: Viewer, tmp_path: Path
) -> None:
    choice = next(viewer.choices(rendered["cbmon-itself"]))
    panel = "Dashboards are of it"
    own = viewer.ask(asked(rendered["cbmon-itself"], panel), choice)
    assert own[0]["value"][1] == "1"
    other = dashboards(load(tmp_path, {"checks": []}))["cbmon-itself"]
    assert viewer.ask(asked(other, panel), choice)[0]["value"][1] == "0"


def test_every_metric_is_one_that_the_running_daemon_exposes(
    rendered: dict[str, dict[str, Any]], run_daemon: Callable[..., Daemon]
) -> None:
    daemon = run_daemon({"checks": [{"name": "a", "tcp": {"address": "127.0.0.1:1"}}]})
    text = daemon.get("/metrics").text
    families = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    exposed = set(families)
    for name, kind in families.items():
        if kind == "histogram":
            exposed |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    used = {
        name
        for dashboard in rendered.values()
        for one in queries(dashboard)
        for name in re.findall(r"\b([a-z][a-z0-9_]*)\{", one.expr)
    }
    assert len(used) > 30
    assert used - exposed == set()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_installed_wheel_renders_them_and_the_rules(tmp_path: Path) -> None:
    """Built and installed as users get it, away from the checkout."""
    root = Path(__file__).parents[2]
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--quiet"]
    run = partial(subprocess.run, check=True, capture_output=True, text=True, timeout=300)
    run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, root])
    built = list(wheels.glob("cbmon-*.whl"))
    run([*pip, "install", "--no-index", "--no-deps", "--target", site, *built])
    (tmp_path / "cbmon.yml").write_text("checks: []\n")
    away = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}}
    run([sys.executable, "-m", "cbmon", "dashboards", "--out", "out"], **away)
    run([sys.executable, "-m", "cbmon", "rules", "--out", "rules"], **away)
    again = [sys.executable, "-m", "cbmon", "rules", "--out", "rules", "--check"]
    run(again, **away)
    rules = sorted((tmp_path / "rules").glob("*.rules.yml"))
    rules[0].write_text(rules[0].read_text() + "# edited\n")
    checked = run(again, **{**away, "check": False})
    assert checked.returncode == 1
    assert rules[0].name in checked.stdout + checked.stderr
    run([sys.executable, "-m", "cbmon", "rules", "--out", "rules"], **away)
    run([program("promtool", package="prometheus"), "check", "rules", "--lint-fatal", *rules])
    runbooks = {path.name for path in (site / "cbmon" / "data" / "rules").rglob("*.md")}
    assert "CircuitBreakerOpen.md" in runbooks
    rendered = {path.name for path in (tmp_path / "out").glob("*.json")}
    shipped = {path.name for path in (site / "cbmon" / "data" / "dashboards").glob("*.json")}
    assert rendered == shipped == {f"{uid}.json" for uid in DASHBOARDS}
