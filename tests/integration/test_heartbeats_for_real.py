"""Rule: what a job said is known after a kill, and a job that falls silent opens its breaker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from tests.integration.harness import Daemon, eventually

TOKEN = "0123456789abcdef"
RunDaemon = Callable[..., Daemon]


def configuration(**options: Any) -> dict[str, Any]:
    return {
        "checks": [
            {
                "name": "backup",
                "heartbeat": {"token": TOKEN, "interval": "1h", **options},
                "interval": "200ms",
                "timeout": "100ms",
                "breaker": {"failure_threshold": 1, "recovery_timeout": "10m"},
            }
        ]
    }


def test_a_heartbeat_survives_a_kill(run_daemon: RunDaemon) -> None:
    daemon = run_daemon(configuration())
    began = time.time()

    assert daemon.post(f"/api/v1/heartbeat/{TOKEN}/start?rid=1").status == 200
    assert daemon.get(f"/api/v1/heartbeat/{TOKEN}?rid=1").status == 200
    assert daemon.post("/api/v1/heartbeat/wrong-token-0123456").status == 404
    daemon.kill()
    daemon.start()
    row = daemon.live_rows("SELECT * FROM breakers WHERE component = 'backup'")[0]

    (heart,) = [
        json.loads(value)["probe"] for value in row.values() if "succeeded_at" in str(value)
    ]
    assert heart["succeeded_at"] >= began
    assert heart["took"] >= 0
    assert TOKEN not in str(row)
    assert TOKEN not in daemon.log()


def test_a_job_that_fails_opens_its_breaker_and_its_success_closes_it_at_once(
    run_daemon: RunDaemon,
) -> None:
    daemon = run_daemon(configuration())

    assert daemon.post(f"/api/v1/heartbeat/{TOKEN}/3").status == 200
    eventually(lambda: daemon.breaker("backup")["state"] == "open", "the breaker to open")
    assert daemon.breaker("backup")["last_error"].startswith("the job failed with exit status 3")
    eventually(
        lambda: b'"to_state":"open"' in daemon.get("/api/v1/events?component=backup").body,
        "the move to be durable",
    )
    daemon.kill()
    daemon.start()
    assert daemon.breaker("backup")["state"] == "open"
    assert daemon.post(f"/api/v1/heartbeat/{TOKEN}").status == 200
    eventually(lambda: daemon.breaker("backup")["state"] == "closed", "the breaker to close")


def test_a_job_that_falls_silent_opens_its_breaker(run_daemon: RunDaemon) -> None:
    daemon = run_daemon(configuration(interval="300ms", grace="100ms"))

    eventually(lambda: daemon.breaker("backup")["state"] == "open", "the breaker to open")
    assert daemon.breaker("backup")["last_failure_reason"] == "timeout"
