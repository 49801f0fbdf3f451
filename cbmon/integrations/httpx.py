"""Transports for httpx: every request of a client behind the breaker of its host.

    client = httpx.Client(transport=BreakerTransport(BreakerRegistry(max_keys=100)))

Rules:

* A rejection is an ``httpx.ConnectError`` (a ``TransportError``) and a ``CircuitOpenError``; no
  socket is touched.
* 5xx, timeouts, connection and protocol errors of the server are failures, also while the body
  is read; 4xx is an answer; a full pool and the caller's mistakes are nothing. Sources stand in
  :mod:`cbmon.integrations.http_rules` and :func:`cbmon.integrations.httpx_guard.judge_for`.
* The call lasts until the body is read or closed; a body that is dropped gives its permit back.
* The policy's ``call_timeout`` applies to the async transport, up to the answer's headers.
"""

from __future__ import annotations

from typing import Final

from cbmon.breaker import CircuitOpenError, State
from cbmon.errors import MissingExtraError
from cbmon.integrations.httpx_guard import (
    AsyncBody,
    AsyncTransport,
    Library,
    SyncBody,
    SyncTransport,
    judge_for,
)

try:
    import httpx
except ImportError as error:
    raise MissingExtraError("cbmon.integrations.httpx", "httpx") from error

__all__ = [
    "AsyncBreakerTransport",
    "BreakerTransport",
    "HttpxCallTimeoutError",
    "HttpxCircuitOpenError",
]

_JUDGE: Final = judge_for(httpx)


class HttpxCallTimeoutError(httpx.ReadTimeout, TimeoutError):
    """The policy's ``call_timeout`` ran out before the head of the answer came."""


class HttpxCircuitOpenError(CircuitOpenError, httpx.ConnectError):
    """The breaker rejected the request; nothing was sent."""

    late = HttpxCallTimeoutError

    def __init__(self, name: str, state: State, retry_after: float | None) -> None:
        httpx.ConnectError.__init__(self, "rejected")
        self.args = (name, state, retry_after)


class _Body(SyncBody, httpx.SyncByteStream):
    """A body that httpx accepts."""


class _AsyncBody(AsyncBody, httpx.AsyncByteStream):
    """A body that httpx accepts."""


class BreakerTransport(SyncTransport[httpx.Request, httpx.BaseTransport], httpx.BaseTransport):
    """For ``httpx.Client``; see :class:`cbmon.integrations.httpx_guard.Transport`."""

    library = Library(_JUDGE, HttpxCircuitOpenError, _Body, httpx.HTTPTransport)


class AsyncBreakerTransport(
    AsyncTransport[httpx.Request, httpx.AsyncBaseTransport], httpx.AsyncBaseTransport
):
    """For ``httpx.AsyncClient``; see :class:`cbmon.integrations.httpx_guard.Transport`."""

    library = Library(_JUDGE, HttpxCircuitOpenError, _AsyncBody, httpx.AsyncHTTPTransport)
