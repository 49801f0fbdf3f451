"""Breakers inside an application beside those of a daemon that runs for real.

Rule: what happens in the application is on the daemon's page, in its API, its metrics and its
messages, once; what an operator orders happens in the application.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cbmon import BreakerRegistry, State
from cbmon.report import BreakerReporter, RefusedError
from tests.integration.harness import Daemon, Hooks, eventually
from tests.integration.harness.web import Answer, fetch

RunDaemon = Callable[..., Daemon]
NAME = "shop:redis@web-1"
SERIES = '{category="app",component="shop:redis@web-1"}'


def configuration(hooks: Hooks, directory: Path) -> dict[str, Any]:
    for name in ("shop", "ops", "eyes"):
        (directory / name).write_text(f"{name}-secret\n")
    return {
        "notifications": {
            "route": {"receiver": "hook", "group_wait": "0s", "group_interval": "1ms"},
            "storm": {"messages": 0},
            "flapping": {"changes": 0},
            "receivers": [{"name": "hook", "webhook": {"url": hooks.url}}],
        },
    }


def tokens(directory: Path, listen: str) -> dict[str, Any]:
    roles = {"shop": "reporter", "ops": "operator", "eyes": "viewer"}
    return {
        "listen": [listen],
        "tokens": [
            {"name": name, "role": role, "token_file": str(directory / name)}
            for name, role in roles.items()
        ],
    }


@pytest.fixture
def daemon(run_daemon: RunDaemon, hooks: Hooks, tmp_path: Path) -> Daemon:
    found = run_daemon({**configuration(hooks, tmp_path), "checks": []})
    found.write({**configuration(hooks, tmp_path), "web": tokens(tmp_path, found.address)})
    found.restart()
    return found


@pytest.fixture
def breakers() -> BreakerRegistry:
    made = BreakerRegistry(failure_threshold=3, recovery_timeout=3600)
    for name in ("redis", "db"):
        made.get(name)
    return made


@pytest.fixture
def reporter(daemon: Daemon, breakers: BreakerRegistry) -> Iterator[BreakerReporter]:
    made = reporting(daemon, breakers)
    with made:
        eventually(lambda: ask(daemon, f"/api/v1/breakers/{NAME}").status == 200, "a report")
        yield made


def reporting(daemon: Daemon, breakers: BreakerRegistry, **options: Any) -> BreakerReporter:
    given = {"interval": 1.0, "ttl": 3.0, "accept_orders": True, "token": "shop-secret", **options}
    return BreakerReporter(
        breakers, url=daemon.url, application="shop", process="web-1", labels={"team": "a"}, **given
    )


def ask(
    daemon: Daemon, path: str, token: str = "ops", method: str = "GET", body: bytes = b""
) -> Answer:
    headers = {"Authorization": f"Bearer {token}-secret", "Accept": "application/json"}
    return fetch(daemon.url + path, method=method, headers=headers, body=body)


def state(daemon: Daemon) -> str:
    found: str = ask(daemon, f"/api/v1/breakers/{NAME}").json["state"]
    return found


def metrics(daemon: Daemon) -> str:
    return ask(daemon, "/metrics").text


def fail(breakers: BreakerRegistry, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError), breakers.get("redis"):
            raise ConnectionError("refused")


def test_an_applications_outage_is_seen_told_once_and_ended(
    daemon: Daemon, reporter: BreakerReporter, breakers: BreakerRegistry, hooks: Hooks
) -> None:
    summary = ask(daemon, "/api/v1/summary").json
    assert summary["by_category"]["app"]["total"] == 2
    fail(breakers, 3)
    eventually(lambda: state(daemon) == "open", "the daemon to see it", 5.0)
    shown = ask(daemon, f"/api/v1/breakers/{NAME}").json
    assert (shown["category"], shown["metrics"]["failed_calls"]) == ("app", 3)
    assert shown["last_error"] == "ConnectionError: refused"
    assert shown["labels"]["team"] == "a"
    text = metrics(daemon)
    assert f"circuit_breaker_state{SERIES} 0\n" in text
    assert f"circuit_breaker_failures_total{SERIES} 3\n" in text
    assert 'cbmon_app_up{application="shop",process="web-1"} 1\n' in text
    assert NAME in fetch(daemon.url + "/", headers={"Authorization": "Bearer ops-secret"}).text
    eventually(lambda: len(hooks.alerts()) == 1, "the message", 10.0)
    breakers.get("redis").close(actor="me", reason="fixed")
    eventually(lambda: state(daemon) == "closed", "the end to be seen", 5.0)
    eventually(lambda: len(hooks.alerts()) == 2, "its end to be told", 10.0)
    time.sleep(1.5)
    assert [alert[:2] for alert in hooks.alerts()] == [("firing", NAME), ("resolved", NAME)]
    assert len({incident for _, _, incident in hooks.alerts()}) == 1


def test_an_operator_moves_a_breaker_inside_the_application(
    daemon: Daemon, reporter: BreakerReporter, breakers: BreakerRegistry
) -> None:
    answer = ask(
        daemon,
        f"/api/v1/breakers/{NAME}/open",
        method="POST",
        body=b'{"hold": true, "reason": "deploy"}',
    )
    assert answer.status == 200, answer
    redis = breakers.get("redis")
    eventually(lambda: redis.state is State.FORCED_OPEN, "the order to be carried out", 5.0)
    eventually(lambda: state(daemon) == "forced_open", "that to be reported", 5.0)
    assert ask(daemon, f"/api/v1/breakers/{NAME}/close", method="POST").status == 200
    eventually(lambda: redis.state is State.CLOSED, "the second one", 5.0)
    refused = ask(daemon, f"/api/v1/breakers/{NAME}/check", method="POST")
    assert (refused.status, refused.json["error"]["code"]) == (409, "nothing_to_run")


def test_an_order_that_the_application_does_not_accept_is_a_409_with_the_reason(
    daemon: Daemon, breakers: BreakerRegistry
) -> None:
    with reporting(daemon, breakers, accept_orders={"force_open", "reset"}):
        eventually(lambda: ask(daemon, f"/api/v1/breakers/{NAME}").status == 200, "a report")
        refused = ask(daemon, f"/api/v1/breakers/{NAME}/open", method="POST")
        assert (refused.status, refused.json["error"]["code"]) == (409, "impossible_move")
        assert "only force_open, reset; ask with hold" in refused.json["error"]["message"]
        settings = ask(daemon, f"/api/v1/breakers/{NAME}/settings")
        assert (settings.status, settings.json["error"]["code"]) == (409, "settings_elsewhere")
        fail(breakers, 3)
        everything = ask(daemon, "/api/v1/breakers/reset-all", method="POST").json
        assert (everything["reset"] >= 2, everything["left"]) == (True, [])
        redis = breakers.get("redis")
        eventually(lambda: redis.state is State.CLOSED, "the reset", 5.0)
    reporting(daemon, breakers, accept_orders=False).report()
    left = ask(daemon, "/api/v1/breakers/reset-all", method="POST").json["left"]
    assert {one["name"] for one in left} == {NAME, NAME.replace("redis", "db")}
    assert "accept_orders=True" in left[0]["why"]


def test_an_outage_goes_on_over_a_kill_of_the_daemon_and_is_told_once(
    daemon: Daemon, reporter: BreakerReporter, breakers: BreakerRegistry, hooks: Hooks
) -> None:
    fail(breakers, 3)
    eventually(lambda: len(hooks.alerts()) == 1, "the message", 10.0)
    daemon.kill()
    daemon.start()
    assert state(daemon) == "open"
    breakers.get("redis").close()
    eventually(lambda: len(hooks.alerts()) == 2, "its end to be told", 20.0)
    eventually(lambda: state(daemon) == "closed", "the end to be seen", 5.0)
    assert len({incident for _, _, incident in hooks.alerts()}) == 1


def test_one_that_falls_silent_is_shown_so_and_one_that_ends_goes(
    daemon: Daemon, breakers: BreakerRegistry
) -> None:
    reporting(daemon, breakers, ttl=1.0).report()
    assert f"circuit_breaker_state{SERIES} 1\n" in metrics(daemon)
    up = 'cbmon_app_up{application="shop",process="web-1"} '
    eventually(lambda: f"{up}0\n" in metrics(daemon), "the silence to be seen", 10.0)
    assert SERIES not in metrics(daemon)
    told = ask(daemon, f"/api/v1/breakers/{NAME}").json["explanation"]
    assert told.startswith("nothing heard for")
    reporting(daemon, breakers).report(final=True)
    assert ask(daemon, f"/api/v1/breakers/{NAME}").status == 404
    assert up not in metrics(daemon)


def test_who_may_report_and_what_is_refused(daemon: Daemon, breakers: BreakerRegistry) -> None:
    with pytest.raises(RefusedError, match="403"):
        reporting(daemon, breakers, token="eyes-secret").report()
    with pytest.raises(RefusedError, match="401"):
        reporting(daemon, breakers, token=None).report()
    with pytest.raises(RefusedError, match="401"):
        reporting(daemon, breakers, token="wrong").report()
    assert ask(daemon, "/api/v1/breakers", token="shop").status == 403
    reporting(daemon, breakers).report()
    with pytest.raises(RefusedError, match="reported with the token of 'shop'"):
        reporting(daemon, breakers, token="ops-secret").report()
    path = "/api/v1/app-breakers"
    for body, status in (
        (b"{", 400),
        (b"[" * 60_000, 400),
        (b"{}", 400),
        (b'{"application": "a", "breakers": [{"name": "x", "state": "ajar"}]}', 400),
        (b'"' + b"x" * 70_000 + b'"', 413),
    ):
        answer = ask(daemon, path, method="POST", body=body)
        assert answer.status == status, (body[:50], answer)
        assert answer.json["error"]["message"]
    assert ask(daemon, "/-/ready").status == 200
