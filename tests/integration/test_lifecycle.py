"""Start, stop, reload and what survives them, as an operator sees it from outside."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.harness import Daemon, Hooks, Targets, eventually, free_port
from tests.integration.harness.sinks import Reply

RunDaemon = Callable[..., Daemon]

QUICK: dict[str, Any] = {"interval": "200ms", "timeout": "150ms"}


def check(name: str, url: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "http": {"url": url}, **QUICK, **more}


def calls(daemon: Daemon, name: str) -> float:
    return daemon.metric("circuit_breaker_calls_total", component=name, category="check") or 0.0


def state(daemon: Daemon, name: str) -> str:
    found: str = daemon.breaker(name)["state"]
    return found


# --- stop --------------------------------------------------------------------------------


def test_sigterm_lets_what_runs_end_and_exits_with_0(
    run_daemon: RunDaemon, targets: Targets
) -> None:
    targets.behave = lambda _: Reply(delay=1.5)
    slow = {"name": "slow", "http": {"url": targets.url}, "interval": "5s", "timeout": "4s"}
    daemon = run_daemon({"checks": [slow]})
    eventually(lambda: targets.hits["/"], "a run that is going on")
    began = time.monotonic()
    assert daemon.stop() == 0
    assert 0.3 < time.monotonic() - began < 6.0
    assert targets.broken_off == 0, "the run was cut off"
    assert daemon.logged("stopped"), daemon.log()
    assert not daemon.logged("level=error"), daemon.log()


def test_a_run_that_outlasts_the_stop_is_cut_off_and_counts_as_nothing(
    run_daemon: RunDaemon, targets: Targets
) -> None:
    targets.behave = lambda _: Reply(delay=60.0)
    slow = {"name": "slow", "http": {"url": targets.url}, "interval": "2m", "timeout": "1m"}
    daemon = run_daemon({"checks": [slow]})
    eventually(lambda: targets.hits["/"], "a run that is going on")
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 20.0
    assert daemon.rows("select * from transitions") == []


def test_a_second_signal_ends_it_at_once(run_daemon: RunDaemon, targets: Targets) -> None:
    targets.behave = lambda _: Reply(delay=60.0)
    slow = {"name": "slow", "http": {"url": targets.url}, "interval": "2m", "timeout": "1m"}
    daemon = run_daemon({"checks": [slow]})
    eventually(lambda: targets.hits["/"], "a run that is going on")
    daemon.signal(signal.SIGINT)
    eventually(lambda: daemon.logged("signal"), "the first signal to be seen")
    time.sleep(0.5)  # both at once are one: a terminal and its parent may send the same twice
    assert daemon.process.alive
    began = time.monotonic()
    daemon.signal(signal.SIGINT)
    assert daemon.process.wait(10.0) == 1
    assert time.monotonic() - began < 3.0


def test_readiness_ends_before_the_web_does(run_daemon: RunDaemon, targets: Targets) -> None:
    """A load balancer sees 503 while what runs is waited for."""
    targets.behave = lambda _: Reply(delay=2.0)
    slow = {"name": "slow", "http": {"url": targets.url}, "interval": "10s", "timeout": "8s"}
    daemon = run_daemon({"checks": [slow]})
    eventually(lambda: targets.hits["/"], "a run that is going on")
    daemon.signal(signal.SIGTERM)
    eventually(lambda: daemon.get("/-/ready").status == 503, "readiness to end", 2.0)
    assert daemon.get("/-/healthy").status == 200
    assert daemon.process.wait() == 0


@pytest.mark.parametrize("moment", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_a_stop_during_the_start_is_orderly_too(
    run_daemon: RunDaemon, targets: Targets, moment: float
) -> None:
    daemon = run_daemon({"checks": [check("shop", targets.url)]}, start=False)
    daemon.process.start()
    time.sleep(moment)
    code = daemon.stop()
    assert code in {0, -signal.SIGTERM}, daemon.log()
    assert "Traceback" not in daemon.log()
    assert daemon.start() > 0


# --- start -------------------------------------------------------------------------------


def test_a_bad_file_exits_with_2_and_the_list(run_daemon: RunDaemon) -> None:
    daemon = run_daemon(
        {
            "checks": [
                {"name": "a", "http": {"url": "http://127.0.0.1:1"}, "intervall": "5s"},
                {"name": "b", "http": {"url": "http://127.0.0.1:1"}, "timeout": "5 parsecs"},
            ]
        },
        start=False,
    )
    daemon.process.start()
    assert daemon.process.wait() == 2
    lines = daemon.log().splitlines()
    assert any("cbmon.yml:7:3: checks[0]: " in line or "unknown key" in line for line in lines), (
        lines
    )
    assert any("checks[1].timeout" in line for line in lines), lines
    assert "Traceback" not in daemon.log()


def test_a_second_daemon_on_the_same_data_is_refused(run_daemon: RunDaemon) -> None:
    first = run_daemon({})
    second = run_daemon({}, start=False)
    second.write({"storage": {"url": f"sqlite://{first.data / 'cbmon.db'}"}})
    second.process.start()
    assert second.process.wait() == 1
    assert str(first.data) in second.log()
    assert "Traceback" not in second.log()
    assert first.get("/-/ready").status == 200


def test_a_taken_port_is_named(run_daemon: RunDaemon) -> None:
    first = run_daemon({})
    second = run_daemon({"web": {"listen": [first.address]}}, start=False)
    second.process.start()
    assert second.process.wait() == 1
    assert str(first.port) in second.log()
    assert "Traceback" not in second.log()


# --- what survives ------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_an_open_breaker_waits_on_where_it_was(run_daemon: RunDaemon, end: str) -> None:
    dead = check("dead", f"http://127.0.0.1:{free_port()}")
    policy = {"failure_threshold": 2, "recovery_timeout": "30s"}
    daemon = run_daemon({"checks": [{**dead, "breaker": policy}]})
    eventually(lambda: state(daemon, "dead") == "open", "an open breaker")
    before = daemon.breaker("dead")
    until = time.time() + before["retry_after_seconds"]
    time.sleep(0.3)  # shown as soon as it moves, durable a moment later
    if end == "stop":
        assert daemon.stop() == 0
    else:
        daemon.kill()
    daemon.start()
    after = daemon.breaker("dead")
    assert after["state"] == "open"
    assert time.time() + after["retry_after_seconds"] == pytest.approx(until, abs=0.5)
    assert after["opened_at"] == before["opened_at"]
    assert after["failure_count"] == before["failure_count"] == 2
    time.sleep(0.5)
    assert daemon.breaker("dead")["metrics"]["total_calls"] == after["metrics"]["total_calls"]


def test_a_wait_that_ended_while_it_was_down_is_over(
    run_daemon: RunDaemon, targets: Targets
) -> None:
    targets.behave = lambda _: Reply(status=500)
    policy = {"failure_threshold": 2, "recovery_timeout": "2s"}
    daemon = run_daemon({"checks": [check("shop", targets.url, breaker=policy)]})
    eventually(lambda: state(daemon, "shop") == "open", "an open breaker")
    daemon.kill()
    targets.behave = lambda _: Reply()
    time.sleep(2.0)
    daemon.start()
    eventually(lambda: state(daemon, "shop") == "closed", "the trial", 3.0)


# --- reload ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["signal", "request", "command"])
def test_a_reload_changes_what_differs_and_nothing_else(
    run_daemon: RunDaemon, targets: Targets, how: str
) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    kept = [
        check("kept", targets.url + "/kept"),
        check("dead", dead, breaker={"failure_threshold": 2, "recovery_timeout": "60s"}),
    ]
    daemon = run_daemon({"checks": [*kept, check("gone", targets.url + "/gone")]})
    eventually(lambda: calls(daemon, "kept") >= 3, "some runs")
    eventually(lambda: state(daemon, "dead") == "open", "an open breaker")
    before = daemon.breaker("dead")
    counted = calls(daemon, "kept")

    daemon.write({"checks": [*kept, check("new", targets.url + "/new")]})
    said = reload(daemon, how)
    if how == "request":
        outcome = json.loads(said)
        assert [outcome[what] for what in ("added", "removed", "changed")] == [
            ["new"],
            ["gone"],
            [],
        ]
    eventually(lambda: calls(daemon, "new") >= 1, "the new check to run")

    assert calls(daemon, "kept") >= counted
    after = daemon.breaker("dead")
    assert after["opened_at"] == before["opened_at"]
    assert after["retry_after_seconds"] < before["retry_after_seconds"]
    assert after["metrics"]["total_calls"] == before["metrics"]["total_calls"]
    assert daemon.get("/api/v1/breakers/gone").status == 404
    assert "gone" not in daemon.get("/metrics").text
    assert daemon.metric("cbmon_config_last_reload_successful") == 1.0
    asked = targets.hits["/gone"]
    eventually(lambda: calls(daemon, "kept") >= counted + 5, "more runs")
    assert targets.hits["/gone"] == asked


def test_a_changed_check_keeps_its_breaker_and_its_counters(
    run_daemon: RunDaemon, targets: Targets
) -> None:
    targets.behave = lambda request: Reply(status=503 if request.path == "/bad" else 200)
    daemon = run_daemon({"checks": [check("shop", targets.url + "/old")]})
    eventually(lambda: calls(daemon, "shop") >= 5, "some runs")
    counted = calls(daemon, "shop")

    policy = {"failure_threshold": 2, "recovery_timeout": "60s"}
    daemon.write({"checks": [check("shop", targets.url + "/bad", breaker=policy)]})
    reload(daemon, "request")
    eventually(lambda: state(daemon, "shop") == "open", "the new target to be seen as bad")
    assert calls(daemon, "shop") >= counted + 2
    old = targets.hits["/old"]

    # Another target: what the open breaker knew says nothing of it, so that it is tried at once.
    daemon.write({"checks": [check("shop", targets.url + "/good", breaker=policy)]})
    reload(daemon, "request")
    eventually(lambda: state(daemon, "shop") == "closed", "the trial of the third target", 5.0)
    assert targets.hits["/old"] == old
    assert daemon.breaker("shop")["metrics"]["failed_calls"] == 2


def test_many_reloads_at_once_end_in_the_last_file(run_daemon: RunDaemon, targets: Targets) -> None:
    daemon = run_daemon({"checks": [check("check-0", targets.url)]})
    for number in range(1, 11):
        daemon.write({"checks": [check(f"check-{number}", targets.url)]})
        daemon.signal(signal.SIGHUP)
    eventually(lambda: calls(daemon, "check-10") >= 1, "the last file to be in force")
    states = daemon.metrics("circuit_breaker_state")
    assert list(states) == ['circuit_breaker_state{category="check",component="check-10"}']
    assert not daemon.logged("level=error"), daemon.log()
    assert daemon.stop() == 0


@pytest.mark.parametrize("how", ["signal", "request", "command"])
def test_a_bad_file_changes_nothing_and_says_why(
    run_daemon: RunDaemon, targets: Targets, how: str
) -> None:
    daemon = run_daemon({"checks": [check("kept", targets.url)]})
    eventually(lambda: calls(daemon, "kept") >= 2, "some runs")
    digest = daemon.metrics("cbmon_config_hash")
    daemon.write({"checks": [check("kept", targets.url, expcet={}), check("new", targets.url)]})
    said = reload(daemon, how, ok=False)
    eventually(
        lambda: daemon.metric("cbmon_config_last_reload_successful") == 0.0, "the metric to tell"
    )
    assert daemon.metrics("cbmon_config_hash") == digest
    assert daemon.get("/api/v1/breakers/new").status == 404
    assert eventually(lambda: daemon.logged("expcet"), "the log to say why")
    if how != "signal":
        assert "expcet" in said
    counted = calls(daemon, "kept")
    eventually(lambda: calls(daemon, "kept") >= counted + 2, "the old configuration to run on")
    assert daemon.get("/-/ready").status == 200

    daemon.write({"checks": [check("kept", targets.url)]})
    reload(daemon, how)
    eventually(lambda: daemon.metric("cbmon_config_last_reload_successful") == 1.0, "the mend")


def reload(daemon: Daemon, how: str, *, ok: bool = True) -> str:
    """Reload by a signal, a request or the command; what the answer was."""
    if how == "signal":
        seen = len(daemon.logged("reload asked for"))
        daemon.signal(signal.SIGHUP)
        eventually(lambda: len(daemon.logged("reload asked for")) > seen, "the signal to be seen")
        return ""
    if how == "request":
        answer = daemon.post("/-/reload")
        assert answer.status == (200 if ok else 500), answer
        return answer.text
    code, output, errors = daemon.cli("reload", "--wait", "--url", daemon.url)
    assert code == (0 if ok else 1), (code, output, errors)
    return output + errors


# --- messages ----------------------------------------------------------------------------


def test_an_outage_is_told_once_and_its_end_once(
    run_daemon: RunDaemon, targets: Targets, hooks: Hooks
) -> None:
    up = False
    targets.behave = lambda _: Reply(status=200 if up else 503)
    policy = {"failure_threshold": 2, "recovery_timeout": "500ms"}
    daemon = run_daemon(
        {
            "checks": [check("shop", targets.url, breaker=policy)],
            "notifications": {
                "route": {"receiver": "hook", "group_wait": "0s"},
                "receivers": [{"name": "hook", "webhook": {"url": hooks.url}}],
            },
        }
    )
    eventually(lambda: hooks.taken, "the message of the outage")
    hooks.status = 500
    up = True
    eventually(lambda: state(daemon, "shop") == "closed", "the recovery")
    hooks.status = 200
    eventually(lambda: len(hooks.taken) >= 2, "the message of the end", 30.0)
    time.sleep(0.5)
    firing, resolved = hooks.alerts()
    assert (firing[:2], resolved[:2]) == (("firing", "shop"), ("resolved", "shop"))
    assert firing[2] == resolved[2], "one incident"
