"""Connections with deadlines: slow and idle clients are closed, too many are turned away.

Rule: from the first byte of a request its header must be there within ``header`` seconds; a
connection that says nothing is closed after ``idle``; an answer must be taken within ``write``.
The time a handler takes and the body it reads are bounded by the handler's own deadline. At the
cap the connection that has been waiting longest makes room; one that is served is never closed
for a newcomer.

aiohttp's server leaves these connections open for as long as the client likes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import cast

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a client may take, in seconds, and how much it may take."""

    header: float = 10.0
    """From a request's first byte, or from the connection, to the end of the header."""
    body: float = 10.0
    """To read the body of a request."""
    idle: float = 13.0
    """Between two requests; below the usual scrape interval, so that none races the close."""
    write: float = 14.0
    """For the client to take the whole answer."""
    linger: float = 2.0
    """To swallow a body that nobody read."""
    handler: float = 120.0
    """For an answer to be ready; a run of a check that was asked for is the longest."""
    connections: int = 1000
    body_bytes: int = 64 * 1024


class Phase(Enum):
    """What a connection is waiting for."""

    HEADER = auto()
    IDLE = auto()
    HANDLER = auto()
    WRITE = auto()


class Connections:
    """The connections of one listener group, counted against one cap."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: dict[Connection, None] = {}
        self._waiting: dict[Connection, None] = {}  # the one that waits longest is first
        self.refused = 0
        """Connections closed because the cap was reached."""
        self.expired = 0
        """Connections closed because a deadline passed."""

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> bool:
        """Count a new connection, making room if there is none; False if that is impossible."""
        if len(self._open) >= self.limits.connections and not self._evict():
            self.refused += 1
            return False
        self._open[connection] = None
        return True

    def forget(self, connection: Connection) -> None:
        """A connection has ended."""
        self._open.pop(connection, None)
        self._waiting.pop(connection, None)

    def note(self, connection: Connection, phase: Phase) -> None:
        """A connection waits for something else from now on."""
        self._waiting.pop(connection, None)
        if phase in {Phase.HEADER, Phase.IDLE} and connection in self._open:
            self._waiting[connection] = None

    def close(self) -> None:
        """Close all that are left."""
        for connection in list(self._open):
            connection.abort()

    def _evict(self) -> bool:
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        self.refused += 1
        self.forget(longest)
        longest.abort()
        return True


class Connection(asyncio.Protocol):
    """Stands between a transport and aiohttp's protocol and keeps the time."""

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        group: Connections,
        welcome: Callable[[asyncio.BaseTransport], bool] = lambda _: True,
    ) -> None:
        """``make`` gives aiohttp's protocol, once there is something to read: a thousand clients
        who say nothing cost little. ``welcome`` says whether this client may be here at all."""
        self._make = make
        self._inner: asyncio.Protocol | None = None
        self._group = group
        self._welcome = welcome
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        self._admitted = False
        self.phase = Phase.HEADER

    # --- what the transport tells -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here."""
        self._transport = cast("asyncio.Transport", transport)
        self._admitted = self._welcome(transport) and self._group.admit(self)
        if not self._admitted:
            self._transport.abort()
            return
        self._enter(Phase.HEADER)

    def data_received(self, data: bytes) -> None:
        """Bytes came; they never prolong a deadline."""
        if not self._admitted or self._transport is None:
            return
        if self._inner is None:
            self._inner = self._make()
            self._inner.connection_made(self._transport)
        if self.phase is Phase.IDLE:
            self._enter(Phase.HEADER)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The client will send no more."""
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        """The client does not take what is sent."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client takes it again."""
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._group.forget(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._inner is not None:
            self._inner.connection_lost(exc)

    # --- what the application tells ---------------------------------------------------------

    def handling(self) -> None:
        """The header is complete and the handler works."""
        self._enter(Phase.HANDLER)

    def answering(self) -> None:
        """The handler is done, the answer goes out."""
        self._enter(Phase.WRITE)

    def answered(self) -> None:
        """The answer is written; another request may come."""
        self._enter(Phase.IDLE)

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    # --- the clock ---------------------------------------------------------------------------

    def _enter(self, phase: Phase) -> None:
        limits = self._group.limits
        seconds = {
            Phase.HEADER: limits.header,
            Phase.IDLE: limits.idle,
            Phase.WRITE: limits.write,
        }.get(phase)
        self.phase = phase
        self._group.note(self, phase)
        self._deadline = None if seconds is None else self._loop.time() + seconds
        if self._deadline is None:
            return
        if self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        """The timer is lazy: it comes back at the present deadline, or closes."""
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() >= self._deadline:
            self._group.expired += 1
            self.abort()
        else:
            self._timer = self._loop.call_at(self._deadline, self._look)


def connection_of(request: web.BaseRequest) -> Connection | None:
    """The guarded connection that a request came on; None when it is gone."""
    transport = request.transport
    protocol = None if transport is None else transport.get_protocol()
    return protocol if isinstance(protocol, Connection) else None


class AnswerWatch(AbstractAccessLogger):
    """aiohttp's access log hook: the one place that says when an answer is fully written."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """The answer is written."""
        del response, time
        connection = connection_of(request)
        if connection is not None:
            connection.answered()


@web.middleware
async def keep_time(
    request: web.Request, handler: Callable[[web.Request], object]
) -> web.StreamResponse:
    """Tell the connection where the request is."""
    connection = connection_of(request)
    if connection is not None:
        connection.handling()
    try:
        return await cast("asyncio.Future[web.StreamResponse]", handler(request))
    finally:
        if connection is not None:
            connection.answering()
