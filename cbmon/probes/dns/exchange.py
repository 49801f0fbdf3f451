"""One question to one server: over UDP, TCP or TLS.

Rule: what is not an answer to this very question is passed over, so that nobody but the server
can answer for it; a datagram is asked for once and never repeated.
"""

from __future__ import annotations

import asyncio
import socket

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes.addresses import Endpoint
from cbmon.probes.dial import Route, Tls, dial, locate
from cbmon.probes.dns.message import answers
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError, words


async def over_udp(
    attempt: Attempt, environment: ProbeEnvironment, route: Route, asked: bytes
) -> bytes:
    """The server's answer; ProbeError when the server's machine says that nobody listens."""
    endpoint = await locate(attempt, environment, route)
    loop = asyncio.get_running_loop()
    attempt.begin(Phase.CONNECT)
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


class _Datagrams(_Waiting, asyncio.DatagramProtocol):
    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
        self._take(data)

    def error_received(self, exc: Exception) -> None:
        self._give_up(exc)


class _Stream(_Waiting, asyncio.Protocol):
    def __init__(self, attempt: Attempt, asked: bytes, answer: asyncio.Future[bytes]) -> None:
        super().__init__(attempt, asked, answer)
        self._heard = b""

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while len(self._heard) >= 2:
            end = 2 + int.from_bytes(self._heard[:2], "big")
            if len(self._heard) < end:
                return
            self._take(self._heard[2:end])
            self._heard = self._heard[end:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up(exc if isinstance(exc, OSError) else ConnectionResetError())


def _unreachable(endpoint: Endpoint, error: OSError) -> ProbeError:
    return ProbeError(Reason.CONNECT, f"cannot ask {endpoint}: {words(error)}")
