"""HTTP APIs, as the checks of services that have one ask them.

Rule: a new connection for each request, no redirect is followed, and an answer is counted while
it comes: neither a body, nor a line of a stream, nor a stream as a whole passes its limit.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from pydantic import Field, model_validator
from yarl import URL

from cbmon.config.fields import Secret, SecretFile, Url, fault
from cbmon.interfaces import Attempt
from cbmon.model import Reason
from cbmon.probes.dial import Route, Tls
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.http.body import Body, receive
from cbmon.probes.http.client import USER_AGENT, Hop, HttpClient, trouble
from cbmon.probes.http.credentials import authorization
from cbmon.probes.http.options import BasicAuth, HeaderValue, Sendable
from cbmon.probes.http.redacted import redacted
from cbmon.probes.options import ConnectOptions, TlsOptions

LARGEST_ANSWER: Final = 4 * 1024 * 1024
LARGEST_LINE: Final = 256 * 1024
_REFUSALS: Final = frozenset({401, 403, 407})


class ApiOptions(ConnectOptions):
    """How to reach an HTTP API."""

    url: Url = Field(description="base URL of the API")
    headers: dict[Sendable, HeaderValue] = Field({}, description="request headers")
    basic_auth: BasicAuth | None = Field(None, description="credentials for basic authentication")
    bearer_token: Secret | None = Field(None, description="bearer token")
    bearer_token_file: SecretFile | None = Field(
        None, description="file that holds the bearer token, read at every run"
    )
    tls: TlsOptions = Field(TlsOptions(), description="how to speak TLS")

    @model_validator(mode="after")
    def _check_credentials(self) -> ApiOptions:
        bearer = self.bearer_token or self.bearer_token_file
        header = any(name.lower() == "authorization" for name in self.headers)
        if sum(map(bool, (self.basic_auth, bearer, header))) > 1:
            raise fault(
                "basic_auth, bearer_token and the header Authorization exclude each other; "
                "keep one of them"
            )
        return self

    @property
    def has_credentials(self) -> bool:
        """Whether requests say who asks."""
        return bool(self.basic_auth or self.bearer_token or self.bearer_token_file)


class Reply:
    """What comes back: a head, then a body or a stream of lines."""

    def __init__(self, response: aiohttp.ClientResponse, hop: Hop) -> None:
        self._response = response
        self._hop = hop
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def body(self, limit: int = LARGEST_ANSWER) -> bytes:
        """All of the body; ProbeError (``size``, ``protocol``)."""
        body = Body(limit=limit, kept=True)
        try:
            await receive(self._response.content, body)
        except (aiohttp.ClientError, OSError) as error:
            raise trouble(error, self._hop) from error
        return body.content

    async def json(self) -> Any:
        """The body as JSON; ProbeError (``protocol``) when it is none."""
        return parsed(await self.body())

    async def lines(self, limit: int = LARGEST_ANSWER) -> AsyncIterator[str]:
        """The lines of the body as they come, without their ends."""
        body = Body(limit=limit, kept=False)
        rest = b""
        try:
            async for data in self._response.content.iter_any():
                for _ in body.feed(data):
                    pass
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    yield line.rstrip(b"\r").decode(errors="replace")
                if len(rest) > LARGEST_LINE:
                    text = f"a line is longer than {LARGEST_LINE} bytes"
                    raise ProbeError(Reason.SIZE, text)
        except (aiohttp.ClientError, OSError) as error:
            raise trouble(error, self._hop) from error
        if rest:
            yield rest.decode(errors="replace")

    async def refuse(self) -> ProbeError:
        """What an answer with an unexpected status means, with what the server says of it."""
        said = message_in(await self.body(limit=LARGEST_LINE))
        text = f"got status {self.status}, expected 200" + (f": {shown(said)}" if said else "")
        return ProbeError(Reason.AUTH if self.status in _REFUSALS else Reason.STATUS, text)


class Api:
    """Asks one API for one check."""

    def __init__(self, options: ApiOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._base = URL(options.url)
        self._context = environment.contexts.share(options.tls.settings("http/1.1"))

    @asynccontextmanager
    async def ask(
        self,
        attempt: Attempt,
        path: str = "",
        *,
        method: str = "GET",
        body: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Reply]:
        """A reply with its head read; ``path`` is added to the URL, ``body`` is sent as JSON."""
        url = (
            self._base
            if not path
            else self._base.with_path(self._base.path.rstrip("/") + path, keep_query=True)
        )
        data = None
        sent = dict(headers or {})
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        if form is not None:
            data = URL.build(query=form).raw_query_string.encode()
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        hop, common = await self.prepared(attempt, url)
        client = self._environment.shared(HttpClient)
        response = await client.send(hop, method, url, {**common, **sent}, data)
        try:
            attempt.facts["status"] = response.status
            yield Reply(response, hop)
        finally:
            response.close()
            attempt.end()

    async def prepared(self, attempt: Attempt, url: URL) -> tuple[Hop, dict[str, str]]:
        """How to connect for one request, and the headers that every request has."""
        attempt.facts["url"] = redacted(url)
        headers = {"User-Agent": USER_AGENT, **self._options.headers}
        if self._options.has_credentials:
            headers["Authorization"] = await authorization(self._options)
        return await self._hop(attempt, url), headers

    async def _hop(self, attempt: Attempt, url: URL) -> Hop:
        options = self._options
        tls = None
        if url.scheme in {"https", "wss"}:
            name = options.tls.server_name or url.raw_host or ""
            tls = Tls(context=await self._context.get(), name=name)
        route = Route(
            host=url.raw_host or "",
            port=url.port or 0,
            family=options.usable_family,
            source=options.source_address,
        )
        return Hop(attempt=attempt, environment=self._environment, route=route, tls=tls)


def parsed(body: bytes | str) -> Any:
    """What is written as JSON; ProbeError (``protocol``) when it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        text = f"got {shown(body[:60]) if body else 'nothing'}, expected JSON"
        raise ProbeError(Reason.PROTOCOL, text) from error


def message_in(body: bytes) -> str:
    """What an error's body says, in the ways that are usual."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return " ".join(body[:200].decode(errors="replace").split())
    for key in ("error", "message", "detail"):
        if isinstance(found, dict) and key in found:
            found = found[key]
    return found if isinstance(found, str) else ""


def entries(document: Any, *path: str) -> Any:
    """What stands at a path of keys; ProbeError (``protocol``) when there is no such place."""
    for key in path:
        if not isinstance(document, dict) or key not in document:
            place = ".".join(path)
            raise ProbeError(Reason.PROTOCOL, f"the answer has no {place}, expected one")
        document = document[key]
    return document
