"""A thousand reloads, half of them of files that cannot be used, while breakers flap.

No state is lost, no run of an untouched check is missed, memory and descriptors stay flat.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Daemon, Targets
from tests.integration.harness.sinks import Reply

ROUNDS = 1000
WARM = 200
BAD: list[Callable[[dict[str, Any]], object]] = [
    lambda its: its["checks"].append({"name": "x", "tcp": {"address": "nowhere"}}),
    lambda its: its["checks"].append(dict(its["checks"][0])),
    lambda its: its["checks"][0].update(interval="-1s"),
    lambda its: its["checks"][0].update(breaker={"failure_threshold": 0}),
    lambda its: its["checks"][0].update(breaker={"recovery_timeout": "9m", "kind": "luck"}),
    lambda its: its.update(cheks=[]),
    lambda its: its.update(defaults={"interval": "1s", "timeout": "2 parsecs"}),
    lambda its: its["checks"][1].update(depends_on=["nobody"]),
]


def config(targets: Targets, threshold: int = 3) -> dict[str, Any]:
    def check(name: str, **more: Any) -> dict[str, Any]:
        http = {"url": f"{targets.url}/{name}"}
        return {"name": name, "http": http, "interval": "500ms", "timeout": "400ms", **more}

    flapping = {"failure_threshold": 2, "recovery_timeout": "300ms"}
    return {
        "checks": [
            check("steady"),
            check("flappy", breaker=flapping),
            check("retuned", breaker={"failure_threshold": threshold}),
        ]
    }


def used(daemon: Daemon) -> tuple[int, int]:
    """Resident bytes and open descriptors."""
    process = Path("/proc") / str(daemon.process.pid)
    pages = int((process / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list((process / "fd").iterdir()))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_thousand_reloads_lose_nothing(
    run_daemon: Callable[..., Daemon], targets: Targets
) -> None:
    sick = False
    targets.behave = lambda asked: Reply(500 if sick and asked.path == "/flappy" else 200)
    daemon = run_daemon(config(targets))
    memory, descriptors = used(daemon)
    began, slowest = time.monotonic(), 0.0
    runs = daemon.metric("cbmon_check_runs_total", check="steady") or 0.0
    for number in range(ROUNDS):
        sick = number % 20 < 10
        good = number % 2 == 0
        its = config(targets, threshold=3 + number % 4)
        if not good:
            BAD[number // 2 % len(BAD)](its)
        before = daemon.metrics("cbmon_config_hash")
        daemon.write(its)
        asked = time.monotonic()
        reply = daemon.post("/-/reload")
        slowest = max(slowest, time.monotonic() - asked)
        assert reply.status == (200 if good else 500), (number, reply.text)
        if not good:
            assert daemon.metrics("cbmon_config_hash") == before
        if number == WARM:
            memory, descriptors = used(daemon)
    took = time.monotonic() - began
    after_memory, after_descriptors = used(daemon)
    made = (daemon.metric("cbmon_check_runs_total", check="steady") or 0.0) - runs
    skipped = daemon.metric("cbmon_check_skipped_total", check="steady", cause="missed") or 0.0
    assert slowest < 1.0
    assert skipped == 0
    assert made == pytest.approx(took / 0.5, rel=0.05)
    assert daemon.breaker("steady")["metrics"]["total_calls"] >= made
    assert daemon.breaker("flappy")["metrics"]["trips"] >= took / 10
    assert after_descriptors <= descriptors + 5
    assert after_memory <= memory * 1.1 + 4_000_000, (memory, after_memory)
