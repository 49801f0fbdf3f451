"""Receivers as an operator sees them: breakers beside the others, test messages, dead letters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Daemon, Hooks, Targets, eventually
from tests.integration.harness.sinks import Reply, Request, Server

RunDaemon = Callable[..., Daemon]
TOKEN = "t" * 40
LINE = "hook/webhook"


class Moody(Server):
    """A receiver that answers ``status``, and remembers when it was asked what."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.taken: list[tuple[float, str, str]] = []
        self.busy = 0

    def reply(self, request: Request) -> Reply:
        message = json.loads(request.body)
        self.taken.append((request.at, request.headers["webhook-id"], message["status"]))
        if self.busy > 0:
            self.busy -= 1
            return Reply(status=429, body=b'{"retry_after": 3}')
        return Reply(status=self.status)


@pytest.fixture
def moody(stack: Any) -> Moody:
    server = Moody()
    stack.callback(server.close)
    return server


@pytest.fixture
def daemon(
    run_daemon: RunDaemon, targets: Targets, moody: Moody, hooks: Hooks, tmp_path: Path
) -> Daemon:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    breaker = {"failure_threshold": 1, "recovery_timeout": "300ms"}
    receivers = [
        {"name": "hook", "webhook": {"url": moody.url}},
        {"name": "other", "webhook": {"url": hooks.url}},
    ]
    routes = [{"receiver": "hook", "continue": True}, {"receiver": "other"}]
    config = {
        "defaults": {"interval": "100ms", "timeout": "90ms", "breaker": breaker},
        "checks": [{"name": "api", "http": {"url": f"{targets.url}/api"}}],
        "notifications": {
            "route": {"receiver": "hook", "group_wait": "0s", "routes": routes},
            "receivers": receivers,
        },
    }
    made = run_daemon(config, start=False)
    made.write({**config, "web": {"listen": [made.address], "tokens": [admin(token)]}})
    made.start()
    return made


def admin(token: Path) -> dict[str, str]:
    return {"name": "ops", "role": "admin", "token_file": str(token)}


def state_of(daemon: Daemon) -> str:
    shown = daemon.get("/api/v1/breakers/hook%2Fwebhook").json
    assert shown["category"] == "receiver"
    return str(shown["state"])


def cli(daemon: Daemon, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setenv("CBMON_TOKEN", TOKEN)
    code, said, problem = daemon.cli(*arguments, "--url", daemon.url)
    return code, said + problem


def test_a_receivers_breaker_is_listed_and_moved_like_any_other(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = daemon.get("/api/v1/breakers?category=receiver").json["breakers"]
    assert [one["name"] for one in found] == [LINE, "other/webhook"]
    assert cli(daemon, monkeypatch, "breakers", "disable", LINE, "--reason", "moving")[0] == 0
    assert state_of(daemon) == "disabled"
    code, said = cli(daemon, monkeypatch, "breakers", "list")
    assert code == 0
    assert f"{LINE}\tdisabled\treceiver" in said
    assert cli(daemon, monkeypatch, "breakers", "enable", LINE)[0] == 0
    [enabled, disabled] = daemon.get("/api/v1/audit").json["audit"]
    assert (disabled["component"], disabled["actor"], disabled["text"]) == (LINE, "ops", "moving")
    assert enabled["action"] == "enable"


def test_a_receiver_that_is_gone_is_back_with_a_test_message(
    daemon: Daemon, moody: Moody, targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    moody.status = 410
    targets.behave = lambda _: Reply(status=503)
    eventually(lambda: state_of(daemon) == "disabled", "it to be gone")
    assert cli(daemon, monkeypatch, "notify", "test", "hook")[0] == 1
    moody.status = 200
    assert cli(daemon, monkeypatch, "notify", "test", "hook") == (0, f"{LINE}: delivered\n")
    assert state_of(daemon) == "closed"
    code, said = cli(daemon, monkeypatch, "notify", "dead")
    assert code == 0
    assert "410" in said
    assert cli(daemon, monkeypatch, "notify", "retry", "--all")[0] == 0
    eventually(lambda: moody.taken[-1][2] == "firing" and len(moody.taken) == 4, "the dead letter")


def test_a_busy_receiver_is_waited_for_and_nobody_else_is_held_up(
    daemon: Daemon, moody: Moody, hooks: Hooks, targets: Targets
) -> None:
    moody.busy = 2
    targets.behave = lambda _: Reply(status=503)
    eventually(lambda: hooks.taken, "the other receiver to be told", 2.0)
    eventually(lambda: len(moody.taken) == 3, "the third try", 15.0)
    (first, *_), (last, *_) = moody.taken[0], moody.taken[-1]
    assert last - first >= 6.0
    assert len({message for _, message, _ in moody.taken}) == 1
    assert len(hooks.taken) == 1
