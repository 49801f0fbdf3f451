"""A worker's process, and the stream to it.

Rule: the stream is all that joins them. The process sees the modules that this one sees, and
nothing that the service manager tells the daemon alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Final, cast

from cbmon.logs import fields
from cbmon.workers.wire import BrokenStreamError, Frames, Kind, frame

log = logging.getLogger(__name__)

_NOT_INHERITED: Final = frozenset(
    {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID"}
)
"""What the service manager tells the daemon alone."""


class Line(asyncio.Protocol):
    """The stream to one process."""

    def __init__(self, heard: Callable[[Line, Kind, bytes], None]) -> None:
        """``heard`` is told each frame, and may raise BrokenStreamError."""
        self._heard = heard
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready = asyncio.Event()
        self.unanswered = 0
        """Questions since the last answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The stream is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass

    def connection_lost(self, _error: Exception | None) -> None:
        """The process is gone, or its stream."""
        if not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Hand on what it says; nonsense ends it."""
        try:
            for kind, content in self._frames.feed(data):
                self._heard(self, kind, content)
        except BrokenStreamError as error:
            log.error("worker speaks nonsense", extra=fields(error=str(error)))  # noqa: TRY400
            self.close()

    def send(self, kind: Kind, content: bytes = b"") -> None:
        """One frame."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(kind, content))

    def close(self) -> None:
        """Hang up at once, whatever waits to be sent."""
        if self._transport is not None:
            self._transport.abort()


async def spawned(theirs: socket.socket) -> asyncio.subprocess.Process:
    """A process of this interpreter that sees the modules that this one sees."""
    environ = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "cbmon.workers.child", str(theirs.fileno()),
        pass_fds=(theirs.fileno(),), stdin=asyncio.subprocess.DEVNULL, env=environ,
    )  # fmt: skip


async def ended(process: asyncio.subprocess.Process, grace: float) -> int:
    """Its exit code, once it has ended: by itself within ``grace`` seconds, or killed.

    Cancelled, it kills at once, and still waits for the end: nobody else would.
    """
    try:
        async with asyncio.timeout(grace):
            return await process.wait()
    except TimeoutError:
        return await _killed(process)
    except asyncio.CancelledError:
        await _killed(process)
        raise


async def _killed(process: asyncio.subprocess.Process) -> int:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    return await process.wait()
