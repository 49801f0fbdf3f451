"""Middleware for aiohttp's client: every request of a session behind the breaker of its host.

    session = ClientSession(middlewares=[BreakerMiddleware(BreakerRegistry(max_keys=100))])

Rules:

* A rejection is an ``aiohttp.ClientConnectionError`` and a ``CircuitOpenError``; no connection is
  taken from the pool.
* 5xx, timeouts (``total``, ``connect``, ``sock_read``), connection and protocol errors are
  failures, also while the body is read; 4xx is an answer; a bad URL is nothing. A full connector
  shows as a connection timeout, as aiohttp does not tell them apart. Sources stand in
  :mod:`cbmon.integrations.http_rules` and in :func:`judge`.
* The call lasts until the connection is back: the body is read, released or closed. A WebSocket
  is over when it is open. The latency is that of the headers.
* Each hop of a redirect is a call to its own host. A cancelled task says nothing.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Final

from cbmon.breaker import CircuitBreaker, CircuitOpenError
from cbmon.errors import MissingExtraError
from cbmon.integrations.calls import Breakers, admit, breaker_of, checked
from cbmon.integrations.http_calls import Exchange
from cbmon.integrations.http_rules import DEFAULT_RULES, HttpRules
from cbmon.integrations.verdicts import (
    BODY,
    CONNECT,
    DNS,
    INTERNAL,
    NEUTRAL,
    TIMEOUT,
    TLS,
    Table,
    Verdict,
    first_match,
)

try:
    import aiohttp
except ImportError as error:
    raise MissingExtraError("cbmon.integrations.aiohttp", "aiohttp") from error

__all__ = ["AiohttpCallTimeoutError", "AiohttpCircuitOpenError", "BreakerMiddleware", "judge"]

_SWITCHING_PROTOCOLS: Final = 101
_SAYS: Final[Table] = (
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, aiohttp.TooManyRedirects), NEUTRAL),
    ((TimeoutError,), TIMEOUT),
    ((aiohttp.ClientConnectorDNSError,), DNS),
    ((aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch), TLS),
    ((aiohttp.ClientPayloadError,), BODY),
    ((aiohttp.ClientConnectionError, OSError), CONNECT),
    ((aiohttp.ClientError,), INTERNAL),
)


class AiohttpCallTimeoutError(aiohttp.ServerTimeoutError):
    """The policy's ``call_timeout`` ran out before the head of the answer came; a TimeoutError."""


class AiohttpCircuitOpenError(CircuitOpenError, aiohttp.ClientConnectionError):
    """The breaker rejected the request; nothing was sent."""

    late = AiohttpCallTimeoutError


class BreakerMiddleware:
    """A client middleware; ``middlewares=`` of a session or of one request takes it.

    ``breakers`` is one breaker for all requests, or a registry with one for each key. ``key`` names
    a request's breaker (default: the host, with the port if it is not the scheme's). ``rules`` say
    which statuses are failures.
    """

    def __init__(
        self,
        breakers: Breakers,
        *,
        key: Callable[[aiohttp.ClientRequest], str] | None = None,
        rules: HttpRules = DEFAULT_RULES,
    ) -> None:
        self._breakers = checked(breakers)
        self._single = breakers if isinstance(breakers, CircuitBreaker) else None
        self._key = host_of if key is None else key
        self._rules = rules

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send it if its breaker lets it; raises :class:`AiohttpCircuitOpenError` if not."""
        breaker = self._single or breaker_of(self._breakers, self._key(request))
        exchange = Exchange(admit(breaker, AiohttpCircuitOpenError), judge, self._rules)
        response = await exchange.awaited(_send, request, handler, exchange)
        if exchange.headers(response, response.status, response.headers):
            _follow(response, exchange)
        return response


def host_of(request: aiohttp.ClientRequest) -> str:
    """``host`` or ``host:port`` of a request."""
    return request.url.host_port_subcomponent or ""


def judge(error: BaseException) -> Verdict:
    """What aiohttp's exceptions say of a server.

    From its exception hierarchy: name, connection and TLS errors, timeouts, a server that hangs up
    or does not speak HTTP are the server's; a bad URL is the caller's. What is no error of aiohttp
    came from the caller, such as from the generator of a request's body.
    """
    return first_match(error, _SAYS)


async def _send(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType, exchange: Exchange
) -> aiohttp.ClientResponse:
    """Send it; the session's own timeout, which comes as a cancellation, is told as what it is."""
    try:
        return await handler(request)
    except asyncio.CancelledError:
        timer: Any = getattr(request, "_timer", None)
        try:
            if timer is not None:
                timer.assert_timeout()
        except TimeoutError as late:
            exchange.raised(late)
        raise


def _follow(response: aiohttp.ClientResponse, exchange: Exchange) -> None:
    """End the call when the response gives its connection back."""
    connection = response.connection
    if connection is None or response.status == _SWITCHING_PROTOCOLS:
        exchange.over()
        return
    content = response.content

    def over() -> None:
        error = content.exception() or sys.exc_info()[1]
        if type(error) is aiohttp.ClientConnectionError:  # set by the response's own close()
            error = sys.exc_info()[1]
        if isinstance(error, aiohttp.ClientError | TimeoutError | asyncio.CancelledError):
            exchange.raised(error)
        else:
            exchange.over()

    connection.add_callback(over)
