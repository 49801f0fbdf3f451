"""An adapter for requests: every request of a session behind the breaker of its host.

    session.mount("https://", BreakerAdapter(BreakerRegistry(max_keys=100)))

Rules:

* A rejection is a ``requests.ConnectionError`` and a ``CircuitOpenError``; no socket is touched.
* 5xx, timeouts, connection and protocol errors are failures, also while the body is read; 4xx is
  an answer; a bad URL or header is nothing. Sources stand in
  :mod:`cbmon.integrations.http_rules` and in :func:`judge`.
* The call lasts until the body is read (``content``, ``iter_content``) or the response is closed
  or dropped. Whoever reads ``response.raw`` should close the response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from cbmon.breaker import CircuitBreaker, CircuitOpenError, State
from cbmon.errors import MissingExtraError
from cbmon.integrations.calls import Breakers, HeldCall, admit, breaker_of, checked
from cbmon.integrations.http_calls import Exchange, pieces
from cbmon.integrations.http_rules import DEFAULT_RULES, HttpRules
from cbmon.integrations.verdicts import (
    BODY,
    CONNECT,
    INTERNAL,
    NEUTRAL,
    TIMEOUT,
    TLS,
    Table,
    Verdict,
    first_match,
)

try:
    import requests
    from requests import exceptions
    from requests.adapters import BaseAdapter, HTTPAdapter
except ImportError as error:
    raise MissingExtraError("cbmon.integrations.requests", "requests") from error

__all__ = ["BreakerAdapter", "RequestsCircuitOpenError", "judge"]

_CALLERS_OWN: Final = (
    exceptions.InvalidURL,
    exceptions.MissingSchema,
    exceptions.InvalidSchema,
    exceptions.InvalidHeader,
    exceptions.UnrewindableBodyError,
    exceptions.StreamConsumedError,
)
_SAYS: Final[Table] = (
    (_CALLERS_OWN, NEUTRAL),
    ((exceptions.Timeout, TimeoutError), TIMEOUT),
    ((exceptions.SSLError,), TLS),
    ((exceptions.ChunkedEncodingError, exceptions.ContentDecodingError), BODY),
    ((exceptions.ConnectionError,), CONNECT),
    ((exceptions.RequestException,), INTERNAL),
    ((OSError,), CONNECT),
)


class RequestsCircuitOpenError(CircuitOpenError, requests.ConnectionError):
    """The breaker rejected the request; nothing was sent."""

    def __init__(self, name: str, state: State, retry_after: float | None) -> None:
        requests.ConnectionError.__init__(self, "rejected")
        self.args = (name, state, retry_after)


class BreakerAdapter(BaseAdapter):
    """A transport adapter behind breakers.

    ``breakers`` is one breaker for all requests, or a registry with one for each key. ``adapter``
    is what sends (default: ``HTTPAdapter()``; pool sizes and retries go there). ``key`` names a
    request's breaker (default: the host, with the port if the URL has one). ``rules`` say which
    statuses are failures.
    """

    def __init__(
        self,
        breakers: Breakers,
        adapter: BaseAdapter | None = None,
        *,
        key: Callable[[requests.PreparedRequest], str] | None = None,
        rules: HttpRules = DEFAULT_RULES,
    ) -> None:
        super().__init__()
        self._breakers = checked(breakers, "requests; use its own timeout=")
        self._single = breakers if isinstance(breakers, CircuitBreaker) else None
        self._adapter = HTTPAdapter() if adapter is None else adapter
        self._key = host_of if key is None else key
        self._rules = rules

    def send(  # noqa: PLR0917 - as requests calls it
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send it if its breaker lets it; raises :class:`RequestsCircuitOpenError` if not."""
        breaker = self._single or breaker_of(self._breakers, self._key(request))
        exchange = Exchange(_admit(breaker, request), judge, self._rules)
        try:
            response = self._adapter.send(request, stream, timeout, verify, cert, proxies)
        except BaseException as error:
            exchange.raised(error)
            raise
        if exchange.headers(response, response.status_code, response.headers):
            _follow(response, exchange)
        return response

    def close(self) -> None:
        """Close the adapter inside."""
        self._adapter.close()


def host_of(request: requests.PreparedRequest) -> str:
    """``host`` or ``host:port`` of a request."""
    return urlsplit(request.url or "").netloc.rpartition("@")[2].lower()


def judge(error: BaseException) -> Verdict:
    """What requests' exceptions say of a server.

    From its exception hierarchy: timeouts, connection, proxy and TLS errors, too many retries and
    a body that breaks off or cannot be decoded are the server's; a bad URL or header is the
    caller's. What is no error of requests came from the caller, such as from a request's body.
    """
    return first_match(error, _SAYS)


def _admit(breaker: CircuitBreaker, request: requests.PreparedRequest) -> HeldCall:
    try:
        return admit(breaker, RequestsCircuitOpenError)
    except RequestsCircuitOpenError as error:
        error.request = request
        raise


class _Response(requests.Response):
    """A response that ends its call when its body ends."""

    _exchange: Exchange | None = None
    """None in a copy and in one that was pickled."""

    def iter_content(
        self, chunk_size: int | None = 1, decode_unicode: bool = False
    ) -> Iterator[Any]:
        body = super().iter_content(chunk_size, decode_unicode)
        return body if self._exchange is None else pieces(body, self._exchange)

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self._exchange is not None:
                self._exchange.over()


def _follow(response: requests.Response, exchange: Exchange) -> None:
    """End the call with the body; what a foreign adapter made is judged by its head alone."""
    if type(response) is requests.Response:
        response.__class__ = _Response
        response.__dict__["_exchange"] = exchange
    else:
        exchange.over()
