"""The transports for httpx and for its continuation httpx2, without either.

Rule: both libraries have the same classes in another package, so nothing here imports one; what
differs are class attributes, which :mod:`cbmon.integrations.httpx` and
:mod:`cbmon.integrations.httpx2` fill in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Final, Generic, TypeVar

from cbmon.breaker import CircuitBreaker
from cbmon.integrations.calls import Breakers, Judge, Refusal, admit, breaker_of, checked
from cbmon.integrations.http_calls import Exchange, pieces, pieces_async
from cbmon.integrations.http_rules import DEFAULT_RULES, HttpRules
from cbmon.integrations.verdicts import (
    BODY,
    CONNECT,
    INTERNAL,
    NEUTRAL,
    TIMEOUT,
    Table,
    first_match,
)

RequestT = TypeVar("RequestT")
TransportT = TypeVar("TransportT")

_CALLERS_OWN: Final = ("PoolTimeout", "LocalProtocolError", "UnsupportedProtocol", "StreamError")
_OF_BODY: Final = ("ReadError", "RemoteProtocolError", "DecodingError")


@dataclass(frozen=True, slots=True)
class Library:
    """What is one library's own: its errors, its kind of body, its transport."""

    judge: Judge
    refusal: Refusal
    body: Callable[..., Any]
    transport: Callable[[], Any]


class Transport(Generic[RequestT, TransportT]):
    """A transport behind breakers.

    ``breakers`` is one breaker for all requests, or a registry with one for each key. ``transport``
    is what sends (default: the library's own; options such as ``verify``, ``http2`` and ``proxy``
    go there). ``key`` names a request's breaker (default: the host, with the port if the URL has
    one). ``rules`` say which statuses are failures.
    """

    library: ClassVar[Library]
    unstoppable: ClassVar[str | None] = None

    def __init__(
        self,
        breakers: Breakers,
        transport: TransportT | None = None,
        *,
        key: Callable[[RequestT], str] | None = None,
        rules: HttpRules = DEFAULT_RULES,
    ) -> None:
        self._breakers = checked(breakers, self.unstoppable)
        self._single = breakers if isinstance(breakers, CircuitBreaker) else None
        self._key = host_of if key is None else key
        self._rules = rules
        self._transport: Any = type(self).library.transport() if transport is None else transport

    def _begin(self, request: RequestT) -> Exchange:
        library = type(self).library
        breaker = self._single or breaker_of(self._breakers, self._key(request))
        return Exchange(admit(breaker, library.refusal), library.judge, self._rules)

    def _answered(self, exchange: Exchange, response: Any) -> Any:
        if exchange.headers(response, response.status_code, response.headers):
            response.stream = type(self).library.body(response.stream, exchange)
        return response


class SyncTransport(Transport[RequestT, TransportT]):
    """For the library's ``Client``."""

    unstoppable = "a Client without asyncio; use its own timeout="

    def handle_request(self, request: RequestT) -> Any:
        """Send it if its breaker lets it, else raise the rejection."""
        exchange = self._begin(request)
        try:
            response = self._transport.handle_request(request)
        except BaseException as error:
            exchange.raised(error)
            raise
        return self._answered(exchange, response)

    def close(self) -> None:
        """Close the transport inside."""
        self._transport.close()


class AsyncTransport(Transport[RequestT, TransportT]):
    """For the library's ``AsyncClient``."""

    async def handle_async_request(self, request: RequestT) -> Any:
        """Send it if its breaker lets it, else raise the rejection."""
        exchange = self._begin(request)
        response = await exchange.awaited(self._transport.handle_async_request, request)
        return self._answered(exchange, response)

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._transport.aclose()


class SyncBody:
    """An answer's body, which ends the call when it ends."""

    def __init__(self, body: Any, exchange: Exchange) -> None:
        self._body = body
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        return pieces(iter(self._body), self._exchange)

    def close(self) -> None:
        """Close it; whoever closes early has seen enough."""
        try:
            self._body.close()
        finally:
            self._exchange.over()


class AsyncBody:
    """The same for an asynchronous one."""

    def __init__(self, body: Any, exchange: Exchange) -> None:
        self._body = body
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return pieces_async(aiter(self._body), self._exchange)

    async def aclose(self) -> None:
        """Close it; whoever closes early has seen enough."""
        try:
            await self._body.aclose()
        finally:
            self._exchange.over()


def host_of(request: Any) -> str:
    """``host`` or ``host:port`` of a request."""
    return str(request.url.netloc, "ascii")


def judge_for(module: ModuleType) -> Judge:
    """What that library's exceptions say of a server.

    From its exception hierarchy: a full pool (``PoolTimeout``) is the client's own limit, a
    ``LocalProtocolError`` or an unsupported scheme the caller's mistake; the other transport
    errors mean that the server did not answer, or not in HTTP. What is no error of the library
    came from the caller, such as from the generator of a request's body.
    """
    says: Table = (
        (tuple(getattr(module, name) for name in _CALLERS_OWN), NEUTRAL),
        ((module.TimeoutException, TimeoutError), TIMEOUT),
        (tuple(getattr(module, name) for name in _OF_BODY), BODY),
        ((module.TransportError, OSError), CONNECT),
        ((module.HTTPError,), INTERNAL),
    )
    return lambda error: first_match(error, says)
