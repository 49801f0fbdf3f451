"""Rule: a server made with the SDK is good when it shakes hands and has what is expected of it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cbmon.model import Reason
from cbmon.probes import ProbeEnvironment, ProgramPolicy
from tests.integration.harness.processes import Process, eventually, free_port, slowness

SCRIPT = Path(__file__).with_name("mcp_server.py")
COMMAND = [sys.executable, str(SCRIPT), "stdio"]


@pytest.fixture(autouse=True)
def allowed(environment: ProbeEnvironment) -> None:
    environment.programs = ProgramPolicy([sys.executable, "/bin/*", "/usr/bin/*"])


@pytest.fixture(scope="session", params=["stream", "json"])
def server(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a server that answers with event streams, or with JSON."""
    port = free_port()
    command = [sys.executable, SCRIPT, str(port), request.param]
    process = Process("mcp", command, tmp_path_factory.mktemp("mcp"))
    process.start()
    try:

        def listens() -> bool:
            assert process.alive, process.log()
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True

        eventually(listens, "the MCP server to listen", 30)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.clean_up()


async def test_a_server_over_http_is_good(look: Any, server: str) -> None:
    result = await look(
        "mcp",
        url=server,
        tool="add",
        arguments={"left": 2, "right": 3},
        expect={"matches": "sum is 5", "tools": ["fail"], "tool_error": "fail"},
    )

    assert result.ok, result.error
    assert result.facts["server"].startswith("shelf 1.2.3")
    assert sorted(result.facts["tools"]) == ["add", "fail", "hang", "variable"]
    assert result.facts["tool_error"] is False
    assert result.facts["protocol_version"] in {"2025-06-18", "2025-11-25"}


async def test_a_session_is_closed_again(look: Any, server: str) -> None:
    result = await look("mcp", url=server)

    assert result.ok, result.error
    assert result.facts["status"] in {200, 202}


@pytest.mark.parametrize(
    ("reason", "message", "options"),
    [
        (None, "", {"tool": "fail"}),
        (None, "", {"tool": "fail", "arguments": {}}),
        (Reason.BODY, "fail failed:",
         {"tool": "fail", "arguments": {}, "expect": {"tool_error": "fail"}}),
        (Reason.BODY, "expected subtract", {"tool": "subtract"}),
        (Reason.BODY, "expected a match for '^7$'",
         {"tool": "add", "arguments": {"left": 1, "right": 1}, "expect": {"matches": "^7$"}}),
        (Reason.LATENCY, "expected at most", {"expect": {"max_duration": 0.0001}}),
    ],
)  # fmt: skip
async def test_what_is_expected_is_judged(
    look: Any,
    server: str,
    reason: Reason | None,
    message: str,
    options: dict[str, Any],
) -> None:
    result = await look("mcp", url=server, timeout=20.0, **options)

    assert result.reason is reason, result.error
    assert message in (result.error or "")


async def test_a_program_is_a_server_and_sees_only_its_own_environment(
    look: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAEMON_SECRET", "hunter2")
    (tmp_path / "key").write_text("from-a-file\n")

    result = await look(
        "mcp",
        timeout=20.0,
        command=COMMAND,
        environment_files={"API_KEY": str(tmp_path / "key")},
        tool="variable",
        arguments={"names": ["API_KEY", "DAEMON_SECRET"]},
        expect={"matches": "^from-a-file,none$"},
    )

    assert result.ok, result.error
    assert result.facts["server"].startswith("shelf")


def alive(word: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes()
            state = entry.with_name("stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if word.encode() in line and state != "Z":
            found.append(entry.parent.name)
    return found


async def test_a_program_that_hangs_is_killed_with_all_it_started(look: Any) -> None:
    mark = f"6{os.getpid()}.5"
    script = f"sleep {mark} & (sleep {mark} </dev/null >/dev/null 2>&1 &) ; sleep {mark}"
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    began = time.monotonic()

    result = await look("mcp", command=["/bin/sh", "-c", script], timeout=0.3)

    assert result.reason is Reason.TIMEOUT
    assert time.monotonic() - began < 0.3 * slowness() + 2
    for _ in range(100):
        if not alive(mark):
            break
        await asyncio.sleep(0.02)
    assert alive(mark) == []
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) <= before + 1


@pytest.mark.parametrize(
    ("reason", "message", "command"),
    [
        (Reason.CONNECT, "the program ended", ["/bin/sh", "-c", "exit 3"]),
        (Reason.PROTOCOL, "expected JSON", ["/bin/sh", "-c", "echo hello; sleep 5"]),
        (Reason.SIZE, "said more than", ["/bin/sh", "-c", "yes 1 | tr -d '\\n'"]),
        (Reason.PROTOCOL, "but not the answer", ["/bin/sh", "-c", "yes '{}'"]),
        (Reason.CONFIG, "cannot start /bin/nowhere", ["/bin/nowhere"]),
        (Reason.POLICY, "not allowed", ["/sbin/nowhere"]),
    ],
)
async def test_a_program_that_is_no_server_has_its_reason(
    look: Any, reason: Reason, message: str, command: list[str]
) -> None:
    result = await look("mcp", command=command, timeout=20.0)

    assert result.reason is reason, result.error
    assert message in result.error
