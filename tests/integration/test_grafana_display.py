"""What Grafana's own code (`@grafana/data`) shows by the dashboards' field configurations.

The package is installed by npm into a folder of the test's; without node or npm it is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from cbmon.dashboards.render import dashboards
from cbmon.dashboards.words import GREY, WORDS
from tests.integration.dashboards.story import load

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
PACKAGE: Final = "@grafana/data@11.6.0"
SCRIPT: Final = Path(__file__).parent / "dashboards" / "display.cjs"
STATES: Final = {0.0: ("open", "red"), 0.5: ("half-open", "orange"), 1.0: ("closed", "green")}
Shown = list[dict[str, Any]]


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which node finds the package."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} is not installed")
    folder = tmp_path_factory.mktemp("grafana")
    command = [
        "npm",
        "install",
        "--no-save",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        PACKAGE,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install {PACKAGE}: {done.stderr.strip()[-200:]}")
    return folder / "node_modules"


@pytest.fixture(scope="module")
def panels(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    made = dashboards(load(tmp_path_factory.mktemp("config")))
    return [
        {**panel, "place": f"{uid}: {panel['title']}"}
        for uid, dashboard in made.items()
        for panel in dashboard["panels"]
        if panel["type"] != "row"
    ]


class Grafana:
    """Its answers, asked for once for all panels."""

    def __init__(self, modules: Path, panels: list[dict[str, Any]]) -> None:
        cases = [
            {"config": config, "values": values}
            for panel in panels
            for config, values in [(panel["fieldConfig"]["defaults"], _values(panel))]
        ]
        file = modules.parent / "cases.json"
        file.write_text(json.dumps(cases), encoding="utf-8")
        done = subprocess.run(
            ["node", SCRIPT, file],
            env={**os.environ, "NODE_PATH": str(modules)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        self.known: dict[str, Any] = json.loads(done.stdout)
        places = [panel["place"] for panel in panels]
        self.shown: dict[str, Shown] = dict(zip(places, self.known["shown"], strict=True))

    def color(self, name: str) -> str:
        found: str = self.known["colors"][name]
        return found


def _values(panel: dict[str, Any]) -> list[float | None]:
    """Every value with a meaning: those that are mapped, and those at which the colour changes."""
    return [None, *_mapped(panel), *(value for value, _ in _steps(panel))]


def _mapped(panel: dict[str, Any]) -> list[float]:
    mappings = panel["fieldConfig"]["defaults"]["mappings"]
    return [float(v) for one in mappings if one["type"] == "value" for v in one["options"]]


def _steps(panel: dict[str, Any]) -> list[tuple[float, str]]:
    """The lowest value of each colour."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return [(-1e9 if one["value"] is None else one["value"], one["color"]) for one in steps]


@pytest.fixture(scope="module")
def grafana(modules: Path, panels: list[dict[str, Any]]) -> Grafana:
    return Grafana(modules, panels)


def test_every_mapped_value_has_its_word_and_colour(
    grafana: Grafana, panels: list[dict[str, Any]]
) -> None:
    seen = 0
    for panel in panels:
        options = [
            (value, meaning)
            for one in panel["fieldConfig"]["defaults"]["mappings"]
            if one["type"] == "value"
            for value, meaning in one["options"].items()
        ]
        for (_, meaning), shown in zip(options, grafana.shown[panel["place"]][1:], strict=False):
            expected = (meaning["text"], grafana.color(meaning["color"]))
            assert (shown["text"], shown["color"]) == expected, panel["place"]
            seen += 1
    assert seen > 30


def test_a_breakers_states_are_told_apart(grafana: Grafana, panels: list[dict[str, Any]]) -> None:
    for title, meant in (
        ("cbmon-overview: State of every breaker", STATES),
        ("cbmon-breaker: State over time", {c: (w, k) for c, w, k in WORDS.values()}),
    ):
        panel = next(one for one in panels if one["place"] == title)
        shown = dict(zip(_mapped(panel), grafana.shown[title][1:], strict=False))
        for value, (word, color) in meant.items():
            assert shown[value] == {"text": word, "color": grafana.color(color)}
        assert shown[-1.0] == {"text": "no data", "color": GREY}


def test_nothing_is_shown_as_such_and_never_as_a_number(
    grafana: Grafana, panels: list[dict[str, Any]]
) -> None:
    for panel in panels:
        defaults = panel["fieldConfig"]["defaults"]
        text = grafana.shown[panel["place"]][0]["text"]
        wanted = "no data" if defaults["mappings"] else defaults.get("noValue", "")
        assert text == wanted, panel["place"]


def test_colours_change_at_their_thresholds(grafana: Grafana, panels: list[dict[str, Any]]) -> None:
    for panel in panels:
        if panel["fieldConfig"]["defaults"]["color"]["mode"] != "thresholds" or _mapped(panel):
            continue
        steps = _steps(panel)
        found = [shown["color"] for shown in grafana.shown[panel["place"]][1:]]
        assert found == [grafana.color(color) for _, color in steps], panel["place"]


def test_grafana_knows_every_unit_reducer_transformation_and_matcher(
    grafana: Grafana, panels: list[dict[str, Any]]
) -> None:
    kinds = ("units", "reducers", "matchers", "transformers")
    known = {kind: set(grafana.known[kind]) for kind in kinds}
    for panel in panels:
        overrides = panel["fieldConfig"]["overrides"]
        units = {panel["fieldConfig"]["defaults"]["unit"]} | {
            one["value"] for each in overrides for one in each["properties"] if one["id"] == "unit"
        }
        options = panel["options"]
        calcs = {*options.get("reduceOptions", options.get("legend", {})).get("calcs", ())}
        assert units <= known["units"], panel["place"]
        assert calcs <= known["reducers"], panel["place"]
        assert {one["matcher"]["id"] for one in overrides} <= known["matchers"], panel["place"]
        used = {one["id"] for one in panel.get("transformations", ())}
        assert used <= known["transformers"], panel["place"]
