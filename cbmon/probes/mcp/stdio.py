"""The protocol over a program's standard input and output: one message a line.

Rule: the program runs in a session of its own with nothing of the daemon's environment, and its
whole process group is killed at the end, whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Final

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes.api import parsed
from cbmon.probes.failure import ProbeError, words
from cbmon.probes.mcp.messages import (
    MOST_OTHERS,
    Message,
    chatter,
    initialized,
    is_answer,
    request,
    result,
)

LIMIT: Final = 4 * 1024 * 1024
"""Bytes that the program may say in all, and on one line."""
GRACE: Final = 0.2
"""Seconds within which a killed program is gone, unless the kernel holds it."""
CLEAN: Final[Mapping[str, str]] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/",
    "LC_ALL": "C",
}


class StdioTransport:
    """One program. Whoever starts one must end it."""

    def __init__(self, attempt: Attempt, process: asyncio.subprocess.Process) -> None:
        self._attempt = attempt
        self._process = process
        self._number = 0
        self._heard = 0

    @classmethod
    async def start(
        cls, attempt: Attempt, command: Sequence[str], environment: Mapping[str, str]
    ) -> StdioTransport:
        """Start the program; ProbeError (``config``) when that is not possible."""
        attempt.begin(Phase.CONNECT)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                cwd="/",
                env={**CLEAN, **environment},
                start_new_session=True,
                limit=LIMIT,
            )
        except OSError as error:
            raise ProbeError(Reason.CONFIG, f"cannot start {command[0]}: {words(error)}") from error
        return cls(attempt, process)

    async def ask(self, method: str, params: Message | None = None) -> Message:
        """The result of a request; ProbeError says why there is none."""
        self._number += 1
        self._attempt.begin(Phase.PROCESSING)
        await self._say(request(self._number, method, params))
        for _ in range(MOST_OTHERS):
            message = parsed(await self._line(method))
            if is_answer(message, self._number):
                return result(message, method)
        raise chatter()

    async def settle(self, _version: str) -> None:
        """The handshake is over."""
        await self._say(initialized())

    async def end(self) -> None:
        """Kill the program and all that it started, and see it gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # A process that got away from the group may hold the pipes; they are closed here.
        self._process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await self._process.wait()

    async def _say(self, message: Message) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - for the type checker
        try:
            stdin.write(json.dumps(message).encode() + b"\n")
            await stdin.drain()
        except (OSError, RuntimeError) as error:  # uvloop's, for a pipe that is closed already
            raise self._gone() from error

    async def _line(self, method: str) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - for the type checker
        try:
            line = await stdout.readline()
        except ValueError as error:
            raise self._too_much() from error
        self._heard += len(line)
        if self._heard > LIMIT:
            raise self._too_much()
        if not line.endswith(b"\n"):
            raise self._gone(f" without an answer to {method}")
        return line

    @staticmethod
    def _too_much() -> ProbeError:
        return ProbeError(Reason.SIZE, f"the program said more than {LIMIT} bytes")

    @staticmethod
    def _gone(detail: str = "") -> ProbeError:
        return ProbeError(Reason.CONNECT, f"the program ended{detail}")
