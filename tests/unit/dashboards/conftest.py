"""Configurations to draw dashboards for: nothing, one check, names that fight back, many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from cbmon.build import config_types
from cbmon.config import Config, load_config
from cbmon.dashboards.render import DASHBOARDS, dashboards

ENVIRONMENT = {"NAME": "${job}"}
NAMES = [
    'say "hi"',
    "back\\slash\\n",
    "Überwachung ☂",
    "a{b=c},d",
    "$job $__range",
    "${NAME}",
    "[[job]]",
]
KINDS: list[dict[str, Any]] = [
    {},
    {"kind": "percentage", "failure_rate_threshold": 0.3, "slow_call_seconds": 1.5},
    {"kind": "time", "failure_rate_threshold": 0.7, "window_seconds": "10m"},
    {"auto_disable_enabled": True, "failure_threshold": 9, "max_failure_cycles": 2},
]


def check(name: str, **breaker: Any) -> dict[str, Any]:
    return {"name": name, "http": {"url": "http://127.0.0.1/"}, "breaker": breaker}


CONFIGS: dict[str, dict[str, Any]] = {
    "nothing": {"checks": []},
    "one": {"checks": [check("one")]},
    "hostile": {
        "global": {"external_url": "https://cbmon.example.net/$job/"},
        "alerting": {"selector": {"cluster": 'a"$job'}},
        "checks": [check(name, **KINDS[1]) for name in NAMES] + [check("plain", **KINDS[3])],
        "exports": [{"name": "file", "textfile": {"path": "/tmp/x.prom"}}],
    },
    "many": {"checks": [check(f"check-{i}", **KINDS[i % 4]) for i in range(500)]},
}


Load = Callable[[dict[str, Any]], Config]


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    folder = tmp_path_factory.mktemp("configurations")

    def read(config: dict[str, Any]) -> Config:
        path = folder / "cbmon.yml"
        path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        return load_config(path, types=config_types(), environ=ENVIRONMENT)

    return read


@pytest.fixture(scope="session", params=CONFIGS)
def config(request: pytest.FixtureRequest, load: Load) -> Config:
    return load(CONFIGS[request.param])


@pytest.fixture(scope="session")
def drawn(config: Config) -> dict[str, dict[str, Any]]:
    return dashboards(config)


@pytest.fixture(params=DASHBOARDS)
def dashboard(request: pytest.FixtureRequest, drawn: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = drawn[request.param]
    return found
