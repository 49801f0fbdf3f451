"""Connections to targets: resolve, connect, TLS; one phase each.

Rule: one address, one try, and the policy judges that address; a socket in the file system is an
address too. An error names the address and the reason; when the run is cancelled the socket is
closed at once.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar, cast

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes.addresses import Endpoint, Family, SocketFile
from cbmon.probes.certificates import Chain
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError, words
from cbmon.probes.line import Line
from cbmon.probes.poll import AVAILABLE as LINES
from cbmon.probes.poll import Watcher

ProtocolT = TypeVar("ProtocolT", bound=asyncio.Protocol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where to, and how to get there. With ``path`` it is a Unix socket, ``host`` only its name."""

    host: str
    port: int = 0
    family: Family = "any"
    source: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A context, and the name that is asked for and must be in the certificate."""

    context: ssl.SSLContext
    name: str


@dataclass(slots=True)
class Link(Generic[ProtocolT]):
    """A connection. Whoever has it must abort its transport."""

    transport: asyncio.Transport
    protocol: ProtocolT
    endpoint: Endpoint | SocketFile
    chain: Chain | None = None
    """What the target presented, over TLS."""


async def dial(
    attempt: Attempt,
    environment: ProbeEnvironment,
    route: Route,
    factory: Callable[[], ProtocolT],
    tls: Tls | None = None,
) -> Link[ProtocolT]:
    """Connect, and leave the last phase going on; ProbeError says why not."""
    endpoint = _known(attempt, environment, route) or await locate(attempt, environment, route)
    attempt.begin(Phase.CONNECT)
    if environment.direct and LINES:
        line, is_connected = _line(environment, endpoint, route)
        if not is_connected:
            await _connected(line, endpoint, route)
        if tls is not None:
            return await secure(attempt, environment, Link(line, _QUIET, endpoint), factory(), tls)
        protocol = factory()
        line.begin(protocol)
        return Link(line, protocol, endpoint)
    if tls is None:
        transport, protocol = await _connect(endpoint, route, factory)
        return Link(transport, protocol, endpoint)
    waiting, quiet = await _connect(endpoint, route, _Quiet)
    return await secure(attempt, environment, Link(waiting, quiet, endpoint), factory(), tls)


async def touch(attempt: Attempt, environment: ProbeEnvironment, route: Route) -> None:
    """Connect and hang up, with nothing to say or to hear; ProbeError says why not."""
    if not (environment.direct and LINES):
        link = await dial(attempt, environment, route, asyncio.Protocol)
        link.transport.abort()
        return
    endpoint = _known(attempt, environment, route) or await locate(attempt, environment, route)
    attempt.begin(Phase.CONNECT)
    line, is_connected = _line(environment, endpoint, route)
    if not is_connected:
        await _connected(line, endpoint, route)
    attempt.end()
    line.abort()


async def locate(attempt: Attempt, environment: ProbeEnvironment, route: Route) -> Endpoint:
    """The address to connect to, resolved and allowed; ProbeError when there is none."""
    attempt.facts["host"] = route.host
    attempt.begin(Phase.RESOLVE)
    ip = environment.resolver.known(route.host, route.family)
    if ip is not None:
        return _chosen(attempt, environment, route, ip, (ip,))
    found = await environment.resolver.addresses(route.host, route.family)
    ip = next((one for one in found if one not in attempt.avoid), found[0])
    return _chosen(attempt, environment, route, ip, found)


def _known(
    attempt: Attempt, environment: ProbeEnvironment, route: Route
) -> Endpoint | SocketFile | None:
    """The same where nobody has to be asked for it; else None."""
    if route.path is not None:
        file = SocketFile(route.path)
        attempt.facts["address"] = str(file)
        environment.policy.check_path(route.path)
        return file
    attempt.facts["host"] = route.host
    attempt.begin(Phase.RESOLVE)
    ip = environment.resolver.known(route.host, route.family)
    return None if ip is None else _chosen(attempt, environment, route, ip, (ip,))


def _chosen(
    attempt: Attempt, environment: ProbeEnvironment, route: Route, ip: str, found: Sequence[str]
) -> Endpoint:
    if attempt.taken is None:
        attempt.offered, attempt.taken = tuple(found), ip
    endpoint, attempt.facts["address"] = _written(ip, route.port)
    environment.policy.check(ip)
    return endpoint


@lru_cache(16_384)
def _written(ip: str, port: int) -> tuple[Endpoint, str]:
    """An endpoint, and how it is shown."""
    endpoint = Endpoint(ip, port)
    return endpoint, str(endpoint)


async def secure(
    attempt: Attempt,
    environment: ProbeEnvironment,
    plain: Link[Any],
    protocol: ProtocolT,
    tls: Tls,
) -> Link[ProtocolT]:
    """Begin TLS on a connection, with ``protocol`` on top; it is aborted when that fails."""
    endpoint = plain.endpoint
    attempt.begin(Phase.TLS)
    if plain.transport.is_closing():  # a loop may wait for ever for such a handshake, or raise
        plain.transport.abort()
        raise ProbeError(Reason.TLS, _hung_up(endpoint))
    try:
        transport, connection = await _shaken(attempt, plain.transport, protocol, tls)
    except OSError as error:
        plain.transport.abort()
        raise ProbeError(Reason.TLS, _handshake_trouble(error, endpoint, tls.name)) from error
    except BaseException:
        plain.transport.abort()
        raise
    chain = environment.chains.presented(connection)
    attempt.facts["tls_version"] = connection.version()
    if chain is not None:
        attempt.facts["certificate"] = chain.facts(environment.clock.time())
    return Link(transport, protocol, endpoint, chain)


async def _shaken(
    attempt: Attempt, plain: asyncio.Transport, protocol: asyncio.Protocol, tls: Tls
) -> tuple[asyncio.Transport, ssl.SSLObject]:
    """The transport of ``protocol``, and what TLS knows, after the handshake; OSError."""
    if isinstance(plain, Line):
        connection = await plain.secure(tls.context, tls.name)
        plain.begin(protocol)
        return plain, connection
    transport = await asyncio.get_running_loop().start_tls(
        plain,
        protocol,
        tls.context,
        server_hostname=tls.name,
        ssl_handshake_timeout=attempt.remaining + 1,  # the caller's deadline comes first
    )
    if transport is None:
        raise ConnectionAbortedError
    protocol.connection_made(transport)
    return transport, cast("ssl.SSLObject", transport.get_extra_info("ssl_object"))


class _Quiet(asyncio.Protocol):
    """Holds a connection until TLS begins; a target that speaks first is heard by TLS."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.ReadTransport", transport).pause_reading()


