"""A real Prometheus scrapes the daemon and tells the story of an outage as it was."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any

import pytest

from tests.integration.harness import (
    Daemon,
    Nginx,
    NodeExporter,
    Prometheus,
    Pushgateway,
    eventually,
    program,
)
from tests.integration.harness.processes import slowness

RunDaemon = Callable[..., Daemon]
RunPrometheus = Callable[..., Prometheus]

INTERVAL = 0.3
RECOVERY = 4.0
BREAKER: dict[str, Any] = {
    "failure_threshold": 3,
    "recovery_timeout": f"{RECOVERY:g}s",
    "half_open_max_calls": 3,
    "success_threshold": 3,
}


def check(name: str, url: str, **more: Any) -> dict[str, Any]:
    """A quick check whose half-open period lasts over several scrapes."""
    times = {"interval": f"{INTERVAL:g}s", "timeout": "200ms"}
    return {"name": name, "http": {"url": url}, **times, "breaker": BREAKER, **more}


def selector(metric: str, component: str, category: str = "check") -> str:
    return f'{metric}{{component="{component}",category="{category}"}}'


def changes(samples: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The first sample of each run of equal values, as (time, value)."""
    return [next(group) for _, group in groupby(samples, key=lambda sample: sample[1])]


def assert_scraped_without_errors(prometheus: Prometheus) -> None:
    for target in prometheus.targets():
        assert (target["health"], target["lastError"]) == ("up", ""), target
    failed = prometheus.value("sum(count_over_time(up[10m])) - sum(sum_over_time(up[10m]))")
    late = prometheus.process.log().count("context deadline exceeded")
    assert failed is not None
    assert failed == 0.0 or (slowness() > 1.0 and failed <= late), prometheus.process.log()
    for problem in (
        "sample_duplicate_timestamp",
        "sample_out_of_order",
        "sample_out_of_bounds",
        "exceeded_sample_limit",
    ):
        text = prometheus.get("/metrics").text
        assert f"prometheus_target_scrapes_{problem}_total 0\n" in text


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text;version=1.0.0"])
def test_promtool_finds_nothing_to_complain_about(
    run_daemon: RunDaemon, nginx: Nginx, accept: str
) -> None:
    daemon = run_daemon(
        {"checks": [check("nginx", nginx.url), check("dead", "http://127.0.0.1:1")]}
    )
    eventually(
        lambda: daemon.metric("circuit_breaker_state", component="dead", category="check") == 0,
        "an open breaker",
    )
    answer = daemon.get("/metrics", accept=accept)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(accept.partition(";")[0])
    if "openmetrics" in accept:
        assert answer.body.endswith(b"# EOF\n")
        return
    done = subprocess.run(
        [program("promtool", package="prometheus"), "check", "metrics"],
        input=answer.body, capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_an_outage_is_seen_as_it_was(
    run_daemon: RunDaemon, prometheus: RunPrometheus, nginx: Nginx
) -> None:
    """1 → 0 → 0.5 → 1, one trip, as many failures as the threshold, each at its time."""
    daemon = run_daemon({"checks": [check("nginx", nginx.url)]})
    scraper = prometheus({"cbmon": daemon.address})
    state = selector("circuit_breaker_state", "nginx")
    eventually(lambda: len(scraper.samples(state)) > 3, "a few scrapes")

    stopped = time.time()
    nginx.stop()
    eventually(lambda: scraper.value(state) == 0.0, "an open breaker in Prometheus")
    nginx.start()
    eventually(lambda: scraper.value(state) == 1.0, "a closed breaker in Prometheus", 20.0)

    story = changes(scraper.samples(state))
    assert [value for _, value in story] == [1.0, 0.0, 0.5, 1.0]
    opened, half_open, closed = (at for at, _ in story[1:])
    assert 2 * INTERVAL - 0.2 <= opened - stopped <= 3 * INTERVAL + 1.2
    assert half_open - opened == pytest.approx(RECOVERY, abs=0.6)
    assert 2 * INTERVAL - 0.4 <= closed - half_open <= 2 * INTERVAL + 1.0

    assert scraper.value(selector("circuit_breaker_failures_total", "nginx")) == 3.0
    assert scraper.value(selector("circuit_breaker_trips_total", "nginx")) == 1.0
    reason = 'cbmon_check_failures_total{check="nginx",reason="connect"}'
    assert scraper.value(reason) == 3.0
    moves = 'circuit_breaker_transitions_total{component="nginx"} > 0'
    assert {
        (found["metric"]["from_state"], found["metric"]["to_state"], found["value"][1])
        for found in scraper.query(moves)
    } == {("closed", "open", "1"), ("open", "half_open", "1"), ("half_open", "closed", "1")}
    assert_scraped_without_errors(scraper)


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash\\n", "Überwachung ☂", "a{b=c},d"])
def test_a_name_arrives_as_it_was_written(
    run_daemon: RunDaemon, prometheus: RunPrometheus, nginx: Nginx, name: str
) -> None:
    daemon = run_daemon({"checks": [check(name, nginx.url + "/%22?a=b&c={}")]})
    scraper = prometheus({"cbmon": daemon.address})
    found = eventually(lambda: scraper.query("cbmon_check_up"), "the check in Prometheus")
    assert [series["metric"]["check"] for series in found] == [name]
    info = scraper.query("cbmon_check_info")
    assert info[0]["metric"]["target"].startswith(nginx.url)
    assert_scraped_without_errors(scraper)


def test_the_exports_reach_node_exporter_and_the_gateway(
    run_daemon: RunDaemon,
    prometheus: RunPrometheus,
    nginx: Nginx,
    pushgateway: Pushgateway,
    node_exporter: NodeExporter,
) -> None:
    daemon = run_daemon(
        {
            "checks": [check("nginx", nginx.url)],
            "exports": [
                {
                    "name": "node-textfile",
                    "textfile": {"path": str(node_exporter.textfiles / "cbmon.prom")},
                    "interval": "300ms", "timeout": "250ms",
                },
                {
                    "name": "gateway",
                    "pushgateway": {"url": pushgateway.url, "job": "cbmon"},
                    "interval": "300ms", "timeout": "250ms",
                },
            ],
        }
    )  # fmt: skip
    scraper = prometheus(
        {
            "own": daemon.address,
            "node": f"127.0.0.1:{node_exporter.port}",
            "gateway": f"127.0.0.1:{pushgateway.port}",
        },
        scrape={"honor_labels": True},
    )
    for job in ("own", "node", "cbmon"):
        state = f'circuit_breaker_state{{component="nginx",job="{job}"}}'
        eventually(partial(scraper.value, state), f"the metrics by way of {job}")
    eventually(
        lambda: scraper.value('cbmon_export_runs_total{job="own",export="gateway"}'),
        "the export's own metrics",
    )
    assert "node_textfile_scrape_error 0" in node_exporter.get("/metrics").text
    assert "level=error" not in node_exporter.process.log()
    assert_scraped_without_errors(scraper)


def test_a_dead_gateway_opens_the_exports_own_breaker_and_nothing_else(
    run_daemon: RunDaemon, nginx: Nginx, pushgateway: Pushgateway
) -> None:
    daemon = run_daemon(
        {
            "checks": [check("nginx", nginx.url)],
            "exports": [
                {
                    "name": "gateway",
                    "pushgateway": {"url": pushgateway.url},
                    "interval": "300ms",
                    "timeout": "250ms",
                    "breaker": {**BREAKER, "recovery_timeout": "2s"},
                }
            ],
        }
    )
    export = {"component": "gateway", "category": "export"}
    own = {"component": "nginx", "category": "check"}
    eventually(lambda: daemon.metric("circuit_breaker_calls_total", **export), "a push")
    pushgateway.stop()
    eventually(
        lambda: daemon.metric("circuit_breaker_state", **export) == 0.0, "the export's open breaker"
    )
    runs = daemon.metric("circuit_breaker_calls_total", **own)
    assert runs is not None
    assert daemon.metric("cbmon_export_failures_total", export="gateway", reason="connect") == 3.0
    eventually(
        lambda: (daemon.metric("circuit_breaker_calls_total", **own) or 0) >= runs + 4,
        "checks to go on",
    )
    assert daemon.metric("circuit_breaker_state", **own) == 1.0
    assert daemon.metric("circuit_breaker_failures_total", **own) == 0.0
    pushgateway.start()
    eventually(
        lambda: daemon.metric("circuit_breaker_state", **export) == 1.0, "pushes again", 15.0
    )
    assert 'component="nginx"' in pushgateway.get("/metrics").text
