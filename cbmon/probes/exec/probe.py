"""A run of ``exec``.

Rule: one process at a time: while one of an earlier run cannot be killed no other is started.
"""

from __future__ import annotations

import asyncio
import math
import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cbmon.config.fields import SecretError
from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason, Result
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.exec.options import STATES, ExecExpect, ExecOptions
from cbmon.probes.exec.perfdata import parse, split_output
from cbmon.probes.exec.process import CLEAN, Identity, Limits, Running
from cbmon.probes.expectations import check_duration
from cbmon.probes.failure import ProbeError
from cbmon.probes.outcome import outcome

SPARE_SECONDS: Final = 5
"""Of a processor, beyond the deadline: ends what has left its session and goes on."""
_LINE: Final = 500
_MORE: Final = 4000


class ExecProbe:
    """Starts a process at every run."""

    def __init__(self, options: ExecOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._stuck: Running | None = None

    async def run(self, attempt: Attempt) -> Result:
        """Start it, wait for its end, judge what it said."""
        return await outcome(attempt, self._look(attempt))

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _look(self, attempt: Attempt) -> None:
        attempt.facts["program"] = program = self._options.command[0]
        self._environment.programs.check(program)
        self._refuse_beside_a_stuck_one()
        variables, limits, identity = await asyncio.to_thread(_prepared, self._options, attempt)
        attempt.begin(Phase.PROCESSING)
        running = Running(self._options.command, variables, limits, identity)
        code = None
        try:
            await running.finished()
        finally:
            code = await running.end()
            if code is None:
                self._stuck = running
        attempt.end()
        _judge(attempt, self._options.expect, running, code)

    def _refuse_beside_a_stuck_one(self) -> None:
        if self._stuck is not None and self._stuck.exit_code() is None:
            text = f"process {self._stuck.pid} of an earlier run cannot be killed; none is started"
            raise ProbeError(Reason.TIMEOUT, text)
        self._stuck = None


def _prepared(
    options: ExecOptions, attempt: Attempt
) -> tuple[Mapping[str, str], Limits, Identity | None]:
    """What needs files; ProbeError (``config``) when it cannot be had."""
    program = options.command[0]
    if not os.access(program, os.X_OK) or not Path(program).is_file():
        trouble = "is no program that may be run" if Path(program).exists() else "is not there"
        raise ProbeError(Reason.CONFIG, f"{program} {trouble}")
    identity = _identity(options.user) if options.user else None
    limits = Limits(
        output=options.max_output,
        memory=options.max_memory,
        processes=tasks_of(identity.user if identity else os.geteuid()) + options.max_processes,
        seconds=math.ceil(attempt.timeout) + SPARE_SECONDS,
    )
    return {**CLEAN, **options.environment, **_secrets(options)}, limits, identity


def _secrets(options: ExecOptions) -> dict[str, str]:
    try:
        return {name: file.read().reveal() for name, file in options.environment_files.items()}
    except SecretError as error:
        raise ProbeError(Reason.CONFIG, str(error)) from error


def _identity(user: str) -> Identity:
    try:
        found = pwd.getpwnam(user)
        groups = tuple(os.getgrouplist(user, found.pw_gid))
    except (KeyError, OSError) as error:
        raise ProbeError(Reason.CONFIG, f"there is no user {user}") from error
    if os.geteuid() not in {0, found.pw_uid}:
        raise ProbeError(Reason.CONFIG, f"only a daemon that runs as root can run it as {user}")
    return Identity(user=found.pw_uid, group=found.pw_gid, groups=groups)


def tasks_of(user: int) -> int:
    """Processes and threads of a user, which is what the kernel counts."""
    count = 0
    with os.scandir("/proc") as entries:
        for entry in entries:
            if not entry.name.isdigit():
                continue
            try:
                if entry.stat().st_uid == user:
                    count += os.stat(f"/proc/{entry.name}/task").st_nlink - 2  # noqa: PTH116
            except OSError:  # it has ended meanwhile
                continue
    return count


def _judge(attempt: Attempt, expect: ExecExpect, running: Running, code: int | None) -> None:
    output = running.out.decode(errors="replace") or running.complaints.decode(errors="replace")
    first, more, data = split_output(output)
    line = _clean(first)[:_LINE]
    facts = attempt.facts
    facts["exit_code"] = code
    facts["output"] = line
    if more:
        facts["more_output"] = "\n".join(map(_clean, more.splitlines()))[:_MORE]
    if values := parse(data):
        facts["perfdata"] = [value.facts() for value in values]
    if code is None or not 0 <= code < len(STATES):
        how = (
            f"was ended by signal {-code}"
            if code is not None and code < 0
            else f"ended with {code}"
        )
        raise ProbeError(Reason.PROTOCOL, f"it {how}, expected 0 to 3{_colon(line)}")
    facts["state"] = state = STATES[code]
    if state not in expect.states:
        raise ProbeError(Reason.STATUS, f"{state}{_colon(line)}")
    if expect.matches is not None and not expect.matches.search(first):
        text = f"got {line!r}, expected a match for {expect.matches.pattern!r}"
        raise ProbeError(Reason.BODY, text)
    check_duration(attempt, expect.max_duration)


def _colon(text: str) -> str:
    return f": {text}" if text else ""


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
