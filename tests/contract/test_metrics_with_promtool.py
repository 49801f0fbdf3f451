"""promtool and both of Prometheus' parsers read the metrics of every sort of configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from cbmon import CircuitBreaker
from cbmon.build import info_of
from cbmon.config import Config
from cbmon.metrics import Metrics
from cbmon.metrics.records import DiscoveryRecord
from cbmon.testing import ManualClock
from tests.integration.harness import program
from tests.unit.rules.configurations import MANY, ODD, ONE, SHOP, configured

CONFIGURATIONS: Final[dict[str, dict[str, Any]]] = {
    "none": {},
    "one": ONE,
    "shop": SHOP,
    "odd": ODD,
    "many": MANY,
}


def exposed(config: Config) -> Metrics:
    """Everything that is configured, as the daemon starts with it; names of sources, too."""
    clock = ManualClock()
    metrics = Metrics(clock)
    for item in (*config.checks, *config.exports):
        info = info_of(item, config)
        breaker = CircuitBreaker(item.name, item.policy, clock=clock, category=info.category)
        metrics.add_component(info, breaker)
        metrics.discoveries[item.name] = DiscoveryRecord(item.name)
    for receiver in config.notifications.receivers:
        metrics.add_receiver(receiver.name)
        guard = CircuitBreaker(receiver.name, receiver.policy, clock=clock, category="receiver")
        metrics.add_breaker(guard)
    return metrics


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_promtool_finds_nothing_to_complain_about(tmp_path: Path, name: str) -> None:
    config = configured(tmp_path, CONFIGURATIONS[name])
    exposition = exposed(config).exposition
    done = subprocess.run(
        [program("promtool", package="prometheus"), "check", "metrics"],
        input=exposition.text(), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    expected = {item.name for item in (*config.checks, *config.exports)}
    read = {
        sample.labels["component"]
        for family in parse_text(exposition.text().decode())
        for sample in family.samples
        if sample.name == "circuit_breaker_state" and sample.labels["category"] != "receiver"
    }
    assert read == expected
    families = parse_openmetrics(exposition.openmetrics().decode())  # type: ignore[no-untyped-call]
    assert sum(1 for _ in families) > 30
