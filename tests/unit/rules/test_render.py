"""The rules follow the configuration, and say from which one they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cbmon import __version__
from cbmon.config import ConfigError
from cbmon.config.alerting import ALERTS
from cbmon.rules import MARK, render, rule_file
from cbmon.rules.proofs import expanded
from cbmon.rules.scenes.scene import Firing
from tests.unit.rules.configurations import MANY, ODD, ONE, SHOP, TCP, configured

RULES = re.compile(r"cbmon-\w+\.rules\.yml")


def rules(tmp_path: Path, content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The alerts by name."""
    loaded = yaml.safe_load(rule_file(configured(tmp_path, content)))
    return {r["alert"]: r for g in loaded["groups"] for r in g["rules"] if "alert" in r}


def alerting(**section: Any) -> dict[str, Any]:
    return {**SHOP, "alerting": {**SHOP["alerting"], **section}}


@pytest.mark.parametrize("content", [{}, ONE, SHOP, ODD], ids=["none", "one", "shop", "odd"])
def test_the_same_configuration_gives_the_same_bytes(tmp_path: Path, content: Any) -> None:
    first, second = (render(configured(tmp_path, content)) for _ in range(2))
    assert first == second


def test_every_file_says_which_version_and_configuration_it_is_from(tmp_path: Path) -> None:
    config = configured(tmp_path, SHOP)
    for text in [*render(config).values(), rule_file(config)]:
        lines = text.splitlines()
        assert lines[0] == f"# cbmon {__version__}, configuration {config.hash}"
        assert lines[1] == MARK


def test_one_file_holds_what_the_files_hold(tmp_path: Path) -> None:
    config = configured(tmp_path, SHOP)
    whole = yaml.safe_load(rule_file(config))["groups"]
    parts = [yaml.safe_load(t)["groups"] for n, t in render(config).items() if RULES.match(n)]
    assert [group for part in parts for group in part] == whole


def test_every_alert_is_there(tmp_path: Path) -> None:
    assert set(rules(tmp_path, SHOP)) == set(ALERTS)


def test_what_needs_something_to_speak_of_is_left_out_without(tmp_path: Path) -> None:
    missing = set(ALERTS) - set(rules(tmp_path, {}))
    assert missing == {
        "CircuitBreakerAbsent",
        "CircuitBreakerDependencyDown",
        "CbmonSloBurnFast",
        "CbmonSloBurnSlow",
    }


def test_an_alert_takes_its_settings_from_the_configuration(tmp_path: Path) -> None:
    settings = {"for": "7m", "keep_firing_for": "3m", "severity": "page", "labels": {"team": "x"}}
    found = rules(tmp_path, alerting(alerts={"CircuitBreakerOpen": settings}))["CircuitBreakerOpen"]
    assert (found["for"], found["keep_firing_for"]) == ("7m", "3m")
    assert found["labels"] == {"site": "fra1", "team": "x", "severity": "page"}
    assert "8m10s" not in found["annotations"]["description"]
    assert "8 minutes 10 seconds" in found["annotations"]["description"]


def test_an_alert_that_is_not_wanted_is_left_out(tmp_path: Path) -> None:
    off = {name: {"enabled": False} for name in ALERTS}
    assert rules(tmp_path, alerting(alerts=off)) == {}


def test_a_threshold_follows_the_configuration(tmp_path: Path) -> None:
    found = rules(tmp_path, alerting(alerts={"CbmonEventLoopLag": {"threshold": 0.125}}))
    assert "> 0.125" in found["CbmonEventLoopLag"]["expr"]


def test_windows_follow_the_intervals(tmp_path: Path) -> None:
    quick = alerting(scrape_interval="1s", alerts={"CircuitBreakerOpen": {"for": "6s"}})
    assert "[4s]" in rules(tmp_path, quick)["CircuitBreakerOpen"]["expr"]
    assert "[1m]" in rules(tmp_path, SHOP)["CircuitBreakerOpen"]["expr"]


