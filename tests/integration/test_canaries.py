"""Secrets that are configured everywhere, and shown nowhere.

Rule: every canary is a text of its own, so that a leak says which one it was. What is looked
through: the log at its most talkative, every address of the web, the database, the process list
and the command line's output.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.integration.harness import Daemon
from tests.integration.harness.processes import eventually
from tests.integration.harness.web import fetch

DEAD = "http://127.0.0.1:1"
ADMIN = {"Authorization": "Bearer tested-with-this"}
ADDRESSES = (
    "/",
    "/metrics",
    "/sd",
    "/config",
    "/runbooks",
    "/login",
    "/settings",
    "/audit",
    "/notifications",
    "/incidents",
    "/silences",
    "/components/{name}",
    "/components/{name}/settings",
    "/api/v1/summary",
    "/api/v1/breakers?limit=1000",
    "/api/v1/breakers/{name}",
    "/api/v1/breakers/{name}/settings",
    "/api/v1/checks?limit=1000",
    "/api/v1/events?limit=1000",
    "/api/v1/audit?limit=1000",
    "/api/v1/notifications?limit=1000",
    "/api/v1/config/breaker",
    "/api/v1/session",
    "/api/v1/openapi.json",
    "/api/v1/nothing?token=none",
)


class Canaries:
    """Makes secrets, one for each place, and finds them again."""

    def __init__(self) -> None:
        self.by_text: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def __call__(self, place: str) -> str:
        text = f"canary{next(self._numbers):02}k7Qz9"
        self.by_text[text] = place
        return text

    def in_(self, where: str, data: bytes | str) -> list[str]:
        """The canaries in some output."""
        text = data if isinstance(data, str) else data.decode("utf-8", "replace")
        return [f"{place} in {where}" for one, place in self.by_text.items() if one in text]


def configuration(new: Canaries, folder: Path) -> dict[str, Any]:
    """Everything that takes a secret, and nothing of it reachable."""
    (folder / "token").write_text(new("token file") + "\n")
    hashed = bcrypt.hashpw(new("user's password").encode(), bcrypt.gensalt(4)).decode()
    (folder / "web.yml").write_text(json.dumps({"basic_auth_users": {"alice": hashed}}))
    often = {"interval": "500ms", "timeout": "400ms", "breaker": {"failure_threshold": 1}}
    dead = "127.0.0.1:1"
    http = {
        "url": f"{DEAD}/",
        "basic_auth": {"username": "u", "password": new("http password")},
        "headers": {"X-Api-Key": new("http header")},
    }
    oauth = {"token_url": f"{DEAD}/", "client_id": "c", "client_secret": new("oauth2 secret")}
    kinds: dict[str, dict[str, Any]] = {
        "http": http,
        "grpc": {"address": dead, "bearer_token": new("grpc token")},
        "llm": {"url": f"{DEAD}/", "model": "m", "bearer_token": new("llm token")},
        "mcp": {"url": f"{DEAD}/", "bearer_token": new("mcp token")},
        "mysql": {"dsn": f"mysql://u:{new('mysql dsn')}@{dead}/d"},
        "postgres": {"dsn": f"postgresql://u:{new('postgres dsn')}@{dead}/d"},
        "redis": {"url": f"redis://{dead}", "password": "${REDIS_PASSWORD}"},
        "promql": {"url": f"{DEAD}/", "query": "up", "bearer_token": new("promql token")},
        "websocket": {"url": "ws://127.0.0.1:1/", "bearer_token": new("websocket token")},
    }
    checks = [{"name": name, name: options, **often} for name, options in kinds.items()]
    checks.append({"name": "oauth", "http": {"url": f"{DEAD}/", "oauth2": oauth}, **often})
    proxy = {"url": f"{DEAD}/", "username": "u", "password": new("proxy password")}
    checks.append({"name": "proxy", "http": {"url": f"{DEAD}/", "proxy": proxy}, **often})
    beat = {"token": new("heartbeat token") + "-long-enough", "interval": "1h"}
    checks.append({"name": "job", "heartbeat": beat})
    exports: list[dict[str, Any]] = [
        {"name": "mimir", "remote_write": {"url": f"{DEAD}/", "bearer_token": new("rw token")}},
        {"name": "otlp", "otlp": {"url": f"{DEAD}/", "headers": {"X-Key": new("otlp header")}}},
    ]
    tokens = [
        {"name": "inline", "role": "viewer", "token": new("inline token")},
        {"name": "environment", "role": "viewer", "token": "${API_TOKEN}"},
        {"name": "file", "role": "viewer", "token_file": str(folder / "token")},
        {"name": "tester", "role": "admin", "token": "tested-with-this"},
    ]
    return {
        "web": {"tokens": tokens, "config_file": str(folder / "web.yml")},
        "checks": checks,
        "exports": [{**one, "interval": "1s", "timeout": "500ms"} for one in exports],
        "notifications": {
            "route": {"receiver": "all", "group_wait": "100ms"},
            "receivers": [{"name": "all", **receivers(new)}],
        },
    }


def receivers(new: Canaries) -> dict[str, Any]:
    """Every kind of receiver that takes a secret, at an address where nothing is."""
    smtp = {"host": "127.0.0.1", "port": 1, "username": "u", "password": new("smtp password")}
    return {
        "webhook": {"url": f"{DEAD}/{new('webhook url')}", "secret": signing_key(new)},
        "slack": {"webhook_url": f"{DEAD}/{new('slack url')}"},
        "teams": {"webhook_url": f"{DEAD}/{new('teams url')}"},
        "discord": {"webhook_url": f"{DEAD}/{new('discord url')}"},
        "pagerduty": {"routing_key": new("pagerduty key").ljust(32, "0"), "url": f"{DEAD}/"},
        "telegram": {"token": f"1:{new('telegram token')}", "chat_id": "1", "api_url": DEAD},
        "ntfy": {"topic": "t", "url": DEAD, "token": new("ntfy token")},
        "alertmanager": {"urls": [DEAD], "headers": {"X-Key": new("alertmanager header")}},
        "email": {"to": ["a@example.net"], "from": "b@example.net", "smtp": smtp},
    }


def signing_key(new: Canaries) -> str:
    """32 bytes in base64 that begin with the canary as it is written."""
    return f"whsec_{new('webhook secret').ljust(43, 'A')}="


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


def test_no_secret_is_shown_anywhere(
    run_daemon: Callable[..., Daemon], tmp_path: Path, canaries: Canaries
) -> None:
    environ = {
        "REDIS_PASSWORD": canaries("redis password in the environment"),
        "API_TOKEN": canaries("token in the environment"),
    }
    config = configuration(canaries, tmp_path)
    flags = ["--log.level", "debug", "--web.enable-probe"]
    daemon = run_daemon(config, start=False, flags=flags, environ=environ)
    daemon.write({**config, "web": {**config["web"], "listen": [daemon.address]}})
    daemon.process.start()
    eventually(lambda: _ask(daemon, "/-/ready").status == 200, "cbmon to be ready", 20.0)
    _misuse(daemon, canaries)
    assert len(canaries.by_text) >= 30

    def tried() -> bool:
        rows = _ask(daemon, "/api/v1/notifications?limit=1000").json["notifications"]
        return len({row["receiver"] for row in rows if row["attempts"]}) == 9

    eventually(tried, "every receiver to have been tried", 20.0)
    written = canaries.in_("the configuration", daemon.config_path.read_bytes())
    assert len(written) >= 20, "what is looked for is there to be found"
    found = [*_over_http(daemon, canaries), *_beside(daemon, canaries, environ)]
    assert daemon.stop() == 0
    for file in daemon.data.rglob("*"):
        if file.is_file():
            found += canaries.in_(file.name, file.read_bytes())
    found += canaries.in_("the log", daemon.log())
    assert found == []


def _ask(daemon: Daemon, path: str, accept: str = "*/*", **headers: str) -> Any:
    try:
        return fetch(daemon.url + path, headers={**ADMIN, "Accept": accept, **headers})
    except OSError as error:
        if not daemon.process.alive:
            pytest.fail(daemon.log())
        return type("Nobody", (), {"status": 0, "error": error})()


def _misuse(daemon: Daemon, canaries: Canaries) -> None:
    """Secrets that people send to the wrong place, or that are wrong."""
    for path in ("/api/v1/summary", "/metrics"):
        _ask(daemon, path, Authorization=f"Bearer {canaries('a wrong token')}")
    _ask(daemon, "/", Authorization=f"Basic {canaries('a wrong header')}")
    _ask(daemon, f"/api/v1/heartbeat/{canaries('a wrong heartbeat')}")
    body = f"name=alice&password={canaries('a wrong password')}".encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert fetch(f"{daemon.url}/login", method="POST", body=body, headers=form).status == 401


def _over_http(daemon: Daemon, canaries: Canaries) -> Iterator[str]:
    names = [one["name"] for one in _ask(daemon, "/api/v1/breakers?limit=1000").json["breakers"]]
    for address in ADDRESSES:
        for name in names if "{name}" in address else [""]:
            path = address.replace("{name}", name)
            for accept in ("application/json", "text/html"):
                answer = _ask(daemon, path, accept)
                yield from canaries.in_(path, answer.body + repr(answer.headers).encode())
    answer = _ask(daemon, f"/probe?target={DEAD}/&module=http_2xx&debug=true")
    yield from canaries.in_("/probe", answer.body)


def _beside(daemon: Daemon, canaries: Canaries, environ: dict[str, str]) -> Iterator[str]:
    listed = subprocess.run(["ps", "axww"], capture_output=True, check=True)
    yield from canaries.in_("the process list", listed.stdout)
    for arguments in (
        ("check-config", str(daemon.config_path)),
        ("rules", "--config.file", str(daemon.config_path)),
        ("status", "--socket", str(daemon.data / "control.sock"), "--json"),
        ("breakers", "list", "--socket", str(daemon.data / "control.sock"), "--json"),
    ):
        _, out, err = daemon.cli(*arguments)
        yield from canaries.in_(f"cbmon {arguments[0]}", out + err)
