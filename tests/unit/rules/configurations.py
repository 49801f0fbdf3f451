"""Configurations that rules are made from, and what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from cbmon.build import config_types
from cbmon.config import Config, load_config

NASTY: Final = (
    'quote"s',
    "back\\slash",
    "\\n",
    "{{ $labels.x }}",
    "{braces}",
    "{{",
    "}}",
    "ünïcode 火",
    "`tick`",
    "it's",
    "a|b.c*",
    "<% x %>",
    "<[ x ]>",
    "[[x]]",
    "$1",
    "%s",
    "#c: - x",
)
TCP: Final = {"tcp": {"address": "127.0.0.1:1"}}
SHOP: Final[dict[str, Any]] = {
    "global": {"external_url": "https://cbmon.example.net", "labels": {"site": "fra1"}},
    "alerting": {"slos": [{"name": "shop", "objective": "99.9%", "tags": ["critical"]}]},
    "checks": [
        {"name": "db", **TCP, "group": "shop"},
        {
            "name": "api",
            "http": {"url": "http://127.0.0.1/", "expect": {"certificate_days": 30}},
            "tags": ["critical"],
            "depends_on": ["db"],
            "group": "shop",
            "breaker": {"auto_disable_enabled": True, "max_failure_cycles": 7},
        },
        {"name": "nightly", **TCP, "interval": "5m", "depends_on": ["api"]},
    ],
    "exports": [{"name": "node", "textfile": {"path": "/tmp/cbmon.prom"}}],
    "notifications": {"receivers": [{"name": "oncall", "webhook": {"url": "http://127.0.0.1/"}}]},
}
"""A bit of everything."""
ONE: Final[dict[str, Any]] = {"checks": [{"name": "only", **TCP}]}
ODD: Final[dict[str, Any]] = {
    "global": {"labels": {"site": '{{x}} "q\\'}},
    "checks": [
        {"name": name, **TCP, "group": name, "tags": ["all"], "depends_on": ["root"]}
        for name in NASTY
    ]
    + [{"name": "root", **TCP}],
    "notifications": {"receivers": [{"name": 'r"{{', "webhook": {"url": "http://127.0.0.1/"}}]},
    "alerting": {
        "selector": {"job": 'cb"{{mon'},
        "labels": {"team": "}}{{"},
        "slos": [{"name": 's"{{lo', "objective": 0.9, "tags": ["all"]}],
        "alerts": {"CircuitBreakerOpen": {"severity": "{{ page }}", "keep_firing_for": "2m"}},
    },
}
"""Everything that something could stumble over."""
MANY: Final[dict[str, Any]] = {
    "checks": [
        {
            "name": f"check-{index:03}",
            **TCP,
            "interval": ("30s", "5m")[index % 10 == 0],
            "depends_on": [f"check-{index // 2:03}"] if index else [],
            "group": f"group-{index % 20}",
            "tags": ["all"],
        }
        for index in range(500 - len(NASTY))
    ]
    + [{"name": name, **TCP, "tags": ["all"]} for name in NASTY],
    "alerting": {"slos": [{"name": "all", "objective": "99.5%", "tags": ["all"]}]},
}
"""Five hundred breakers."""

BRISK: Final[dict[str, Any]] = {
    **ONE,
    "alerting": {"scrape_interval": "5s", "evaluation_interval": "10s"},
}
"""A Prometheus that scrapes and evaluates often."""
PATIENT: Final[dict[str, Any]] = {
    **ONE,
    "alerting": {
        "alerts": {
            "CircuitBreakerFailing": {"for": "10m", "threshold": 0.01},
            "CircuitBreakerAbsent": {"for": "1h"},
            "CircuitBreakerFlapping": {"for": "1h", "threshold": 15},
            "CbmonCertificateAlmostExpired": {"for": "0s", "keep_firing_for": "1h"},
            "CbmonDomainExpiring": {"for": "2m", "keep_firing_for": "15m"},
            "CbmonSamplesDropped": {"for": "30m", "threshold": 1_000_000},
            "CbmonStoreErrors": {"for": "20m", "threshold": 50},
            "CbmonDaemonAbsent": {"for": "1d"},
            "CbmonDiscoveryStale": {"threshold": 60},
        }
    },
}
"""Alerts that wait for longer than their windows, and other thresholds than ours."""
OVERLAPPING: Final[dict[str, Any]] = {
    "checks": [{"name": "api", **TCP, "tags": ["all"]}, {"name": "db", **TCP, "tags": ["all"]}],
    "alerting": {
        "slos": [
            {"name": "everything", "objective": "99.9%", "tags": ["all"]},
            {"name": "api", "objective": "99.99%", "checks": ["api"]},
        ],
        "alerts": {"CbmonSloBurnFast": {"for": "1m", "keep_firing_for": "20m"}},
    },
}
"""Two objectives for the same check."""


def configured(directory: Path, content: dict[str, Any]) -> Config:
    """The configuration, read from a file as it would be by the command."""
    path = directory / "cbmon.yml"
    storage = {"storage": {"url": "sqlite:///var/lib/cbmon/cbmon.db"}}
    path.write_text(yaml.safe_dump({**storage, **content}, allow_unicode=True))
    return load_config(path, types=config_types())
