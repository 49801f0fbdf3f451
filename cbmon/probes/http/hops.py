"""How each request of a check gets to where it goes.

Rule: what is a credential, a client certificate for one, is shown to the configured origin only.
"""

from __future__ import annotations

import asyncio
import base64

import aiohttp
from yarl import URL

from cbmon.config.fields import SecretError, secret_from
from cbmon.interfaces import Attempt
from cbmon.model import Reason
from cbmon.probes.contexts import SharedContext
from cbmon.probes.dial import Route, Tls
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError
from cbmon.probes.http.access import ProxyOptions
from cbmon.probes.http.body import Body, receive
from cbmon.probes.http.client import USER_AGENT, Hop, HttpClient, trouble
from cbmon.probes.http.oauth2 import Tokens
from cbmon.probes.http.options import HttpOptions
from cbmon.probes.http.proxy import Proxy
from cbmon.probes.http.request import Request

_ALPN = "http/1.1"
_TOKEN_LIMIT = 64 * 1024


class Hops:
    """Makes the hops of one check, and gets its token."""

    def __init__(self, options: HttpOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._is_open = not (options.proxy or options.unix_socket)
        share, tls = environment.contexts.share, options.tls
        self._home = share(tls.settings(_ALPN))
        bare = tls.model_copy(update={"cert_file": None, "key_file": None})
        self._abroad = share(bare.settings(_ALPN))
        self._kept: tuple[URL | None, Route] = None, Route(host="")
        oauth = options.oauth2
        self._tokens = Tokens(oauth, environment.clock) if oauth else None
        self._of_tokens = share(oauth.tls.settings(_ALPN)) if oauth else self._abroad

    def straight(self, attempt: Attempt, request: Request) -> Hop | None:
        """The way of one request of the check, where nothing has to be asked or read for it."""
        if not self._is_open or request.url.scheme == "https":
            return None
        route = self._route(request.url)
        return Hop(attempt=attempt, environment=self._environment, route=route, tls=None)

    async def make(self, attempt: Attempt, request: Request) -> Hop:
        """The way of one request of the check."""
        context = self._home if request.home else self._abroad
        name = self._options.tls.server_name if request.home else None
        hop = await self._hop(attempt, request.url, context, name or request.name)
        if request.home and self._options.unix_socket is not None:
            hop.route = Route(host=hop.route.host, path=str(self._options.unix_socket))
        return hop

    async def bearer(self, attempt: Attempt) -> str:
        """A token for the check; empty if it uses none."""
        if self._tokens is None:
            return ""

        async def fetch(request: Request) -> tuple[int, bytes]:
            return await self._fetched(attempt, request)

        return await self._tokens.get(fetch)

    def refused(self) -> None:
        """The target did not accept the token: the next run asks for another one."""
        if self._tokens is not None:
            self._tokens.forget()

    async def _fetched(self, attempt: Attempt, request: Request) -> tuple[int, bytes]:
        oauth = self._options.oauth2
        assert oauth is not None  # noqa: S101 - for the type checker
        name = oauth.tls.server_name or request.name
        hop = await self._hop(attempt, request.url, self._of_tokens, name)
        client = self._environment.shared(HttpClient)
        headers = {"User-Agent": USER_AGENT, **request.headers}
        response = await client.send(hop, request.method, request.url, headers, request.body)
        body = Body(limit=_TOKEN_LIMIT, kept=True)
        try:
            await receive(response.content, body)
        except (aiohttp.ClientError, OSError) as error:
            raise trouble(error, hop) from error
        finally:
            response.close()
        for stale in ("certificate", "tls_version"):
            attempt.facts.pop(stale, None)
        return response.status, body.content

    async def _hop(self, attempt: Attempt, url: URL, context: SharedContext, name: str) -> Hop:
        tls = Tls(context=await context.get(), name=name) if url.scheme == "https" else None
        proxy = self._options.proxy
        return Hop(
            attempt=attempt,
            environment=self._environment,
            route=self._route(url),
            tls=tls,
            proxy=await self._proxy(proxy) if proxy else None,
        )

    async def _proxy(self, options: ProxyOptions) -> Proxy:
        url = URL(options.url)
        authorization = None
        if options.username is not None:
            try:
                found = await asyncio.to_thread(
                    secret_from, options.password, options.password_file
                )
            except SecretError as error:
                raise ProbeError(Reason.CONFIG, str(error)) from error
            pair = f"{options.username}:{found.reveal() if found else ''}"
            authorization = "Basic " + base64.b64encode(pair.encode()).decode()
        return Proxy(url=url, route=self._route(url), authorization=authorization)

    def _route(self, url: URL) -> Route:
        kept_url, kept = self._kept
        if url is kept_url:  # every run begins at the same URL
            return kept
        options = self._options
        route = Route(
            host=(url.raw_host or "").replace("%25", "%"),  # a zone's sign is escaped in a URL
            port=url.port or 0,
            family=options.usable_family,
            source=options.source_address,
        )
        if kept_url is None:
            self._kept = url, route
        return route
