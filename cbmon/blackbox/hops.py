"""From the first request to the final answer: connections, redirects, cookies, proxies.

Rule: a connection serves one request and is aborted after it; the last one stays open until its
body is read.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from cbmon.blackbox.addresses import family_of, find
from cbmon.blackbox.asking import Ask, check, following, redirects
from cbmon.blackbox.cookies import Cookies
from cbmon.blackbox.credentials import basic
from cbmon.blackbox.look import Look
from cbmon.blackbox.modules import HttpModule
from cbmon.blackbox.parsing import Head
from cbmon.blackbox.places import Place
from cbmon.blackbox.proxies import proxy_for
from cbmon.blackbox.wire import HAS_HTTP2, Exchange
from cbmon.model import Phase, Reason
from cbmon.probes.dial import Link, Route, Tls, dial, secure
from cbmon.probes.failure import ProbeError

MOST_REDIRECTS: Final = 10
_HTTP1: Final = ("http/1.1",)
_HTTP2: Final = ("h2", "http/1.1")


def offered(options: HttpModule) -> tuple[str, ...]:
    """The protocols that TLS offers to a target."""
    return _HTTP2 if options.enable_http2 and HAS_HTTP2 else _HTTP1


@dataclass(slots=True, kw_only=True)
class Answer:
    """The final answer: its head, and the connection that its body is read from."""

    head: Head
    exchange: Exchange
    transport: asyncio.Transport
    connection: ssl.SSLObject | None
    verified: bool
    refused: bool = False
    """Whether it is a redirect that is not followed: its body is not read."""


class Trip:
    """The requests of one probe."""

    def __init__(self, look: Look, options: HttpModule, first: Place, name: str) -> None:
        """``first`` is the target as it is written, ``name`` the one to ask for in TLS there."""
        self.redirects = 0
        self._look = look
        self._options = options
        self._first = first
        self._name = name
        self._start: Place | None = None
        self._cookies = Cookies()

    async def make(self, ask: Ask) -> Answer:
        """Ask, and follow redirects; ProbeError, OSError or TimeoutError when no answer came."""
        self._start = ask.place
        while True:
            answer = await self._ask(ask)
            status, location = answer.head.status, answer.head.first("location").strip()
            if not redirects(ask, status, location):
                return answer
            try:
                after = following(ask, status, location, self._first)
            except ProbeError as error:
                answer.transport.abort()
                text = f"failed to parse Location header: {error}"
                raise ProbeError(Reason.REDIRECT, text) from error
            self.redirects += 1
            self._look.say("Received redirect", location=after.place.url)
            if not self._options.follows or self.redirects > MOST_REDIRECTS:
                self._look.say("Not following redirect")
                answer.refused = True
                return answer
            answer.transport.abort()
            self._cookies.take(ask.place, answer.head.values("set-cookie"))
            ask = after

    async def _ask(self, ask: Ask) -> Answer:
        self._look.say("Making HTTP request", "debug", url=ask.place.url, host=ask.host)
        cookie = self._cookies.header(ask.place)
        if cookie:
            ask = replace(ask, headers={**ask.headers, "Cookie": cookie})
        check(ask)
        async with self._look.deadline():
            link, tls, target = await self._connect(ask)
            try:
                exchange = link.protocol
                exchange.ask(ask, target)
                head = await exchange.head()
            except BaseException:
                link.transport.abort()
                raise
        connection = link.transport.get_extra_info("ssl_object") if tls else None
        return Answer(
            head=head,
            exchange=exchange,
            transport=link.transport,
            connection=cast("ssl.SSLObject | None", connection),
            verified=not self._options.tls_config.insecure_skip_verify,
        )

    async def _connect(self, ask: Ask) -> tuple[Link[Exchange], Tls | None, str | None]:
        """The connection, its TLS, and what to ask the proxy for instead of the path."""
        look, place = self._look, ask.place
        place.check()
        tls = await self._tls(ask) if place.scheme == "https" else None
        proxy = proxy_for(self._options, place)

        def exchange() -> Exchange:
            return Exchange(look.attempt, ask.method)

        if proxy is None:
            route = await self._route(place)
            return await dial(look.attempt, look.environment, route, exchange, tls), tls, None
        if proxy.scheme != "http":
            raise ProbeError(Reason.CONFIG, f"a proxy over {proxy.scheme} is not supported")
        route = await self._route(proxy)
        if tls is None:
            plain = await dial(look.attempt, look.environment, route, exchange)
            return plain, None, place.url
        tunnel = await self._tunnel(route, proxy, place)
        return await secure(look.attempt, look.environment, tunnel, exchange(), tls), tls, None

    async def _route(self, place: Place) -> Route:
        family = family_of(self._options.model_copy(update={"ip_protocol_fallback": True}))
        self._look.attempt.begin(Phase.RESOLVE)
        return Route(host=await find(self._look, place.host, family), port=place.port)

    async def _tls(self, ask: Ask) -> Tls:
        same = self._start is not None and ask.place.netloc == self._start.netloc
        context = await self._look.contexts.get(
            self._options.tls_config, alpn=offered(self._options), abroad=not ask.home
        )
        return Tls(context=context, name=self._name if same else ask.place.host)

    async def _tunnel(self, route: Route, proxy: Place, place: Place) -> Link[Any]:
        attempt = self._look.attempt
        where = (
            f"[{place.host}]:{place.port}" if ":" in place.host else f"{place.host}:{place.port}"
        )
        lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
        if proxy.user:
            lines.append(f"Proxy-Authorization: {basic(*proxy.user)}")
        for name, values in self._options.proxy_connect_header.items():
            lines += [f"{name}: {value.reveal()}" for value in values]
        link = await dial(
            attempt, self._look.environment, route, lambda: Exchange(attempt, "CONNECT")
        )
        link.protocol.send("\r\n".join([*lines, "", ""]).encode())
        try:
            _check_tunnel(await link.protocol.head())
        except BaseException:
            link.transport.abort()
            raise
        attempt.begin(Phase.TLS)
        return link


def _check_tunnel(head: Head) -> None:
    if head.status != 200:
        text = f"the proxy refused CONNECT with status {head.status}"
        raise ProbeError(Reason.CONNECT, text)
