"""Transports for httpx2: every request of a client behind the breaker of its host.

    client = httpx2.Client(transport=BreakerTransport(BreakerRegistry(max_keys=100)))

Rule: the same as :mod:`cbmon.integrations.httpx`, for the library that continues httpx.
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
    import httpx2
except ImportError as error:
    raise MissingExtraError("cbmon.integrations.httpx2", "httpx2") from error

__all__ = [
    "AsyncBreakerTransport",
    "BreakerTransport",
    "Httpx2CallTimeoutError",
    "Httpx2CircuitOpenError",
]

_JUDGE: Final = judge_for(httpx2)


class Httpx2CallTimeoutError(httpx2.ReadTimeout, TimeoutError):
    """The policy's ``call_timeout`` ran out before the head of the answer came."""


class Httpx2CircuitOpenError(CircuitOpenError, httpx2.ConnectError):
    """The breaker rejected the request; nothing was sent."""

    late = Httpx2CallTimeoutError

    def __init__(self, name: str, state: State, retry_after: float | None) -> None:
        httpx2.ConnectError.__init__(self, "rejected")
        self.args = (name, state, retry_after)


class _Body(SyncBody, httpx2.SyncByteStream):
    """A body that httpx2 accepts."""


class _AsyncBody(AsyncBody, httpx2.AsyncByteStream):
    """A body that httpx2 accepts."""


class BreakerTransport(SyncTransport[httpx2.Request, httpx2.BaseTransport], httpx2.BaseTransport):
    """For ``httpx2.Client``; see :class:`cbmon.integrations.httpx_guard.Transport`."""

    library = Library(_JUDGE, Httpx2CircuitOpenError, _Body, httpx2.HTTPTransport)


class AsyncBreakerTransport(
    AsyncTransport[httpx2.Request, httpx2.AsyncBaseTransport], httpx2.AsyncBaseTransport
):
    """For ``httpx2.AsyncClient``; see :class:`cbmon.integrations.httpx_guard.Transport`."""

    library = Library(_JUDGE, Httpx2CircuitOpenError, _AsyncBody, httpx2.AsyncHTTPTransport)
