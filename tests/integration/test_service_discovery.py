"""A real Prometheus finds what cbmon watches, over http_sd and from a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.integration.harness import Daemon, Prometheus, eventually

CHECKS = [
    {"name": "web", "http": {"url": "http://127.0.0.1:1/x?a=b"}, "tags": ["public", "eu"]},
    {"name": "db", "tcp": {"address": "127.0.0.1:2"}, "group": "shop", "labels": {"team": "a"}},
    {"name": 'odd "☂"', "http": {"url": "http://127.0.0.1:3/"}, "tags": ["public"]},
]


def relabelled(daemon: Daemon) -> list[dict[str, Any]]:
    """Public checks only; the daemon stands in for an exporter that looks at ?target=."""
    return [
        {"source_labels": ["__meta_cbmon_tags"], "regex": ".*,public,.*", "action": "keep"},
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__meta_cbmon_check"], "target_label": "check"},
        {"target_label": "__address__", "replacement": daemon.address},
    ]


def found(prometheus: Prometheus) -> dict[str, str] | None:
    """The scraped address by the check."""
    targets = {
        target["labels"]["check"]: target["scrapeUrl"]
        for target in prometheus.targets()
        if target["health"] == "up"
    }
    return targets if len(targets) == 2 else None


def test_prometheus_finds_the_checks_over_http(
    run_daemon: Callable[..., Daemon], prometheus: Callable[..., Prometheus]
) -> None:
    daemon = run_daemon({"checks": CHECKS})
    sources = {
        "static_configs": [],
        "http_sd_configs": [{"url": f"http://{daemon.address}/sd", "refresh_interval": "1s"}],
    }
    server = prometheus({"sd": ""}, scrape={**sources, "relabel_configs": relabelled(daemon)})
    targets = eventually(lambda: found(server), "the public checks", 20.0)
    assert set(targets) == {"web", 'odd "☂"'}
    assert "target=http%3A%2F%2F127.0.0.1%3A1%2Fx%3Fa%3Db" in targets["web"]

    daemon.write({"checks": [*CHECKS[1:], {**CHECKS[0], "name": "renamed"}]})
    assert daemon.post("/-/reload").status == 200
    eventually(lambda: "renamed" in (found(server) or ()), "the renamed check", 20.0)


def test_prometheus_finds_the_checks_in_a_file(
    run_daemon: Callable[..., Daemon], prometheus: Callable[..., Prometheus], tmp_path: Path
) -> None:
    daemon = run_daemon({"checks": CHECKS})
    config, targets = tmp_path / "cbmon.yml", tmp_path / "sd" / "cbmon.json"
    config.write_text(yaml.safe_dump({"checks": CHECKS}, allow_unicode=True))
    code, _, error = daemon.cli("sd", "--config.file", str(config), "--out", str(targets))
    assert (code, error) == (0, "")
    sources = {
        "static_configs": [],
        "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1s"}],
    }
    server = prometheus({"sd": ""}, scrape={**sources, "relabel_configs": relabelled(daemon)})
    assert set(eventually(lambda: found(server), "the public checks", 20.0)) == {"web", 'odd "☂"'}
