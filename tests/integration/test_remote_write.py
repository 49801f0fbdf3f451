"""Debian's Prometheus takes what the daemon writes to it, and misses nothing when it was away."""

from __future__ import annotations

import itertools
import json
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.harness import Daemon, Prometheus, eventually, program
from tests.integration.harness.servers import Server

INTERVAL: Final = 0.5
UP: Final = 'up{job="cbmon",instance="here",site="test"}'


class Receiver(Prometheus):
    """A Prometheus that scrapes nothing and is written to."""

    def command(self) -> Sequence[str | Path]:
        return [*super().command(), "--web.enable-remote-write-receiver"]


class VictoriaMetrics(Server):
    """Stops in good order only: what it has not written after a kill is gone by its design."""

    ready_path = "/health"

    def command(self) -> Sequence[str | Path]:
        return [
            program("victoria-metrics", package="victoria-metrics"),
            f"-httpListenAddr=127.0.0.1:{self.port}",
            f"-storageDataPath={self.directory / 'data'}",
            "-retentionPeriod=1",
        ]

    def samples(self, selector: str) -> list[tuple[float, float]]:
        """Every stored sample of one series as (time, value), as they come."""
        self.get("/internal/force_flush")
        answer = self.get("/api/v1/export?" + urllib.parse.urlencode({"match[]": selector}))
        lines = [json.loads(line) for line in answer.text.splitlines()]
        return [
            (at / 1000, value)
            for line in lines
            for at, value in zip(line["timestamps"], line["values"], strict=True)
        ]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    server = Receiver(tmp_path / "receiver", {})
    server.start()
    yield server
    server.process.clean_up()


def config(receiver: Server, *checks: str, **options: Any) -> dict[str, Any]:
    write = {
        "url": f"{receiver.url}/api/v1/write",
        "instance": "here",
        "external_labels": {"site": "test"},
        **options,
    }
    return {
        "defaults": {"interval": "1s", "timeout": "500ms"},
        "checks": [{"name": name, "tcp": {"address": "127.0.0.1:9"}} for name in checks],
        "exports": [
            {
                "name": "remote",
                "remote_write": write,
                "interval": f"{INTERVAL}s",
                "timeout": f"{INTERVAL}s",
                "breaker": {"failure_threshold": 2, "recovery_timeout": "1s"},
            }
        ],
    }


def gaps(samples: list[tuple[float, float]]) -> list[float]:
    return [later - at for (at, _), (later, _) in itertools.pairwise(samples)]


def waiting(daemon: Daemon) -> float | None:
    return daemon.metric("cbmon_export_queue_length", export="remote")


def test_what_is_written_is_what_a_scrape_would_have_stored(
    receiver: Receiver, run_daemon: Callable[..., Daemon]
) -> None:
    nasty = 'q"uo\\te {x} ü'
    daemon = run_daemon(config(receiver, "plain", nasty))
    eventually(lambda: receiver.value(UP) == 1, "up to arrive")
    found = {one["metric"]["check"] for one in receiver.query("cbmon_check_up")}
    assert found == {"plain", nasty}
    exposed = {name.partition("{")[0] for name in daemon.metrics()}
    stored = {one["metric"]["__name__"] for one in receiver.query('{job="cbmon"}')}
    assert stored - {"up"} >= exposed

    daemon.write(config(receiver, "plain"))
    assert daemon.cli("reload", "--wait", "--url", daemon.url)[0] == 0
    one = 'cbmon_check_up{check="plain"}'
    gone = "count(cbmon_check_up) == 1"
    eventually(lambda: receiver.query(gone), "the marker of the series that ended", 5.0)
    assert receiver.query(one)

    daemon.process.stop()
    assert not receiver.query('{job="cbmon"}'), "a stop ends every series"


def outage(receiver: Receiver, daemon: Daemon, seconds: float) -> None:
    """Kill the receiver for so long, start it again, and look whether anything is missing."""
    eventually(lambda: receiver.value(f"count_over_time({UP}[1m]) > 3"), "some samples")
    receiver.process.kill()
    state = 'circuit_breaker_state{category="export",component="remote"}'
    eventually(lambda: daemon.metrics().get(state) == 0, "the breaker to open")
    time.sleep(seconds)
    assert (waiting(daemon) or 0) >= seconds / INTERVAL * 0.8
    back = time.time()
    receiver.start()
    eventually(lambda: waiting(daemon) == 0, "what waited to be sent", 30.0 + seconds)
    eventually(lambda: receiver.samples(UP, "1h")[-1][0] > back, "present samples")
    stored = receiver.samples(UP, "1h")
    assert max(gaps(stored)) < INTERVAL * 1.9, "nothing is missing"
    for cause in ("refused", "full", "old", "open", "disk"):
        labels = {"cause": cause, "export": "remote"}
        assert daemon.metric("cbmon_export_dropped_samples_total", **labels) == 0
    assert "ut of order" not in receiver.process.log()
    runs = receiver.samples('cbmon_check_runs_total{check="a"}', "1h")
    assert [value for _, value in runs] == sorted(value for _, value in runs)
    assert max(gaps(runs)) < INTERVAL * 1.9


def test_a_receiver_that_was_away_gets_every_sample_of_that_time_in_order(
    receiver: Receiver, run_daemon: Callable[..., Daemon]
) -> None:
    outage(receiver, run_daemon(config(receiver, "a")), 5.0)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_receiver_that_was_away_for_two_minutes_gets_every_sample_in_order(
    receiver: Receiver, run_daemon: Callable[..., Daemon]
) -> None:
    outage(receiver, run_daemon(config(receiver, "a")), 120.0)


def test_what_waits_survives_a_kill_of_the_daemon(
    receiver: Receiver, run_daemon: Callable[..., Daemon]
) -> None:
    daemon = run_daemon(config(receiver, "a"))
    eventually(lambda: receiver.value(UP) == 1, "up to arrive")
    receiver.process.kill()
    eventually(lambda: (waiting(daemon) or 0) > 4, "some samples to wait")
    files = set((daemon.data / "spool").rglob("*.batch"))
    daemon.process.kill()
    receiver.start()
    daemon.process.start()
    eventually(lambda: not files & set((daemon.data / "spool").rglob("*.batch")), "them to go")
    eventually(lambda: receiver.samples(UP, "1h"), "the samples")
    moments = {round(at * 1000) for at, _ in receiver.samples(UP, "1h")}
    assert {int(file.name.partition("-")[0]) for file in files} <= moments


def test_victoria_metrics_gets_the_samples_of_an_outage_too(
    tmp_path: Path, run_daemon: Callable[..., Daemon]
) -> None:
    server = VictoriaMetrics(tmp_path / "victoria")
    server.start()
    try:
        daemon = run_daemon(config(server, "a"))
        eventually(lambda: len(server.samples(UP)) > 2, "some samples")
        server.stop()
        eventually(lambda: (waiting(daemon) or 0) > 6, "some samples to wait")
        back = time.time()
        server.start()
        eventually(lambda: waiting(daemon) == 0, "what waited to be sent", 30.0)
        eventually(lambda: server.samples(UP)[-1][0] > back, "present samples")
        stored = server.samples(UP)
        assert stored == sorted(stored)
        assert max(gaps(stored)) < INTERVAL * 1.9, "nothing is missing"
    finally:
        server.process.clean_up()
