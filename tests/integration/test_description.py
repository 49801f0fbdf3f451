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
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
)
SETTINGS = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]
"""
"""503 is what the contract has for what is not available now, and for readiness."""


@pytest.mark.parametrize("seconds", [20, pytest.param(300, marks=pytest.mark.long)])
@pytest.mark.timeout(420)
def test_the_daemon_does_what_its_description_says(
    run_daemon: Callable[..., Daemon], tmp_path: Path, seconds: int
) -> None:
    daemon = run_daemon(CONFIG, start=False)
    daemon.write({**CONFIG, "web": {**CONFIG["web"], "listen": [daemon.address]}})
    daemon.start()
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    done = finished(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run"),
            f"{daemon.url}/api/v1/openapi.json",
            *("-H", "Authorization: Bearer a-token-for-fuzzing"),
            *("--exclude-path", "/api/v1/events/stream"),
            *("--checks", ",".join(CHECKS), "--max-time", str(seconds)),
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
