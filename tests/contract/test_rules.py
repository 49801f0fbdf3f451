"""Rules, runbooks, documents and metrics speak of the same things."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from cbmon.config.alerting import ALERTS
from cbmon.config.units import format_duration
from cbmon.metrics import families
from cbmon.rules import render, rule_file, runbook, templates
from tests.integration.harness.processes import finished, program
from tests.unit.rules.configurations import SHOP, configured

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "alerting.md"
METRIC = re.compile(r"(?<![\w:])((?:cbmon|circuit_breaker|process)_\w+)(?![\w:])")
RECORDED = re.compile(r"\b\w+:\w+:\w+\b")
QUERY = re.compile(r"```promql\n(.*?)```", re.DOTALL)
PROCESS = {"process_cpu_seconds_total", "process_open_fds", "process_max_fds"} | {
    "process_resident_memory_bytes"
}


@cache
def exported() -> set[str]:
    """Every series name that the daemon exposes."""
    names = set(PROCESS)
    for family in families.every():
        histogram = family.type == "histogram"
        names |= (
            {f"{family.name}{end}" for end in ("_bucket", "_sum", "_count")}
            if histogram
            else {family.name}
        )
    return names


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    text = rule_file(configured(tmp_path_factory.mktemp("rules"), SHOP))
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def every(rules: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in rules["groups"] for rule in group["rules"]]


def bare(expression: str) -> str:
    """Without label values and the lists of labels."""
    without = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    return re.sub(r"\b(?:on|ignoring|by|without|group_left) ?\([^)]*\)", "", without)


def test_every_metric_in_a_rule_is_one_that_the_daemon_exposes(rules: dict[str, Any]) -> None:
    used = {name for rule in every(rules) for name in METRIC.findall(bare(rule["expr"]))}
    assert len(used) >= 25
    assert used <= exported()


def test_every_recorded_series_in_a_rule_is_one_that_is_recorded(rules: dict[str, Any]) -> None:
    recorded = {rule["record"] for rule in every(rules) if "record" in rule}
    used = {name for rule in every(rules) for name in RECORDED.findall(bare(rule["expr"]))}
    assert used <= recorded


def test_every_label_in_a_text_is_one_that_the_alert_has(rules: dict[str, Any]) -> None:
    known = {"component", "category", "check", "export", "receiver", "group", "slo", "objective"}
    known |= {"discovery", "instance", "state", "worker", "application", "process"}
    texts = " ".join(str(rule.get("annotations")) for rule in every(rules))
    assert set(re.findall(r"\$labels\.(\w+)", texts)) <= known


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_says_what_a_person_needs_at_night(name: str) -> None:
    text = runbook(name)
    assert text.startswith(f"# {name}\n\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Meaning",
        "Impact",
        "Diagnosis",
        "Mitigation",
        "Queries",
    ]
    assert QUERY.search(text)


def test_there_is_a_runbook_for_each_alert_and_no_other() -> None:
    assert {path.stem for path in (templates() / "runbooks").iterdir()} == set(ALERTS)


def test_the_queries_of_the_runbooks_are_promql_over_what_there_is(
    rules: dict[str, Any], tmp_path: Path
) -> None:
    recorded = {rule["record"] for rule in every(rules) if "record" in rule}
    queries = [query.strip() for name in ALERTS for query in QUERY.findall(runbook(name))]
    for query in queries:
        assert set(METRIC.findall(bare(query))) <= exported(), query
        assert set(RECORDED.findall(bare(query))) <= recorded, query
    promtool(tmp_path, queries)


def test_the_queries_of_the_page_are_promql_over_what_there_is(
    rules: dict[str, Any], tmp_path: Path
) -> None:
    queries = [query.strip() for query in QUERY.findall(PAGE.read_text())]
    recorded = {rule["record"] for rule in every(rules) if "record" in rule}
    assert len(queries) >= 3
    for query in queries:
        assert set(METRIC.findall(bare(query))) <= exported()
        assert set(RECORDED.findall(bare(query))) <= recorded
    promtool(tmp_path, queries)


def promtool(directory: Path, queries: list[str]) -> None:
    """Check the queries by making rules of them."""
    made = [{"record": f"query:number:{index}", "expr": q} for index, q in enumerate(queries)]
    path = directory / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": made}]}))
    done = finished([program("promtool", package="prometheus"), "check", "rules", path])
    assert done.returncode == 0, done.stderr


def test_commands_in_runbooks_are_commands_that_there_are() -> None:
    from cbmon.cli.breakers import breakers
    from cbmon.cli.root import COMMANDS

    for name in ALERTS:
        for command, action in re.findall(r"`cbmon ([\w-]+)(?: (\w+))?", runbook(name)):
            assert command in COMMANDS, name
            if command == "breakers":
                assert action in str(breakers.params[0].type) + " list show", (name, action)


def test_the_table_of_alerts_on_the_page_is_the_table_of_alerts() -> None:
    row = r"^\| \[`(\w+)`\].*? \| (.*?) \| (.*?) \| (.*?) \|"
    rows = re.findall(row, PAGE.read_text(), re.MULTILINE)
    expected = [
        (
            name,
            alert.severity,
            format_duration(alert.hold) if alert.hold else "",
            "" if alert.threshold is None else f"{alert.threshold:g} {alert.unit}",
        )
        for name, alert in ALERTS.items()
    ]
    assert rows == expected


def test_the_files_that_the_page_names_are_those_that_are_rendered(tmp_path: Path) -> None:
    named = set(re.findall(r"`(cbmon-\w+(?:\.rules)?\.yml)`", PAGE.read_text()))
    assert named <= set(render(configured(tmp_path, SHOP)))
    assert "cbmon-alertmanager.yml" in named
