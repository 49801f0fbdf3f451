"""Several processes behind one endpoint: the same results, and a death that nobody notices."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Daemon, Targets, eventually, free_port
from tests.integration.harness.processes import finished, slowness
from tests.integration.harness.sinks import Reply

RunDaemon = Callable[..., Daemon]

TWO = ("--workers", "2")
QUICK: dict[str, Any] = {"interval": "500ms", "timeout": "400ms"}
TOUCHY: dict[str, Any] = {"breaker": {"failure_threshold": 1}}


def check(name: str, url: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "http": {"url": url}, **QUICK, **more}


def workers(daemon: Daemon) -> list[int]:
    """The process ids of its workers, by what runs below it."""
    children = f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children"
    found = [int(pid) for pid in Path(children).read_text().split()]
    return [pid for pid in found if b"cbmon.workers" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def up(daemon: Daemon) -> float:
    return sum(daemon.metrics("cbmon_worker_up").values())


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def seen(daemon: Daemon, name: str) -> dict[str, Any]:
    """What the last run of a check found, without what is different each time."""
    check: dict[str, Any] = daemon.get(f"/api/v1/checks/{name}").json
    result = dict(check["last"] or {})
    for key in ("duration_seconds", "phases"):
        result.pop(key, None)
    return result


def failures(daemon: Daemon) -> float:
    return sum(daemon.metrics("cbmon_check_failures_total").values())


def trips(daemon: Daemon) -> float:
    return sum(daemon.metrics("circuit_breaker_trips_total").values())


# --- results -----------------------------------------------------------------------------


def test_results_are_those_of_one_process(run_daemon: RunDaemon, targets: Targets) -> None:
    targets.behave = lambda request: Reply(500 if request.path == "/broken" else 200)
    address = targets.url.removeprefix("http://")
    checks: list[dict[str, Any]] = [
        check("good", targets.url),
        check("broken", f"{targets.url}/broken"),
        check("strict", targets.url, http={
            "url": targets.url, "expect": {"body": {"matches": "other"}},
            "basic_auth": {"username": "u", "password": "hush"},
        }),
        check("refused", f"http://127.0.0.1:{free_port()}/"),
        {"name": "connected", "tcp": {"address": address}, **QUICK},
        {"name": "nameless", "tcp": {"address": "no-such.invalid:1"}, **QUICK},
        {"name": "own", "python": {"call": "json:loads"}, **QUICK},
    ]  # fmt: skip
    alone, several = run_daemon({"checks": checks}), run_daemon({"checks": checks}, flags=TWO)
    assert workers(alone) == []
    assert len(workers(several)) == 2
    for each in checks:
        name = each["name"]
        for daemon in (alone, several):
            eventually(lambda d=daemon, n=name: seen(d, n), f"a result of {name}")  # type: ignore[misc]
        assert seen(several, name) == seen(alone, name)
    runs = sum(several.metrics("cbmon_worker_runs_total").values())
    assert runs >= len(checks) - 1


def test_one_process_has_no_worker_and_says_so(run_daemon: RunDaemon) -> None:
    daemon = run_daemon({"checks": []})
    assert daemon.metric("cbmon_workers") == 0
    assert daemon.metrics("cbmon_worker_up") == {}


# --- deaths ------------------------------------------------------------------------------


def test_runs_of_a_worker_that_is_killed_are_done_again(
    run_daemon: RunDaemon, targets: Targets
) -> None:
    targets.behave = lambda _: Reply(delay=1.0)
    slow = [
        check(f"slow-{number}", f"{targets.url}/{number}", interval="20s", timeout="15s", **TOUCHY)
        for number in range(8)
    ]
    daemon = run_daemon({"checks": slow}, flags=TWO)
    eventually(lambda: len(targets.hits) == len(slow), "runs that are going on", 20.0)
    targets.behave = lambda _: Reply()
    killed = workers(daemon)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    eventually(lambda: up(daemon) == 2 and not set(workers(daemon)) & set(killed), "new workers")
    assert time.monotonic() - began < 1.5 * slowness()
    for each in slow:
        eventually(lambda n=each["name"]: seen(daemon, n).get("ok"), "every run to end")  # type: ignore[misc]
    assert (failures(daemon), trips(daemon)) == (0, 0)
    eventually(lambda: len(daemon.logged("worker died")) == 2, "the log to tell of both")


def test_workers_that_die_all_the_time_trip_no_breaker(
    run_daemon: RunDaemon, targets: Targets
) -> None:
    many = [
        check(
            f"check-{number:03d}", f"{targets.url}/{number}", timeout="5s", interval="6s", **TOUCHY
        )
        for number in range(100)
    ]
    daemon = run_daemon({"checks": many}, flags=TWO)
    for _ in range(5):
        eventually(lambda: up(daemon) == 2, "two workers", 20.0)
        time.sleep(0.2)
        os.kill(workers(daemon)[0], signal.SIGKILL)
    eventually(lambda: len(targets.hits) == len(many), "a run of every check", 30.0)
    eventually(lambda: up(daemon) == 2, "two workers", 20.0)
    assert (failures(daemon), trips(daemon)) == (0, 0)
    missed = daemon.metrics("cbmon_check_skipped_total")
    assert not any(value for name, value in missed.items() if 'cause="missed"' in name)
    assert daemon.stop() == 0


@pytest.mark.long
def test_a_worker_that_stands_still_is_replaced(run_daemon: RunDaemon, targets: Targets) -> None:
    daemon = run_daemon({"checks": [check("one", targets.url)]}, flags=TWO)
    stopped = workers(daemon)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    eventually(lambda: not any(map(is_there, stopped)), "the stopped ones to be gone", 30.0)
    before = targets.hits["/"]
    eventually(lambda: targets.hits["/"] > before, "a run by a new one")
    eventually(lambda: daemon.logged("worker is stuck"), "the log to say why")


# --- stop and reload ---------------------------------------------------------------------


def test_a_stop_lets_runs_end_and_leaves_no_worker(run_daemon: RunDaemon, targets: Targets) -> None:
    targets.behave = lambda _: Reply(delay=1.5)
    slow = {"name": "slow", "http": {"url": targets.url}, "interval": "5s", "timeout": "4s"}
    daemon = run_daemon({"checks": [slow]}, flags=TWO)
    eventually(lambda: targets.hits["/"], "a run that is going on")
    pids = workers(daemon)
    assert daemon.stop() == 0
    assert targets.broken_off == 0, "the run was cut off"
    assert not any(map(is_there, pids))
    assert not daemon.logged("level=error"), daemon.log()


def test_the_interrupt_of_a_terminal_stops_it_in_order(
    run_daemon: RunDaemon, targets: Targets
) -> None:
    """A terminal tells the whole group of processes."""
    targets.behave = lambda _: Reply(delay=1.0)
    slow = {"name": "slow", "http": {"url": targets.url}, "interval": "5s", "timeout": "4s"}
    daemon = run_daemon({"checks": [slow]}, flags=TWO)
    eventually(lambda: targets.hits["/"], "a run that is going on")
    for pid in (*workers(daemon), daemon.process.pid):
        os.kill(pid, signal.SIGINT)
    assert daemon.process.wait(25.0) == 0
    assert targets.broken_off == 0, "the run was cut off"


def test_workers_end_with_a_daemon_that_was_killed(run_daemon: RunDaemon, targets: Targets) -> None:
    daemon = run_daemon({"checks": [check("one", targets.url)]}, flags=TWO)
    pids = workers(daemon)
    daemon.kill()
    eventually(lambda: not any(map(is_there, pids)), "the workers to be gone")


def test_a_reload_reaches_the_workers(run_daemon: RunDaemon, targets: Targets) -> None:
    names = [f"check-{number}" for number in range(6)]
    before = [check(name, f"{targets.url}/old/{name}") for name in names]
    daemon = run_daemon({"checks": before}, flags=TWO)
    eventually(lambda: len(targets.hits) == 6, "a run of every check")
    after = [check(name, f"{targets.url}/new/{name}") for name in [*names[2:], "added"]]
    daemon.write({"checks": after})
    assert daemon.post("/-/reload").status == 200
    wanted = {f"/new/{name}" for name in [*names[2:], "added"]}
    eventually(lambda: wanted <= set(targets.hits), "a run of every changed check")
    targets.hits.clear()
    time.sleep(1.2)
    assert set(targets.hits) == wanted
    assert sum(daemon.metrics("cbmon_worker_restarts_total").values()) == 0


def test_a_reload_while_a_worker_is_being_replaced_is_taken_up(
    run_daemon: RunDaemon, targets: Targets
) -> None:
    daemon = run_daemon({"checks": [check("one", f"{targets.url}/old")]}, flags=TWO)
    eventually(lambda: targets.hits["/old"], "a run")
    for pid in workers(daemon):
        os.kill(pid, signal.SIGKILL)
    daemon.write({"checks": [check("one", f"{targets.url}/new")]})
    assert daemon.post("/-/reload").status == 200
    eventually(lambda: targets.hits["/new"], "a run of the changed check")


# --- many --------------------------------------------------------------------------------


@pytest.mark.long
def test_sixteen_thousand_checks_every_two_seconds_by_two_workers() -> None:
    """The benchmark ends with 1 when a run was missed or failed, or a breaker tripped."""
    benchmark = Path(__file__).parents[2] / "benchmarks" / "workers.py"
    done = finished([sys.executable, str(benchmark), "--seconds", "60"], timeout=300.0)
    assert done.returncode == 0, done.stdout + done.stderr
