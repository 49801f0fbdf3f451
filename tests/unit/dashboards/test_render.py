"""The same configuration gives the same bytes; nothing of it becomes a variable of Grafana."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cbmon import __version__
from cbmon.breaker import State
from cbmon.config import Config
from cbmon.dashboards import render, shared
from cbmon.dashboards.queries import inert
from cbmon.dashboards.render import DASHBOARDS, PROVIDER, dashboards
from cbmon.dashboards.words import EVERY_STATE, STATE, WORDS
from cbmon.metrics import families
from cbmon.rules.quoting import among, equal
from tests.unit.dashboards.conftest import CONFIGS, KINDS, check

Json = dict[str, Any]
Load = Callable[[Json], Config]
KNOWN = {
    "datasource", "job", "instance", "category", "component", "check", "receiver",
    "__rate_interval", "__range", "__range_s",
}  # fmt: skip
IN_LINKS = re.compile(r"\$\{[\w.:]+\}")
IN_TEXTS = re.compile(r"\$(\w+)")


def texts(value: Any) -> Iterator[str]:
    """Every string of a dashboard."""
    if isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


def test_the_same_configuration_gives_the_same_bytes(config: Config) -> None:
    assert render(config) == render(config)
    for text in render(config).values():
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert "\r" not in text


def test_the_bytes_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    path = tmp_path / "cbmon.yml"
    config = {"checks": [check(f"c{i}", **KINDS[i % 4]) for i in range(20)]}
    path.write_text(yaml.safe_dump(config))
    outputs = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "cbmon", "dashboards", "--config.file", path],
            capture_output=True, check=True, env={"PYTHONHASHSEED": seed},
        )  # fmt: skip
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_every_file_says_what_it_was_made_from(config: Config) -> None:
    for path, text in render(config).items():
        head = json.loads(text)["description"] if path.endswith(".json") else text
        assert f"cbmon {__version__}, configuration {config.hash}" in head, path


def test_the_uids_and_titles_stay_as_they_are(config: Config) -> None:
    assert {uid: made["title"] for uid, made in dashboards(config).items()} == {
        "cbmon-overview": "cbmon / Overview",
        "cbmon-breaker": "cbmon / Breaker",
        "cbmon-check": "cbmon / Check",
        "cbmon-notifications": "cbmon / Notifications",
        "cbmon-itself": "cbmon / Itself",
    }
    assert all(made["uid"] == uid for uid, made in dashboards(config).items())


def test_nothing_of_the_configuration_becomes_a_variable(dashboard: Json) -> None:
    for text in texts(dashboard):
        rest = IN_LINKS.sub("", text)
        assert "[[" not in rest, text
        assert set(IN_TEXTS.findall(rest)) <= KNOWN | {"__all"}, text
        assert "${" not in rest, text


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("$job", r'"\x24job"'),
        ("[[job]]", r'"[\x5bjob]]"'),
        ("[[[x", r'"[\x5b[x"'),
        ('a"b\\', r'"a\"b\\"'),
    ],
)
def test_a_literal_is_made_inert(text: str, quoted: str) -> None:
    assert inert(equal("a", text)) == f"a={quoted}"


def test_a_pattern_is_made_inert() -> None:
    assert inert(among("a", ["$x"])) == r'a=~"\\\x24x"'


def test_the_selector_is_in_every_query_and_variable(load: Load) -> None:
    made = dashboards(load({"checks": [check("x")], "alerting": {"selector": {"site": "b"}}}))
    for dashboard in made.values():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                assert target["expr"].count('{site="b",') == target["expr"].count("{")
        for variable in dashboard["templating"]["list"][1:]:
            assert 'site="b"' in variable["query"]["query"]


def test_thresholds_list_only_the_components_that_differ(load: Load) -> None:
    many = [check(f"check-{i:03}", failure_threshold=7) for i in range(200)]
    config = load({"checks": [*many, check("special", failure_threshold=2)]})
    panel = _panel(dashboards(config)["cbmon-breaker"], "Failures in a row over time")
    expr = panel["targets"][1]["expr"]
    assert "check-" not in expr
    assert expr.index("+ 2") < expr.index("+ 7")
    assert 'category!="app"' in expr


def test_no_configuration_no_thresholds(load: Load) -> None:
    made = dashboards(load({"checks": []}))["cbmon-breaker"]
    assert len(_panel(made, "Failures in a row over time")["targets"]) == 1
    assert len(_panel(made, "Failure and slow ratio")["targets"]) == 2


def test_only_windows_have_a_ratio_to_reach(load: Load) -> None:
    config = load({"checks": [check("counts", **KINDS[0]), check("windows", **KINDS[1])]})
    targets = _panel(dashboards(config)["cbmon-breaker"], "Failure and slow ratio")["targets"]
    limits = {target["legendFormat"]: target["expr"] for target in targets[2:]}
    assert set(limits) == {"threshold of failed", "threshold of slow"}
    assert all("counts" not in expr and "windows" in expr for expr in limits.values())


def test_certificates_turn_red_when_the_alerts_fire(load: Load) -> None:
    alerts = {
        "CbmonCertificateExpiring": {"threshold": 30},
        "CbmonCertificateAlmostExpired": {"threshold": 5},
    }
    config = load({"checks": [], "alerting": {"alerts": alerts}})
    panel = _panel(dashboards(config)["cbmon-overview"], "First certificate")
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    days = [(step["value"] or 0) / 86_400 for step in steps]
    assert days == [0, 5, 30]
    assert [step["color"] for step in steps] == ["red", "orange", "green"]


def test_the_shortest_step_is_the_scrape_interval(load: Load) -> None:
    config = load({"checks": [], "alerting": {"scrape_interval": "1m"}})
    for dashboard in dashboards(config).values():
        found = {panel["interval"] for panel in dashboard["panels"] if panel["type"] != "row"}
        assert found == {"1m"}


def test_every_state_has_a_number_a_word_and_a_colour() -> None:
    assert set(WORDS) == set(State)
    assert sorted(code for code, _, _ in WORDS.values()) == [1, 2, 3, 4, 5, 6, 7]
    words = {key: entry["text"] for key, entry in EVERY_STATE[0]["options"].items()}
    assert words["-1"] == "no data"
    assert words["4"] == "half-open"
    assert len(set(words.values())) == len(words)


def test_the_gauge_is_mapped_as_the_engine_sets_it() -> None:
    options = STATE[0]["options"]
    assert {key: entry["text"] for key, entry in options.items()} == {
        "0": "open",
        "0.5": "half-open",
        "1": "closed",
        "-1": "no data",
    }
    for state in (State.OPEN, State.HALF_OPEN, State.CLOSED):
        assert options[f"{state.gauge:g}"]["text"].replace("-", "_") == state.value
    assert STATE[1]["options"]["match"] == "null+nan"
    assert STATE[1]["options"]["result"]["text"] == "no data"


def test_what_is_queried_is_what_the_families_export(dashboard: Json) -> None:
    known = {family.name for family in families.every()}
    for family in families.every():
        if family.type == "histogram":
            known |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
    known |= {f"process_{name}" for name in ("start_time_seconds", "cpu_seconds_total")}
    known |= {f"process_{name}" for name in ("resident_memory_bytes", "open_fds", "max_fds")}
    used = {
        name
        for text in texts(dashboard)
        for name in re.findall(r"\b((?:cbmon|circuit_breaker|process)_\w+)\{", text)
    }
    assert used
    assert used - known == set()


def test_every_group_of_metrics_is_on_a_dashboard(load: Load) -> None:
    text = "".join(render(load(CONFIGS["many"])).values())
    ours = [one.name for one in families.every() if one.name.startswith(("cbmon_", "circuit_"))]
    unused = {name for name in ours if name not in text}
    assert unused == {
        # the same as of checks; the dashboard of a breaker shows an export in detail
        "cbmon_export_runs_total",
        "cbmon_export_skipped_total",
        "cbmon_export_phase_last_seconds",
        "cbmon_export_last_run_timestamp_seconds",
        "cbmon_export_next_run_timestamp_seconds",
        "cbmon_export_certificate_expiry_timestamp_seconds",
        # shown by its parts, and by what it leads to
        "cbmon_check_last_run_timestamp_seconds",
        "circuit_breaker_trips_total",
    }


def test_a_shared_dashboard_says_what_it_requires(load: Load) -> None:
    for dashboard in dashboards(load({"checks": []})).values():
        made = shared(dashboard)
        required = {one["id"] for one in made["__requires"]}
        kinds = {panel["type"] for panel in dashboard["panels"]} - {"row"}
        assert required == {"grafana", "prometheus", *kinds}
        assert made["__inputs"] == []
        assert {**dashboard, "id": None} == {
            key: value for key, value in made.items() if not key.startswith("__")
        }


def test_grafana_is_told_where_the_dashboards_are(config: Config) -> None:
    provider = yaml.safe_load(render(config)[PROVIDER])["providers"][0]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards/cbmon"
    assert provider["allowUiUpdates"] is False


def test_the_links_of_alerts_lead_to_dashboards_with_that_variable(load: Load) -> None:
    from cbmon.rules.render import _DASHBOARDS as LINKED

    made = dashboards(load({"checks": []}))
    assert {uid for uid, _ in LINKED.values()} <= set(DASHBOARDS)
    for uid, variable in LINKED.values():
        names = {one["name"] for one in made[uid]["templating"]["list"]}
        assert not variable or variable in names


def _panel(dashboard: Json, title: str) -> Json:
    return next(panel for panel in dashboard["panels"] if panel["title"] == title)
