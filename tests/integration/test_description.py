"""The OpenAPI document against the daemon, by schemathesis: no server error, nothing undescribed.

Rule: every address but the stream, which has no end, is asked what its description allows and what
it forbids.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Daemon
from tests.integration.harness.processes import finished

CONFIG: dict[str, Any] = {
    "web": {
        "tokens": [{"name": "fuzz", "role": "admin", "token": "a-token-for-fuzzing"}],
        "probe": {"enabled": True},
    },
    "checks": [
        {"name": "web", "http": {"url": "http://127.0.0.1:1/"}, "tags": ["a"], "interval": "5s"},
        {"name": "odd {name}", "tcp": {"address": "127.0.0.1:1"}, "depends_on": ["web"]},
        {"name": "job", "heartbeat": {"token": "beat-token-1234567890123456", "interval": "1h"}},
    ],
    "notifications": {"receivers": [{"name": "hook", "webhook": {"url": "http://127.0.0.1:1/"}}]},
}
LEFT_OUT = "ignored_auth,use_after_free"
"""The first guesses credentials and wants a 401 for each; from the eleventh on the answer is 429,
as it should be. Who may ask for what is in tests/component/web/test_matrix.py. The second wants a
404 for what was deleted; of a breaker's settings only its own values are, and the values in force
are still told."""
FINE = ["2xx", "3xx", "401", "403", "404", "409", "412", "428", "429", "503"]
"""For what the description allows: that it is not there, or not possible now, is no surprise."""
BEYOND_A_SCHEMA = {
    "/api/v1/audit": "400",  # a cursor is opaque, but not any text is one
    "/api/v1/checks/{name}/results": "400",
    "/api/v1/events": "400",  # and kinds are a list with commas
    "/logs": "400",  # id or target
    "/probe": "400",  # a module that is configured, an address that is none
    "/api/v1/silences": "400",  # the grammar of matchers
    "/api/v1/app-breakers": "400",  # printable names, each once
    "/api/v1/breakers/{name}/settings": "422",  # fields that go together
    "/api/v1/config/breaker": "422",
}
"""Addresses that refuse some of what their description allows, with what they answer then."""
FORMS = "^/(components/.*|settings|silences.*|notifications.*|logout|login)$"
"""Forms of the pages say what is wrong in the page again."""


def settings() -> str:
    """503 is what the contract has for what is not available now, and for readiness."""
    lines = [
        "[checks]",
        'not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]',
        f"positive_data_acceptance.expected-statuses = {FINE}",
    ]
    more = [(f'include-path = "{path}"', [status]) for path, status in BEYOND_A_SCHEMA.items()]
    more.append((f"include-path-regex = '{FORMS}'", ["400", "415", "422"]))
    for which, statuses in more:
        name = "checks.positive_data_acceptance.expected-statuses"
        lines += ["[[operations]]", which, f"{name} = {FINE + statuses}"]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("seconds", [20, pytest.param(300, marks=pytest.mark.long)])
@pytest.mark.timeout(420)
def test_the_daemon_does_what_its_description_says(
    run_daemon: Callable[..., Daemon], tmp_path: Path, seconds: int
) -> None:
    daemon = run_daemon(CONFIG, start=False)
    daemon.write({**CONFIG, "web": {**CONFIG["web"], "listen": [daemon.address]}})
    daemon.start()
    options = tmp_path / "schemathesis.toml"
    options.write_text(settings())
    done = finished(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(options), "run"),
            f"{daemon.url}/api/v1/openapi.json",
            *("-H", "Authorization: Bearer a-token-for-fuzzing"),
            *("--exclude-path", "/api/v1/events/stream"),
            *("--checks", "all", "--exclude-checks", LEFT_OUT, "--max-time", str(seconds)),
            *("--request-timeout", "15", "--no-color", "--warnings", "off"),
            *("--suppress-health-check", "filter_too_much"),
        ],
        env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "examples")},
        cwd=tmp_path,
        timeout=seconds + 90,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    found = re.search(r"(\d+) generated", done.stdout)
    assert found is not None
    assert int(found[1]) > 100
    assert daemon.process.alive
    assert daemon.logged("level=error", "request failed") == []