_QUIET: Final = _Quiet()


def _line(
    environment: ProbeEnvironment, endpoint: Endpoint | SocketFile, route: Route
) -> tuple[Line, bool]:
    """A line that nobody speaks on yet, and whether it is connected at once."""
    watcher = environment.shared(Watcher)
    try:
        if isinstance(endpoint, SocketFile):
            line = Line(watcher, socket.AF_UNIX)
            line.connect(endpoint.path)
            return line, True
        line = Line(watcher, socket.AF_INET6 if ":" in endpoint.ip else socket.AF_INET)
        return line, line.connect(endpoint, route.source)
    except OSError as error:
        raise _unconnected(error, endpoint, route) from error


async def _connected(line: Line, endpoint: Endpoint | SocketFile, route: Route) -> None:
    """Wait until it is."""
    try:
        await line.connected(endpoint)
    except OSError as error:
        raise _unconnected(error, endpoint, route) from error


async def _connect(
    endpoint: Endpoint | SocketFile, route: Route, factory: Callable[[], ProtocolT]
) -> tuple[asyncio.Transport, ProtocolT]:
    loop = asyncio.get_running_loop()
    try:
        if isinstance(endpoint, SocketFile):
            return await loop.create_unix_connection(factory, endpoint.path)
        return await loop.create_connection(
            factory,
            endpoint.ip,
            endpoint.port,
            family=socket.AF_INET6 if ":" in endpoint.ip else socket.AF_INET,
            local_addr=(route.source, 0) if route.source else None,
        )
    except OSError as error:
        raise _unconnected(error, endpoint, route) from error


def _unconnected(error: OSError, endpoint: Endpoint | SocketFile, route: Route) -> ProbeError:
    if route.source and error.errno == errno.EADDRNOTAVAIL:
        text = f"cannot connect from {route.source}: this machine has no such address"
        return ProbeError(Reason.CONFIG, text)
    return ProbeError(Reason.CONNECT, f"cannot connect to {endpoint}: {words(error)}")


def _handshake_trouble(error: OSError, endpoint: Endpoint | SocketFile, name: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        trouble = error.verify_message
        return f"the certificate of {endpoint} is not valid for {name}: {_lowered(trouble)}"
    if isinstance(error, ssl.SSLError):
        if error.reason in _NOT_TLS:
            return f"{endpoint} does not speak TLS"
        return f"TLS with {endpoint} failed: {_lowered((error.reason or '').replace('_', ' '))}"
    return _hung_up(endpoint)


def _hung_up(endpoint: Endpoint | SocketFile) -> str:
    return f"{endpoint} closed the connection in the TLS handshake"


_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"})


def _lowered(text: str) -> str:
    text = text.rstrip(".")
    return text.lower() if text.isupper() else text[:1].lower() + text[1:]
