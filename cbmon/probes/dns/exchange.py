"""One question to one server: over UDP, TCP or TLS.

Rule: what is not an answer to this very question is passed over, so that nobody but the server
can answer for it; a datagram is asked for once and never repeated.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes.addresses import Endpoint
from cbmon.probes.dial import Route, Tls, dial, locate
from cbmon.probes.dns.message import answers
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError, words
from cbmon.probes.poll import AVAILABLE as DIRECT
from cbmon.probes.poll import READ, Watcher
from cbmon.probes.steps import Bell

_LARGEST: Final = 64 * 1024
_MOST_MESSAGES: Final = 1000
"""Messages over one connection of which one must be the answer."""


async def over_udp(
    attempt: Attempt, environment: ProbeEnvironment, route: Route, asked: bytes
) -> bytes:
    """The server's answer; ProbeError when the server's machine says that nobody listens."""
    endpoint = await locate(attempt, environment, route)
    attempt.begin(Phase.CONNECT)
    if environment.direct and DIRECT:
        socket_of_its_own = _Socket(environment.shared(Watcher), attempt, asked)
        try:
            return await socket_of_its_own.ask(endpoint, route.source)
        except OSError as error:
            raise _unreachable(endpoint, error) from error
    loop = asyncio.get_running_loop()
    try:
        transport, waiter = await loop.create_datagram_endpoint(
            lambda: _Datagrams(attempt, asked, loop.create_future()),
            remote_addr=(endpoint.ip, endpoint.port),
            local_addr=(route.source, 0) if route.source else None,
            family=socket.AF_INET6 if ":" in endpoint.ip else socket.AF_INET,
        )
    except OSError as error:
        raise _unreachable(endpoint, error) from error
    try:
        attempt.begin(Phase.PROCESSING)
        transport.sendto(asked)
        return await waiter.answer
    except OSError as error:
        raise _unreachable(endpoint, error) from error
    finally:
        transport.abort()


async def over_stream(
    attempt: Attempt,
    environment: ProbeEnvironment,
    route: Route,
    asked: bytes,
    tls: Tls | None,
) -> bytes:
    """The server's answer over TCP, or TLS; ProbeError when the connection ends without one."""
    loop = asyncio.get_running_loop()
    link = await dial(
        attempt,
        environment,
        route,
        lambda: _Stream(attempt, asked, loop.create_future()),
        tls,
    )
    try:
        attempt.begin(Phase.PROCESSING)
        if not link.transport.is_closing():  # it may have hung up meanwhile
            link.transport.write(len(asked).to_bytes(2, "big") + asked)
        return await link.protocol.answer
    except OSError as error:
        text = f"{link.endpoint} closed the connection without an answer"
        raise ProbeError(Reason.PROTOCOL, text) from error
    finally:
        link.transport.abort()


class _Waiting:
    """Has the future that the answer is put into."""

    def __init__(self, attempt: Attempt, asked: bytes, answer: asyncio.Future[bytes]) -> None:
        self.answer = answer
        self._attempt = attempt
        self._asked = asked

    def _take(self, data: bytes) -> None:
        if not self.answer.done() and answers(self._asked, data):
            self._attempt.begin(Phase.TRANSFER)
            self.answer.set_result(data)

    def _give_up(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # there may be nobody left who waits for it


class _Socket:
    """A datagram socket for one question."""

    __slots__ = ("_asked", "_attempt", "_bell", "_descriptor", "_heard", "_socket", "_watcher")

    def __init__(self, watcher: Watcher, attempt: Attempt, asked: bytes) -> None:
        self._watcher = watcher
        self._attempt = attempt
        self._asked = asked
        self._bell = Bell()
        self._heard: bytes | OSError | None = None
        self._socket: socket.SocketType | None = None
        self._descriptor = -1

    async def ask(self, endpoint: Endpoint, source: str | None) -> bytes:
        """The answer; OSError when the server cannot be reached."""
        family = socket.AF_INET6 if ":" in endpoint.ip else socket.AF_INET
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        self._socket = one = socket.SocketType(family, kind)  # without what socket.socket adds
        try:
            if source is not None:
                one.bind((source, 0))
            one.connect(endpoint)
            self._attempt.begin(Phase.PROCESSING)
            one.send(self._asked)
            self._descriptor = one.fileno()
            self._watcher.watch(self._descriptor, READ, self)
            while self._heard is None:
                await self._bell
        finally:
            self.abort()
        if isinstance(self._heard, OSError):
            raise self._heard
        return self._heard

    def ready(self, events: int) -> None:  # noqa: ARG002 - whatever it is, reading tells
        """Something came."""
        assert self._socket is not None  # noqa: S101 - for the type checker
        try:
            data = self._socket.recv(_LARGEST)
        except BlockingIOError:  # its checksum was wrong
            return
        except OSError as error:
            self._heard = error
        else:
            if not answers(self._asked, data):
                return
            self._attempt.begin(Phase.TRANSFER)
            self._heard = data
        self._bell.ring()

    def abort(self) -> None:
        """Close the socket."""
        if self._descriptor >= 0:
            self._watcher.forget(self._descriptor)
            self._descriptor = -1
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _Datagrams(_Waiting, asyncio.DatagramProtocol):
    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
        self._take(data)

    def error_received(self, exc: Exception) -> None:
        self._give_up(exc)


class _Stream(_Waiting, asyncio.Protocol):
    def __init__(self, attempt: Attempt, asked: bytes, answer: asyncio.Future[bytes]) -> None:
        super().__init__(attempt, asked, answer)
        self._heard = b""
        self._messages = 0

    def data_received(self, data: bytes) -> None:
        heard, at = self._heard + data, 0
        while len(heard) >= at + 2 and not self.answer.done():
            end = at + 2 + int.from_bytes(heard[at : at + 2], "big")
            if len(heard) < end:
                break
            self._take(heard[at + 2 : end])
            at = end
            self._messages += 1
            if self._messages >= _MOST_MESSAGES:
                text = f"said {_MOST_MESSAGES} messages, none of which is the answer"
                self._give_up(ProbeError(Reason.PROTOCOL, text))
        self._heard = heard[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up(exc if isinstance(exc, OSError) else ConnectionResetError())


def _unreachable(endpoint: Endpoint, error: OSError) -> ProbeError:
    return ProbeError(Reason.CONNECT, f"cannot ask {endpoint}: {words(error)}")
