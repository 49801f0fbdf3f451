"""The OpenTelemetry Collector's own OTLP receiver takes what the daemon sends.

It is built by Go from the Collector's modules into a folder of the test's; without Go, or where its
modules cannot be had, the test is skipped.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.harness import Daemon, Process, eventually, free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
SOURCE: Final = Path(__file__).parent / "otlp" / "main.go"
COLLECTOR: Final = "go.opentelemetry.io/collector"
MODULES: Final = ("receiver/otlpreceiver", "receiver/receivertest", "component/componenttest")
VERSION: Final = "v0.115.0"
INTERVAL: Final = 1.0
AWAY: Final = 6.0


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    folder = tmp_path_factory.mktemp("collector")
    shutil.copy(SOURCE, folder)
    (folder / "go.mod").write_text("module otlpsink\n\ngo 1.22.0\n", encoding="utf-8")
    modules = [f"{COLLECTOR}/{name}@{VERSION}" for name in MODULES]
    built = folder / "otlpsink"
    steps = [["go", "get", *modules], ["go", "mod", "tidy"], ["go", "build", "-o", str(built), "."]]
    for command in steps:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "GOFLAGS": "-mod=mod"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"{' '.join(command[:2])} failed: {done.stderr.strip()[-300:]}")
    return built


class Collector:
    """The receiver on a port, and what it took."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.port = free_port()
        self.file = directory / "taken.jsonl"
        self._command = [str(program), f"127.0.0.1:{self.port}", str(self.file)]
        self._directory = directory
        self.process: Process

    def start(self) -> None:
        self.process = Process("otlpsink", self._command, self._directory)
        self.process.start()
        eventually(lambda: "ready" in self.process.log(), "the receiver to be ready")

    def points(self, metric: str) -> list[tuple[float, dict[str, Any]]]:
        """The points of a metric in the order of their arrival, with their Unix time."""
        if not self.file.exists():
            return []
        whole = self.file.read_text(encoding="utf-8").rpartition("\n")[0]
        return [
            (int(point["timeUnixNano"]) / 1e9, point)
            for line in whole.splitlines()
            for resource in json.loads(line)["resourceMetrics"]
            for scope in resource["scopeMetrics"]
            for found in scope["metrics"]
            if found["name"] == metric
            for kind in ("gauge", "sum", "histogram")
            for point in found.get(kind, {}).get("dataPoints", ())
        ]


@pytest.fixture
def collector(receiver: Path, tmp_path: Path) -> Iterator[Collector]:
    made = Collector(receiver, tmp_path)
    made.start()
    yield made
    made.process.clean_up()


def test_the_collector_gets_every_sample_also_those_of_the_time_it_was_away(
    collector: Collector, run_daemon: Callable[..., Daemon]
) -> None:
    daemon = run_daemon(
        {
            "checks": [{"name": "itself", "tcp": {"address": f"127.0.0.1:{collector.port}"}}],
            "defaults": {"interval": "1s", "timeout": "500ms"},
            "exports": [
                {
                    "name": "otel",
                    "otlp": {"url": f"http://127.0.0.1:{collector.port}/v1/metrics"},
                    "interval": f"{INTERVAL}s",
                    "timeout": "900ms",
                    "breaker": {"failure_threshold": 2, "recovery_timeout": "1s"},
                }
            ],
        }
    )
    eventually(lambda: len(collector.points("cbmon_check_up")) > 3, "samples", 30.0)
    collector.process.clean_up()
    began = time.time()
    time.sleep(AWAY)
    collector.start()
    back = time.time()
    name = "cbmon_check_runs_total"

    def caught_up() -> bool:
        return any(at > back + 3 * INTERVAL for at, _ in collector.points(name))

    eventually(caught_up, "samples of after the outage", 60.0)
    times = [at for at, _ in collector.points(name)]
    assert times == sorted(times), "in order"
    missed = [at for at in times if began < at < back]
    assert len(missed) >= AWAY / INTERVAL - 1, "the samples of the gap are there"
    steps = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert max(steps) < 2.5 * INTERVAL, "no gap is left"
    counts = [float(point["asDouble"]) for _, point in collector.points(name)]
    assert counts == sorted(counts)
    kinds = {
        "cbmon_check_up": "asDouble",
        "cbmon_scheduler_lateness_seconds": "bucketCounts",
        "circuit_breaker_state": "asDouble",
    }
    for metric, field in kinds.items():
        assert all(field in point for _, point in collector.points(metric)), metric
    text = daemon.get("/metrics").text
    dropped = re.findall(r"^cbmon_export_dropped_samples_total\{.*\} (\S+)$", text, re.MULTILINE)
    assert dropped
    assert {float(count) for count in dropped} == {0.0}