def test_a_selector_is_on_every_metric_that_is_looked_at(tmp_path: Path) -> None:
    config = configured(tmp_path, alerting(selector={"job": "fra"}))
    series = re.findall(
        r"\b(?:cbmon|circuit_breaker)_\w+(\{[^}]*\})?(?=[\s)\[])", rule_file(config)
    )
    named = re.findall(r"(?:record|alert): .*", rule_file(config))
    assert len(series) > len(named)
    assert [s for s in series if s and 'job="fra"' not in s and "slo=" not in s] == []


def test_links_lead_to_the_runbook_and_the_page_or_the_dashboard(tmp_path: Path) -> None:
    plain = rules(tmp_path, SHOP)["CircuitBreakerOpen"]["annotations"]
    assert plain["runbook_url"] == "https://cbmon.example.net/runbooks/CircuitBreakerOpen"
    assert plain["dashboard_url"].startswith("https://cbmon.example.net/?q=")
    grafana = rules(tmp_path, alerting(grafana_url="https://g.example.net/"))
    link = grafana["CbmonCheckStale"]["annotations"]["dashboard_url"]
    assert expanded(link, Firing({"check": "a b&c"})) == (
        "https://g.example.net/d/cbmon-check?var-check=a+b%26c"
    )


def test_without_an_external_url_links_lead_to_the_address_it_listens_on(tmp_path: Path) -> None:
    listening = {**ONE, "web": {"listen": [":9000"], "tokens": [{"name": "a", "token": "b" * 32}]}}
    found = rules(tmp_path, listening)["CircuitBreakerOpen"]["annotations"]
    assert found["runbook_url"].startswith("http://localhost:9000/runbooks/")


def test_a_check_that_demands_days_is_warned_of_a_week_before_it_fails(tmp_path: Path) -> None:
    expr = rules(tmp_path, SHOP)["CbmonCertificateExpiring"]["expr"]
    assert 'check=~"api"' in expr
    assert "< 37" in expr


def test_many_breakers_need_no_rule_each(tmp_path: Path) -> None:
    loaded = yaml.safe_load(rule_file(configured(tmp_path, MANY)))
    assert sum(len(group["rules"]) for group in loaded["groups"]) <= 50


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"alerts": {"CircuitBreakerOpne": {}}}, 'did you mean "CircuitBreakerOpen"'),
        ({"alerts": {"CircuitBreakerOpen": {"threshold": 1}}}, "has no threshold"),
        ({"alerts": {"CbmonRunsFailing": {"threshold": 1}}}, "expected a ratio below 1"),
        ({"alerts": {"CbmonOutboxOld": {"threshold": 0}}}, "expected more than 0"),
        ({"labels": {"severity": "x"}}, "that the alerts do not have themselves"),
        ({"slos": [{"name": "a", "objective": 0.5, "tags": ["critical"]}]}, "from 90%"),
        ({"slos": [{"name": "a", "objective": 0.99}]}, "expected checks or tags"),
        ({"slos": [{"name": "a", "objective": 0.99, "tags": ["critcal"]}]}, "no check has the tag"),
        ({"slos": [{"name": "a", "objective": 0.99, "checks": ["apii"]}]}, 'did you mean "api"'),
        (
            {"slos": [{"name": "a", "objective": 0.99, "checks": ["api"]}] * 2},
            'duplicate name "a"',
        ),
    ],
)
def test_a_slip_in_the_section_is_told(tmp_path: Path, section: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, {**SHOP, "alerting": section})
    assert message in str(caught.value)
    assert "cbmon.yml:" in str(caught.value)


def test_an_unknown_action_in_a_template_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="unknown action"):
        expanded("{{ $externalURL }}", Firing({}))


def test_a_disabled_check_is_not_looked_for(tmp_path: Path) -> None:
    content = {"checks": [{"name": "off", **TCP, "enabled": False}, {"name": "on", **TCP}]}
    assert '"off"' not in rule_file(configured(tmp_path, content))
