"""Rule: whatever a program does, its check ends in time, and nothing of it goes on."""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cbmon.model import Reason, Result
from cbmon.probes.exec.probe import tasks_of

BOMB = "import os\nwhile True:\n try: os.fork()\n except OSError: pass\n"
NOBODY = os.geteuid() == 0


def shell(script: str, *words: str) -> list[str]:
    return ["/bin/sh", "-c", script, "sh", *words]


@pytest.mark.parametrize(
    ("script", "reason", "message"),
    [
        ("yes", Reason.SIZE, "printed more than 65536 bytes"),
        ("yes >&2", Reason.TIMEOUT, "/bin/sh"),
        ("while :; do printf x; sleep 0.01; done", Reason.TIMEOUT, "/bin/sh"),
        ("exec sleep 3600", Reason.TIMEOUT, "/bin/sh"),
        ("trap '' TERM INT HUP QUIT; while :; do :; done", Reason.TIMEOUT, "/bin/sh"),
        ("kill -STOP $$", Reason.TIMEOUT, "/bin/sh"),
        ("exec 1>&- 2>&-; sleep 3600", Reason.TIMEOUT, "/bin/sh"),
        ("printf '\\377\\000\\033[2J|a=\\377'; exit 2", Reason.STATUS, "critical: "),
        ("head -c 60000 /dev/zero; exit 1", Reason.STATUS, "warning: \\x00"),
        ("printf '|'; head -c 60000 /dev/zero | tr '\\0' \"'\"; exit 3", Reason.STATUS, "unknown"),
    ],
)
async def test_a_program_that_misbehaves_is_named(
    script: str,
    reason: Reason,
    message: str,
    targets: Any,
    neighbours: list[Result],
    memory: Callable[[], int],
) -> None:
    timeout = 0.5 if reason is Reason.TIMEOUT else 5.0

    result = await targets.look(targets.probe("exec", command=shell(script)), timeout)

    assert reason is result.reason, result.error
    assert message in result.error
    assert result.duration < timeout + 0.5
    assert memory() < 20 * 1024 * 1024


async def test_a_fork_bomb_is_bounded_and_ended(targets: Any, neighbours: list[Result]) -> None:
    user = pwd.getpwnam("games") if NOBODY else pwd.getpwuid(os.geteuid())
    before = tasks_of(user.pw_uid)
    options: dict[str, Any] = {"command": ["/usr/bin/python3", "-c", BOMB], "max_processes": 40}
    if not Path("/usr/bin/python3").exists():
        options["command"] = shell("bomb() { bomb | bomb & }; bomb; while :; do :; done")
    if NOBODY:
        options["user"] = user.pw_name

    run = asyncio.create_task(targets.look(targets.probe("exec", **options), 1.0))
    most = 0
    while not run.done():
        most = max(most, tasks_of(user.pw_uid) - before)
        await asyncio.sleep(0.02)
    result = await run

    assert result.reason is Reason.TIMEOUT, result.error
    assert result.duration < 1.5
    assert 3 < most <= 41
    for _ in range(200):
        if tasks_of(user.pw_uid) <= before:
            break
        await asyncio.sleep(0.01)
    assert tasks_of(user.pw_uid) <= before


async def test_a_program_that_eats_memory_is_stopped(targets: Any) -> None:
    command = [sys.executable, "-c", "x = bytearray(1 << 30); print(len(x))"]

    result = await targets.look(targets.probe("exec", command=command, max_memory="128MiB"))

    assert result.reason is Reason.STATUS
    assert "critical" not in result.error  # Python ends with 1 after its MemoryError
    assert result.duration < 4


async def test_one_that_leaves_its_session_is_still_held_to_its_time(
    targets: Any, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    script = (
        'setsid sh -c "echo \\$\\$ > $1; ulimit -t; while :; do :; done" >"$1.limit" & sleep 0.2'
    )

    result = await targets.look(targets.probe("exec", command=shell(script, str(pid))))

    assert result.ok, result.error
    escaped = int(pid.read_text())
    limits = Path(f"/proc/{escaped}/limits").read_text()
    os.kill(escaped, 9)
    assert "Max cpu time              10" in limits


async def test_cancelled_programs_leave_nothing(
    targets: Any, descriptors: Callable[[], int]
) -> None:
    probe = targets.probe("exec", command=shell("sleep 3600 & sleep 3600"))
    before = descriptors()

    for delay in (0.0, 0.001, 0.005, 0.02):
        runs = [asyncio.create_task(targets.look(probe)) for _ in range(5)]
        await asyncio.sleep(delay)
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
    await asyncio.sleep(0.05)

    assert before >= descriptors()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    commands = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    assert not any(b"sleep" in command for command in commands)
