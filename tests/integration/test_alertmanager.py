"""cbmon and a real Alertmanager: the alert is there while the outage lasts, whatever happens to it.

Rule: Alertmanager's ``resolve_timeout`` is shorter than the outage, and it is killed in between.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.integration.harness import Alertmanager, Daemon, Hooks, Nginx, eventually, free_port
from tests.integration.harness.servers import Server

RunDaemon = Callable[..., Daemon]
Start = Callable[[Server], None]

MILLISECONDS = 0.002
"""Alertmanager is told times in milliseconds."""
SHORT = {"failure_threshold": 2, "recovery_timeout": "500ms"}


class Impatient(Alertmanager):
    """Takes an alert for resolved after a second; tells a webhook at once."""

    def __init__(self, directory: Path, hook: str) -> None:
        self._hook = hook
        super().__init__(directory)

    def command(self) -> Sequence[str | Path]:
        command = super().command()
        config = {
            "global": {"resolve_timeout": "1s"},
            "route": {
                "receiver": "hook",
                "group_by": ["component"],
                "group_wait": "0s",
                "group_interval": "1s",
                "repeat_interval": "1h",
            },
            "receivers": [{"name": "hook", "webhook_configs": [{"url": self._hook}]}],
        }
        (self.directory / "alertmanager.yml").write_text(yaml.safe_dump(config))
        return command

    def active(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/v2/alerts?active=true").json
        return found


def told(hooks: Hooks) -> list[str]:
    return [json.loads(request.body)["status"] for request in hooks.taken]


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def configuration(nginx: Nginx, urls: Sequence[str], **options: Any) -> dict[str, Any]:
    return {
        "global": {"labels": {"site": "fra1"}, "external_url": "https://cbmon.example.net"},
        "checks": [
            {
                "name": "shop api",
                "http": {"url": f"{nginx.url}/"},
                "interval": "100ms",
                "timeout": "90ms",
                "breaker": SHORT,
                "labels": {"team": "shop"},
            }
        ],
        "notifications": {
            "receivers": [{"name": "am", "alertmanager": {"urls": list(urls), **options}}]
        },
    }


def test_an_outage_is_one_alert_from_its_beginning_to_its_end(
    tmp_path: Path, nginx: Nginx, hooks: Hooks, run_daemon: RunDaemon, started: Start
) -> None:
    alertmanager = Impatient(tmp_path / "alertmanager", f"{hooks.url}/hook")
    started(alertmanager)
    absent = f"http://127.0.0.1:{free_port()}"
    daemon = run_daemon(configuration(nginx, [absent, alertmanager.url], resend_interval="300ms"))

    nginx.stop()
    [alert] = eventually(alertmanager.active, "the alert", 15.0)
    assert alert["labels"] == {
        "alertname": "CircuitBreakerOpen",
        "category": "check",
        "component": "shop api",
        "severity": "critical",
        "site": "fra1",
        "team": "shop",
    }
    [incident] = daemon.live_rows("select started_at from incidents where ended_at is null")
    began = incident["started_at"]
    assert abs(seconds(alert["startsAt"]) - began) < MILLISECONDS
    assert alert["annotations"]["summary"].startswith("shop api is")
    assert alert["generatorURL"] == "https://cbmon.example.net/components/shop%20api"

    # Told again: newer than resolve_timeout allows.
    def repeated() -> bool:
        return any(seconds(one["updatedAt"]) > began + 3.0 for one in alertmanager.active())

    eventually(repeated, "the alert to outlive resolve_timeout", 15.0)
    assert told(hooks) == ["firing"]

    alertmanager.process.kill()
    alertmanager.start()
    [again] = eventually(alertmanager.active, "the alert to come back", 15.0)
    assert (again["startsAt"], again["fingerprint"]) == (alert["startsAt"], alert["fingerprint"])

    nginx.start()
    eventually(lambda: not alertmanager.active(), "the alert to be resolved", 15.0)
    eventually(lambda: told(hooks)[-1] == "resolved", "its end to be told", 15.0)
    assert told(hooks).count("resolved") == 1
    [over] = daemon.live_rows("select started_at, ended_at from incidents")
    [resolved] = json.loads(hooks.taken[-1].body)["alerts"]
    assert abs(seconds(resolved["endsAt"]) - over["ended_at"]) < MILLISECONDS


def test_an_end_that_it_slept_through_is_told_to_it_later(
    tmp_path: Path, nginx: Nginx, hooks: Hooks, run_daemon: RunDaemon, started: Start
) -> None:
    both = [Impatient(tmp_path / name, f"{hooks.url}/{name}") for name in ("alertmanager", "other")]
    for one in both:
        started(one)
    run_daemon(configuration(nginx, [one.url for one in both], resend_interval="300ms"))
    awake, sleeper = both
    nginx.stop()
    for one in both:
        eventually(one.active, "the alert at each instance", 15.0)
    sleeper.process.signal(signal.SIGSTOP)
    nginx.start()
    eventually(lambda: not awake.active(), "the end at the one that is awake", 15.0)
    sleeper.process.signal(signal.SIGCONT)
    eventually(lambda: not sleeper.active(), "the end at the one that slept", 15.0)
    assert not awake.active()


def test_a_restart_of_cbmon_neither_resolves_nor_repeats(
    tmp_path: Path, nginx: Nginx, hooks: Hooks, run_daemon: RunDaemon, started: Start
) -> None:
    alertmanager = Impatient(tmp_path / "alertmanager", f"{hooks.url}/hook")
    started(alertmanager)
    daemon = run_daemon(configuration(nginx, [alertmanager.url], resend_interval="300ms"))
    nginx.stop()
    [alert] = eventually(alertmanager.active, "the alert", 15.0)
    eventually(partial(told, hooks), "the alert to be told", 15.0)
    daemon.kill()
    daemon.start()

    def renewed() -> bool:
        [one] = alertmanager.active()
        later: bool = seconds(one["updatedAt"]) > seconds(alert["updatedAt"]) + 2.0
        return later and one["startsAt"] == alert["startsAt"]

    eventually(renewed, "the same alert to be told again", 15.0)
    assert told(hooks) == ["firing"]
