"""The files of ``cbmon dashboards`` from a configuration.

Rule: sorted keys, one trailing newline, no time and no random number: the same configuration and
version give the same bytes. JSON has no comments: version and configuration are in a dashboard's
description.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from cbmon import __version__
from cbmon.config import Config
from cbmon.dashboards.breaker import breaker
from cbmon.dashboards.check import check
from cbmon.dashboards.frame import MADE_BY
from cbmon.dashboards.itself import itself
from cbmon.dashboards.notifications import notifications
from cbmon.dashboards.overview import overview
from cbmon.dashboards.words import Json
from cbmon.rules.plan import Plan

DASHBOARDS: Final[Mapping[str, Callable[[Plan], Json]]] = {
    "cbmon-overview": overview,
    "cbmon-breaker": breaker,
    "cbmon-check": check,
    "cbmon-notifications": notifications,
    "cbmon-itself": itself,
}
"""The dashboards by their uid, which is also the name of their file."""
FOLDER: Final = "/var/lib/grafana/dashboards/cbmon"
PROVIDER: Final = "provisioning/cbmon.yml"
SHARED: Final = "10.4.0"
"""The oldest Grafana that the dashboards are made for."""


def render(config: Config) -> dict[str, str]:
    """The text of every file by its path: the dashboards and what provisions them."""
    made = {f"{uid}.json": written(one) for uid, one in dashboards(config).items()}
    return {**made, PROVIDER: _provider(config)}


def dashboards(config: Config) -> dict[str, Json]:
    """Every dashboard by its uid."""
    plan = Plan(config)
    return {uid: make(plan) for uid, make in DASHBOARDS.items()}


def written(dashboard: object) -> str:
    """As a file has it."""
    return json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def shared(dashboard: Json) -> Json:
    """A dashboard as grafana.com takes it: with what it requires, and nothing to fill in."""
    kinds = {panel["type"] for panel in dashboard["panels"]} - {"row"}
    panels = [{"id": kind, "name": kind, "type": "panel", "version": ""} for kind in sorted(kinds)]
    return {
        "__elements": {},
        "__inputs": [],
        "__requires": [
            {"id": "grafana", "name": "Grafana", "type": "grafana", "version": SHARED},
            *panels,
            {"id": "prometheus", "name": "Prometheus", "type": "datasource", "version": "1.0.0"},
        ],
        **dashboard,
        "id": None,
    }


def _provider(config: Config) -> str:
    return f"""\
# cbmon {__version__}, configuration {config.hash}
# {MADE_BY}
# To /etc/grafana/provisioning/dashboards/; the dashboards to the path below.
apiVersion: 1
providers:
  - name: cbmon
    folder: cbmon
    type: file
    disableDeletion: false
    allowUiUpdates: false
    updateIntervalSeconds: 30
    options:
      path: {FOLDER}
"""
