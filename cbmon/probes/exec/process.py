"""A program that is started, listened to, and ended with all that it started.

Rule: it runs in a session of its own, under limits that are set before it begins, with nothing of
the daemon's environment and no input. Whatever happens its whole process group is killed, and it
is over when the program itself has ended, whoever still holds its output.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import select
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, words

CHUNK: Final = 64 * 1024
COMPLAINTS: Final = 4096
"""Bytes of standard error that are kept."""
GRACE: Final = 0.2
"""Seconds within which a killed program is gone, unless the kernel holds it."""
CLEAN: Final[Mapping[str, str]] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/",
    "LC_ALL": "C",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a program may use. Sizes in bytes, time in seconds of a processor."""

    output: int
    memory: int
    processes: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """As whom it runs."""

    user: int
    group: int
    groups: tuple[int, ...]


class Running:
    """One program that runs. Whoever makes one must end it."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        limits: Limits,
        identity: Identity | None = None,
    ) -> None:
        self.out = bytearray()
        self.complaints = bytearray()
        self._limit = limits.output
        self._process = _started([*_limiting(limits), *command], environment, identity)
        self._watched: dict[int, bytearray] = {}
        self._ended = _descriptor(self._process)
        self._news = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._ended, self._news.set)
        for pipe, kept in zip(self._pipes(), (self.out, self.complaints), strict=True):
            os.set_blocking(pipe.fileno(), False)
            self._watched[pipe.fileno()] = kept
            loop.add_reader(pipe.fileno(), self._hear, pipe.fileno())

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its session and group."""
        return self._process.pid

    @property
    def is_over(self) -> bool:
        """Whether the program itself has ended; it stays a zombie, and its number its own."""
        poll = select.poll()
        poll.register(self._ended, select.POLLIN)
        return bool(poll.poll(0))

    async def finished(self) -> None:
        """Until the program has ended; ProbeError (``size``) when it prints too much."""
        while not self.is_over:
            self._news.clear()
            await self._news.wait()
            self._check()
        for number in tuple(self._watched):
            self._hear(number)  # what it said last
        self._check()

    async def end(self) -> int | None:
        """Kill what is left; the program's exit code, negative for a signal, None if it hangs."""
        loop = asyncio.get_running_loop()
        for number in self._watched:
            loop.remove_reader(number)
        loop.remove_reader(self._ended)
        for pipe in self._pipes():
            pipe.close()
        # All of the group at once: a fork that is going on fails when its parent is being killed.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        try:
            await self._gone()
        finally:
            os.close(self._ended)
        return self.exit_code()

    def exit_code(self) -> int | None:
        """The exit code, once it is gone."""
        return self._process.poll()

    async def _gone(self) -> None:
        if self.is_over:
            return
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._ended, gone.set)
        try:
            async with asyncio.timeout(GRACE):
                await gone.wait()
        except TimeoutError:
            return
        finally:
            loop.remove_reader(self._ended)

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        out, complaints = self._process.stdout, self._process.stderr
        assert out is not None  # noqa: S101 - for the type checker
        assert complaints is not None  # noqa: S101
        return out, complaints

    def _check(self) -> None:
        if len(self.out) > self._limit:
            raise ProbeError(Reason.SIZE, f"it printed more than {self._limit} bytes")

    def _hear(self, number: int) -> None:
        kept = self._watched[number]
        limit = self._limit + 1 if kept is self.out else COMPLAINTS
        try:
            data = os.read(number, CHUNK)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(number)
            del self._watched[number]
        kept += data[: max(0, limit - len(kept))]
        self._news.set()


def _limiting(limits: Limits) -> list[str]:
    """The command that sets limits before it becomes another one; none is left out silently."""
    tool = shutil.which("prlimit", path=CLEAN["PATH"])
    if tool is None:
        raise ProbeError(Reason.CONFIG, "prlimit is not installed; it is part of util-linux")
    wanted = {
        "core": (resource.RLIMIT_CORE, 0),
        "data": (resource.RLIMIT_DATA, limits.memory),
        "nproc": (resource.RLIMIT_NPROC, limits.processes),
        "cpu": (resource.RLIMIT_CPU, limits.seconds),
    }
    return [tool, *(f"--{name}={_possible(*pair)}" for name, pair in wanted.items()), "--"]


def _possible(kind: int, wanted: int) -> int:
    """Nobody may be given more than the daemon itself has."""
    _, hard = resource.getrlimit(kind)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _started(
    command: Sequence[str], environment: Mapping[str, str], identity: Identity | None
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - the command is configured, allowed and no shell's
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=environment,
            start_new_session=True,
            bufsize=0,
            user=identity.user if identity else None,
            group=identity.group if identity else None,
            extra_groups=identity.groups if identity else None,
        )
    except OSError as error:
        raise ProbeError(Reason.CONFIG, f"cannot start it: {words(error)}") from error


def _descriptor(process: subprocess.Popen[bytes]) -> int:
    try:
        return os.pidfd_open(process.pid)
    except OSError as error:
        process.kill()
        process.wait()
        raise ProbeError(Reason.INTERNAL, f"cannot watch it: {words(error)}") from error
