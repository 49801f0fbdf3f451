"""A step of the wall clock, or a pause, neither stalls the daemon nor sets off a storm."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.harness import Daemon, Targets, eventually, free_port
from tests.integration.harness.processes import absent

RunDaemon = Callable[..., Daemon]

HOUR = 3600
INTERVAL = 0.2


def libfaketime() -> str:
    """The library that gives a process another wall clock."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        absent("libfaketime is not installed (Debian: apt-get install libfaketime)")
    return str(found[0])


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_checks_go_on_at_their_pace_and_deadlines_stay(
    run_daemon: RunDaemon, targets: Targets, tmp_path: Path, step: int
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    daemon = run_daemon(
        {
            "checks": [
                {"name": "shop", "http": {"url": targets.url}, "interval": "200ms",
                 "timeout": "150ms"},
                {"name": "dead", "http": {"url": f"http://127.0.0.1:{free_port()}"},
                 "interval": "200ms", "timeout": "150ms",
                 "breaker": {"failure_threshold": 2, "recovery_timeout": "6s"}},
            ]
        },
        environ={
            "LD_PRELOAD": libfaketime(),
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        },
    )  # fmt: skip
    eventually(lambda: daemon.breaker("dead")["state"] == "open", "an open breaker")
    wait = daemon.breaker("dead")["retry_after_seconds"]
    opened = time.monotonic()
    assert targets.hits["/"] >= 1

    offset.write_text(f"{step:+d}\n")
    eventually(lambda: _is_stepped(daemon, step), "the daemon to see another time")
    before, began = targets.hits["/"], time.monotonic()
    time.sleep(3.0)
    runs, took = targets.hits["/"] - before, time.monotonic() - began
    expected = took / INTERVAL
    assert expected * 0.7 - 1 <= runs <= expected * 1.1 + 2, f"{runs} runs in {took:.1f} s"

    left = daemon.breaker("dead")["retry_after_seconds"]
    assert left == pytest.approx(wait - (time.monotonic() - opened), abs=0.5)
    eventually(
        lambda: daemon.breaker("dead")["metrics"]["total_calls"] == 3, "the trial at its time"
    )
    assert time.monotonic() - opened == pytest.approx(wait, abs=1.0)
    missed = daemon.metrics("cbmon_check_skipped_total")
    assert missed['cbmon_check_skipped_total{cause="overrun",check="shop"}'] <= 3  # a busy machine
    assert daemon.stop() == 0


def test_a_process_that_was_paused_counts_what_it_missed_and_replays_nothing(
    run_daemon: RunDaemon, targets: Targets
) -> None:
    shop = {"name": "shop", "http": {"url": targets.url}, "interval": "200ms", "timeout": "150ms"}
    daemon = run_daemon({"checks": [shop]})
    eventually(lambda: targets.hits["/"] >= 3, "some runs")
    daemon.signal(signal.SIGSTOP)
    before = targets.hits["/"]
    time.sleep(3.0)
    daemon.signal(signal.SIGCONT)
    began = time.monotonic()
    time.sleep(2.0)
    runs, took = targets.hits["/"] - before, time.monotonic() - began
    assert runs <= took / INTERVAL + 3, "missed runs were made up for"
    assert runs >= 0.6 * took / INTERVAL - 2
    missed = daemon.metric("cbmon_check_skipped_total", check="shop", cause="missed") or 0.0
    assert 3.0 / INTERVAL - 3 <= missed <= 3.0 / INTERVAL + 3
    assert daemon.breaker("shop")["state"] == "closed"


def _is_stepped(daemon: Daemon, step: int) -> bool:
    last = daemon.metric("cbmon_check_last_run_timestamp_seconds", check="shop") or 0.0
    return abs(last - (time.time() + step)) < 5.0
