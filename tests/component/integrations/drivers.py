"""The HTTP clients that the same tests drive: each makes a request its own way."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import aiohttp
import httpx
import httpx2
import requests

from cbmon.integrations import aiohttp as our_aiohttp
from cbmon.integrations import httpx as our_httpx
from cbmon.integrations import httpx2 as our_httpx2
from cbmon.integrations import requests as our_requests
from tests.integration.harness.processes import slowness

PATIENCE = 0.3 * slowness()
"""Seconds that every client waits; longer on a machine that is busy when the tests begin."""


class Driver:
    """``get`` reads all of an answer; ``begin`` only its first piece."""

    kind: type[Exception]
    errors: tuple[type[Exception], ...]
    """What code that uses the client has always caught."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def get(self, url: str) -> int:
        raise AssertionError

    async def begin(self, url: str) -> Any:
        raise AssertionError

    async def end(self, begun: Any) -> None:
        raise AssertionError

    async def close(self) -> None:
        raise AssertionError

    def patience(self, seconds: float) -> None:
        """How long the client waits from now on."""
        raise AssertionError


class HttpxSync(Driver):
    library: Any = httpx
    ours: Any = our_httpx
    kind: type[Exception] = httpx.ConnectError
    errors: tuple[type[Exception], ...] = (httpx.HTTPError,)

    def __init__(self, breakers: Any, **options: Any) -> None:
        transport = self.ours.BreakerTransport(breakers, **options)
        self.client = self.library.Client(transport=transport, timeout=PATIENCE)

    async def get(self, url: str) -> int:
        return int(self.client.get(url, follow_redirects=True).status_code)

    async def begin(self, url: str) -> Any:
        response = self.client.send(self.client.build_request("GET", url), stream=True)
        pieces = response.iter_raw()
        next(pieces)
        return response, pieces

    async def end(self, begun: Any) -> None:
        begun[0].close()

    async def close(self) -> None:
        self.client.close()

    def patience(self, seconds: float) -> None:
        self.client.timeout = seconds


class Httpx2Sync(HttpxSync):
    library = httpx2
    ours = our_httpx2
    kind = httpx2.ConnectError
    errors = (httpx2.HTTPError,)


class HttpxAsync(Driver):
    library: Any = httpx
    ours: Any = our_httpx
    kind: type[Exception] = httpx.ConnectError
    errors: tuple[type[Exception], ...] = (httpx.HTTPError,)

    def __init__(self, breakers: Any, **options: Any) -> None:
        transport = self.ours.AsyncBreakerTransport(breakers, **options)
        self.client = self.library.AsyncClient(transport=transport, timeout=PATIENCE)

    async def get(self, url: str) -> int:
        return int((await self.client.get(url, follow_redirects=True)).status_code)

    async def begin(self, url: str) -> Any:
        response = await self.client.send(self.client.build_request("GET", url), stream=True)
        pieces = response.aiter_raw()
        await anext(pieces)
        return response, pieces

    async def end(self, begun: Any) -> None:
        await begun[0].aclose()

    async def close(self) -> None:
        await self.client.aclose()

    def patience(self, seconds: float) -> None:
        self.client.timeout = seconds


class Httpx2Async(HttpxAsync):
    library = httpx2
    ours = our_httpx2
    kind = httpx2.ConnectError
    errors = (httpx2.HTTPError,)


class Requests(Driver):
    kind = requests.ConnectionError
    errors = (requests.RequestException,)
    seconds = PATIENCE

    def __init__(self, breakers: Any, **options: Any) -> None:
        self.session = requests.Session()
        self.session.mount("http://", our_requests.BreakerAdapter(breakers, **options))

    async def get(self, url: str) -> int:
        return self.session.get(url, timeout=self.seconds).status_code

    async def begin(self, url: str) -> Any:
        response = self.session.get(url, timeout=self.seconds, stream=True)
        next(response.iter_content(1000))
        return response

    async def end(self, begun: Any) -> None:
        begun.close()

    async def close(self) -> None:
        self.session.close()

    def patience(self, seconds: float) -> None:
        self.seconds = seconds


class Aiohttp(Driver):
    kind = aiohttp.ClientConnectionError
    errors = (aiohttp.ClientError, TimeoutError)

    def __init__(self, breakers: Any, **options: Any) -> None:
        self.session = aiohttp.ClientSession(
            middlewares=[our_aiohttp.BreakerMiddleware(breakers, **options)],
            timeout=aiohttp.ClientTimeout(total=PATIENCE),
        )

    async def get(self, url: str) -> int:
        async with self.session.get(url) as response:
            await response.read()
            return response.status

    async def begin(self, url: str) -> Any:
        response = await self.session.get(url)
        await response.content.readany()
        return response

    async def end(self, begun: Any) -> None:
        begun.close()

    async def close(self) -> None:
        await self.session.close()

    def patience(self, seconds: float) -> None:
        self.session._timeout = aiohttp.ClientTimeout(total=seconds)


SYNC = (HttpxSync, Httpx2Sync, Requests)
ASYNC = (HttpxAsync, Httpx2Async, Aiohttp)
