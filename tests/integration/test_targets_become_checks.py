"""Targets become checks while the daemon runs; what stays is untouched, also over a restart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.harness import Daemon, Nginx, eventually


def config(targets: Path, nginx: Nginx) -> dict[str, Any]:
    return {
        "checks": [{"name": "written", "http": {"url": nginx.url}, "interval": "1s"}],
        "discovery": [
            {
                "name": "fleet",
                "file_sd": {"files": [str(targets)], "refresh_interval": "500ms"},
                "template": {
                    "name": "{{ labels.name }}",
                    "http": {"url": "http://{{ address }}/"},
                    "interval": "1s",
                    "timeout": "500ms",
                },
            }
        ],
    }


def write(path: Path, nginx: Nginx, *names: str) -> None:
    address = f"127.0.0.1:{nginx.port}"
    groups = [{"targets": [address], "labels": {"name": name}} for name in names]
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(groups))
    beside.replace(path)


def checks(daemon: Daemon) -> set[str]:
    found = daemon.metrics("cbmon_check_up")
    return {name.partition('"')[2].rpartition('"')[0] for name in found}


def test_targets_come_and_go_and_the_others_keep_their_counters(
    tmp_path: Path, nginx: Nginx, run_daemon: Callable[..., Daemon]
) -> None:
    path = tmp_path / "targets.json"
    write(path, nginx, "a", 'b "{x}" ü')
    daemon = run_daemon(config(path, nginx))
    assert checks(daemon) == {"written", "a", 'b \\"{x}\\" ü'} or len(checks(daemon)) == 3
    eventually(lambda: (daemon.metric("cbmon_check_runs_total", check="a") or 0) >= 2, "two runs")
    assert daemon.metric("cbmon_check_up", check="a") == 1

    runs = daemon.metric("cbmon_check_runs_total", check="a") or 0
    many = [f"t{number}" for number in range(300)]
    write(path, nginx, "a", *many)
    eventually(lambda: len(checks(daemon)) == 302, "the new checks")
    assert (daemon.metric("cbmon_check_runs_total", check="a") or 0) >= runs
    assert daemon.metric("cbmon_discovery_targets", discovery="fleet") == 301

    path.write_text("{ broken")
    failures = ("cbmon_discovery_failures_total", {"discovery": "fleet"})
    eventually(lambda: (daemon.metric(failures[0], **failures[1]) or 0) > 1, "it to be noticed")
    assert len(checks(daemon)) == 302
    listed = daemon.get("/api/v1/discovery").json["discovery"]
    assert listed[0]["checks"] == 301
    assert "no JSON" in listed[0]["error"]

    daemon.process.stop()
    daemon.process.start()
    eventually(lambda: len(checks(daemon)) == 302, "the last good list")

    write(path, nginx, "a")
    eventually(lambda: checks(daemon) == {"written", "a"}, "the others to go")
