"""From a stopped nginx to one message and one end of it, by way of Prometheus and Alertmanager.

Rule: everything is as the documents tell a person to install it; only the intervals are short,
and they come from the configuration.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from tests.integration.harness import (
    Alertmanager,
    Daemon,
    Hooks,
    Nginx,
    Prometheus,
    eventually,
)
from tests.integration.harness.servers import Server

RunDaemon = Callable[..., Daemon]
Start = Callable[[Server], None]

BREAKER: Final = {"failure_threshold": 2, "recovery_timeout": "1s"}
SETTLED: Final = "CircuitBreakerOpen"


class Alerting(Prometheus):
    """With rendered rules, and an Alertmanager to tell."""

    def __init__(self, directory: Path, daemon: Daemon, rules: Path, alertmanager: str) -> None:
        self._alerting = {
            "rule_files": [f"{rules}/*.rules.yml"],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}],
            },
        }
        super().__init__(directory, {"cbmon": daemon.address})

    def command(self) -> Sequence[str | Path]:
        self._config = {**self._config, **self._alerting}
        return super().command()

    def firing(self) -> set[tuple[str, str]]:
        """Alert and component of everything that fires."""
        found = self.query('ALERTS{alertstate="firing"}')
        return {(one["metric"]["alertname"], one["metric"].get("component", "")) for one in found}


class Telling(Alertmanager):
    """With the rendered configuration, whose receiver is a webhook."""

    def __init__(self, directory: Path, rendered: Path, url: str) -> None:
        self._rendered, self._hook = rendered, url
        super().__init__(directory)

    def command(self) -> Sequence[str | Path]:
        command = super().command()
        config = yaml.safe_load(self._rendered.read_text())
        (receiver,) = (one for one in config["receivers"] if one["name"] == "cbmon")
        receiver["webhook_configs"] = [{"url": self._hook, "send_resolved": True}]
        (self.directory / "alertmanager.yml").write_text(yaml.safe_dump(config))
        return command

    def inhibited(self) -> set[tuple[str, str]]:
        """Alert and component of everything that is held back."""
        return {
            (one["labels"]["alertname"], one["labels"].get("component", ""))
            for one in self.get("/api/v2/alerts").json
            if one["status"]["inhibitedBy"]
        }


def told(hooks: Hooks) -> list[tuple[str, str, str]]:
    """Status, alert and component of everything that arrived."""
    return [
        (alert["status"], alert["labels"]["alertname"], alert["labels"].get("component", ""))
        for request in hooks.taken
        for alert in json.loads(request.body)["alerts"]
    ]


def arrived(hooks: Hooks, *expected: tuple[str, str, str]) -> bool:
    return set(expected) <= set(told(hooks))


def configuration(nginx: Nginx) -> Mapping[str, Any]:
    quick = {"interval": "200ms", "timeout": "150ms", "breaker": BREAKER}
    http = [{"http": {"url": f"{nginx.url}/{path}"}, **quick} for path in ("web", "api", "page")]
    return {
        "global": {"labels": {"site": "test"}},
        "alerting": {
            "scrape_interval": "200ms",
            "evaluation_interval": "200ms",
            "selector": {"job": "cbmon"},
            "alerts": {"CircuitBreakerOpen": {"for": "1s"}},
        },
        "checks": [
            {"name": 'the "web"', **http[0]},
            {"name": "api", **http[1], "depends_on": ['the "web"']},
            {"name": "page {{x}}", **http[2], "depends_on": ["api"]},
        ],
    }


def test_an_outage_is_told_once_and_its_end_once_and_dependants_never(
    tmp_path: Path, nginx: Nginx, hooks: Hooks, run_daemon: RunDaemon, started: Start
) -> None:
    daemon = run_daemon(dict(configuration(nginx)))
    rules = tmp_path / "rules"
    code, _, problem = daemon.cli(
        "rules", "--config.file", str(daemon.config_path), "--out", str(rules)
    )
    assert code == 0, problem
    alertmanager = Telling(
        tmp_path / "alertmanager", rules / "cbmon-alertmanager.yml", f"{hooks.url}/hook"
    )
    started(alertmanager)
    prometheus = Alerting(tmp_path / "prometheus", daemon, rules, f"127.0.0.1:{alertmanager.port}")
    started(prometheus)
    closed = partial(prometheus.value, "sum(circuit_breaker_state)")
    eventually(lambda: closed() == 3, "three closed breakers in Prometheus", 15.0)

    nginx.stop()
    cause = (SETTLED, 'the "web"')
    dependants = {(SETTLED, "api"), (SETTLED, "page {{x}}")}
    eventually(partial(arrived, hooks, ("firing", *cause)), "the outage to be told", 30.0)
    eventually(lambda: dependants <= prometheus.firing(), "dependants to fire too", 15.0)
    eventually(lambda: dependants <= alertmanager.inhibited(), "them to be held back", 15.0)

    nginx.start()
    eventually(partial(arrived, hooks, ("resolved", *cause)), "the end to be told", 30.0)
    eventually(lambda: closed() == 3, "all to be closed again", 15.0)
    eventually(lambda: prometheus.firing() == set(), "nothing to fire any more", 30.0)

    assert told(hooks) == [("firing", *cause), ("resolved", *cause)]
    (message, _) = (json.loads(request.body) for request in hooks.taken)
    (alert,) = message["alerts"]
    assert alert["labels"] | {"severity": "critical", "site": "test"} == alert["labels"]
    assert alert["annotations"]["summary"].startswith('the "web" is failing')
    book = daemon.get(f"/runbooks/{SETTLED}", accept="text/html")
    assert alert["annotations"]["runbook_url"].endswith(f"/runbooks/{SETTLED}")
    assert book.status == 200
    assert f"<h1>{SETTLED}</h1>" in book.text


def test_a_running_prometheus_evaluates_every_rule_without_a_warning(
    tmp_path: Path, nginx: Nginx, run_daemon: RunDaemon, started: Start
) -> None:
    daemon = run_daemon(dict(configuration(nginx)))
    rules = tmp_path / "rules"
    code, _, problem = daemon.cli(
        "rules", "--config.file", str(daemon.config_path), "--out", str(rules)
    )
    assert code == 0, problem
    prometheus = Alerting(tmp_path / "prometheus", daemon, rules, "127.0.0.1:1")
    started(prometheus)

    def health() -> dict[str, set[str]]:
        groups = prometheus.get("/api/v1/rules").json["data"]["groups"]
        found: dict[str, set[str]] = {}
        for group in groups:
            for rule in group["rules"]:
                found.setdefault(rule["health"], set()).add(rule["name"])
        return found

    eventually(lambda: set(health()) == {"ok"}, "every rule to be evaluated", 20.0)
    for series in ("component:circuit_breaker_state:min", "check:cbmon_check_overdue:seconds"):
        eventually(partial(prometheus.query, series), f"samples of {series}", 10.0)
    assert prometheus.firing() == set()
    assert daemon.metric("cbmon_config_hash") == prometheus.value("cbmon_config_hash")
    outdated = 'ALERTS{alertname=~"CbmonRulesOutdated|CircuitBreakerAbsent|CbmonCheckStale"}'
    assert prometheus.query(outdated) == []
