"""The HTTP client: aiohttp, over connections that are dialled here.

Rule: one session for all probes; a connection serves one request and is aborted after it. aiohttp
keeps no cookies, follows no redirect, tries nothing twice, unpacks nothing and takes no proxy
from the environment. What a probe needs of a connection travels in the context variable.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import EMPTY_PAYLOAD
from yarl import URL

from cbmon import __version__
from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes.dial import Link, ProtocolT, Route, Tls, dial
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError, shown, words
from cbmon.probes.http.proxy import Proxy, check_target, tunnel

HEAD_LIMIT: Final = 128 * 1024
"""Bytes of all heads of one answer together, interim answers included."""
USER_AGENT: Final = f"cbmon/{__version__}"

_hop: ContextVar[Hop] = ContextVar("hop")


@dataclass(slots=True, kw_only=True)
class Hop:
    """One request on its way: how to connect, and what became of it."""

    attempt: Attempt
    environment: ProbeEnvironment
    route: Route
    tls: Tls | None
    proxy: Proxy | None = None
    link: Link[Any] | None = None
    heard: int = 0
    """Bytes that came."""
    refused: ProbeError | None = None
    """Why the connection was given up here, whatever aiohttp makes of its end."""

    @property
    def where(self) -> str:
        """The other end, for messages."""
        return str(self.link.endpoint) if self.link else self.route.host


class HttpClient:
    """Shared by all probes of an environment; opened at the first request."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, hop: Hop, method: str, url: URL, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        """The response with its head read; ProbeError says why there is none. Close it."""
        token = _hop.set(hop)
        # Over TLS the connection goes to the target itself, through the proxy's tunnel.
        proxy = hop.proxy if hop.tls is None else None
        if proxy is not None:
            headers = {**headers, **proxy.headers}
        try:
            return await self._opened().request(
                method,
                url,
                headers=headers,
                data=body,
                allow_redirects=False,
                proxy=proxy.url if proxy else None,
            )
        except (aiohttp.ClientError, OSError) as error:
            raise trouble(error, hop) from error
        finally:
            _hop.reset(token)

    async def converse(
        self,
        hop: Hop,
        url: URL,
        headers: Mapping[str, str],
        *,
        protocols: Sequence[str],
        largest: int,
        patience: float,
    ) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket after its handshake; ProbeError or ``WSServerHandshakeError`` without one.

        ``largest`` is in bytes, for one message; ``patience`` in seconds, for the farewell.
        """
        token = _hop.set(hop)
        try:
            return await self._opened().ws_connect(
                url,
                headers=headers,
                protocols=protocols,
                max_msg_size=largest,
                timeout=aiohttp.ClientWSTimeout(ws_close=patience),
            )
        except aiohttp.WSServerHandshakeError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise trouble(error, hop) from error
        finally:
            _hop.reset(token)

    async def close(self) -> None:
        """Abort what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(force_close=True, limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
                max_line_size=2 * HEAD_LIMIT,
                max_field_size=2 * HEAD_LIMIT,
                max_headers=HEAD_LIMIT,
            )
            # A target that hangs up without an answer would be asked a second time.
            self._session._retry_connection = False  # noqa: SLF001
        return self._session


class _Connector(aiohttp.BaseConnector):
    """Dials for the hop whose request it is."""

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,  # noqa: ARG002
        traces: object,  # noqa: ARG002
        timeout: aiohttp.ClientTimeout,  # noqa: ARG002
    ) -> ResponseHandler:
        hop = _hop.get()
        if hop.link is not None:  # a handshake of a WebSocket was redirected
            raise ProbeError(Reason.REDIRECT, "got a redirect, expected an answer")
        hop.environment = hop.environment.on_transports()  # aiohttp wants whole ones
        handler = _Handler(asyncio.get_running_loop(), hop)
        hop.link = await connected(hop, handler)
        hop.attempt.begin(Phase.PROCESSING)
        return handler


async def connected(hop: Hop, protocol: ProtocolT) -> Link[ProtocolT]:
    """A new connection for the hop, through its proxy if it has one, with ``protocol`` on it."""
    attempt, environment, proxy = hop.attempt, hop.environment, hop.proxy
    if proxy is None:
        return await dial(attempt, environment, hop.route, lambda: protocol, hop.tls)
    check_target(environment, hop.route.host)
    if hop.tls is None:
        return await dial(attempt, environment, proxy.route, lambda: protocol)
    return await tunnel(
        attempt, environment, proxy, target=hop.route, protocol=protocol, tls=hop.tls
    )


class _Handler(ResponseHandler):
    """Notes when the answer begins, bounds its head, and never closes politely."""

    def __init__(self, loop: asyncio.AbstractEventLoop, hop: Hop) -> None:
        super().__init__(loop)
        self._hop = hop
        self._head = self._body = 0

    def data_received(self, data: bytes) -> None:
        hop = self._hop
        if not hop.heard:
            hop.attempt.begin(Phase.TRANSFER)
        hop.heard += len(data)
        super().data_received(data)
        if self.upgraded:
            return
        headed = self._payload is not None and self._payload is not EMPTY_PAYLOAD
        body = self._payload.total_bytes if headed and self._payload is not None else 0
        if body > self._body:
            self._head, self._body = 0, body
        else:  # a head, or trailers and the like, which could go on for ever
            self._head += len(data)
        if self._head > HEAD_LIMIT and not (headed and self._payload and self._payload.is_eof()):
            hop.refused = too_large(headed=headed)
            self.set_exception(hop.refused)
            self.abort_transport()

    def connection_lost(self, exc: BaseException | None) -> None:
        payload = self._payload
        if exc is not None and payload is not None and not payload.is_eof():
            # aiohttp takes a body without a length for complete even when it ends with a reset.
            payload.set_exception(aiohttp.ClientOSError(*exc.args), exc)
        super().connection_lost(exc)

    def abort_transport(self) -> None:
        """Drop the connection, but keep the exception for who waits for the answer."""
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        """A hostile target must not be able to draw out the farewell of TLS."""
        self.abort()


def trouble(error: Exception, hop: Hop) -> ProbeError:
    """What the failure of sending, or of reading the answer, means."""
    where = hop.where
    if hop.refused is not None:
        return hop.refused
    if isinstance(error, aiohttp.ClientResponseError):
        return ProbeError(Reason.PROTOCOL, f"{where} does not speak HTTP: {_parsing(error)}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return cut_short(where)
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLError):
        return broken(where, cause, heard=hop.heard > 0)
    return broken(where, error if isinstance(error, OSError) else None, heard=hop.heard > 0)


def too_large(*, headed: bool) -> ProbeError:
    """The head has no end, or what stands between and after the parts of a body has none."""
    what = "trailers, or what stands between chunks, are" if headed else "the headers are"
    return ProbeError(Reason.SIZE, f"{what} larger than {HEAD_LIMIT} bytes")


def cut_short(where: str) -> ProbeError:
    """The body is not whole."""
    return ProbeError(Reason.PROTOCOL, f"the body of {where} ends too early or is malformed")


def broken(where: str, error: OSError | None, *, heard: bool) -> ProbeError:
    """The connection ended before the answer was there, by an error or politely."""
    if isinstance(error, ssl.SSLError):
        text = (error.reason or "unknown reason").lower().replace("_", " ")
        return ProbeError(Reason.TLS, f"TLS with {where} failed: {text}")
    if not heard:
        how = "connection closed" if error is None else words(error)
        return ProbeError(Reason.CONNECT, f"{where} gave no answer: {how}")
    return ProbeError(Reason.PROTOCOL, f"{where} broke off in the middle of the answer")


def _parsing(error: aiohttp.ClientResponseError) -> str:
    return shown(" ".join(error.message.split()))
