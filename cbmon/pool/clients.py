"""What a pool's services are reached with: HTTP over aiohttp, Redis, PostgreSQL.

Rule: a client is made when it is first used and given back by whoever made it. An answer is read
to its end, within a limit, before the call is over, so that no connection stays behind.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp

from cbmon.breaker import NeutralError
from cbmon.errors import MissingExtraError

MAX_BODY: Final = 16 << 20
"""Bytes of an answer's body; a larger one is refused."""
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""Methods that may be tried again by themselves (RFC 9110, section 9.2.2)."""
_TROUBLE: Final = frozenset({"08", "53", "57", "58", "XX", "25006"})
"""SQLSTATE classes by which a server says that it is not well (PostgreSQL, appendix A)."""


class RequestError(NeutralError, ValueError):
    """The caller's own mistake: it says nothing of the service."""


class BodyTooLargeError(aiohttp.ClientError):
    """An answer's body is larger than the pool takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """An answer that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def text(self) -> str:
        """The body as UTF-8; what is none is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON; ValueError."""
        return json.loads(self.body)


def is_overloaded_or_broken(answer: object) -> bool:
    """Whether an HTTP answer counts against its service: 5xx, and 429."""
    return isinstance(answer, HttpResponse) and (answer.status >= 500 or answer.status == 429)


def is_transient(error: Exception) -> bool:
    """Whether a call that failed so may be tried again: the network, not the answer."""
    if isinstance(error, OSError | aiohttp.ClientConnectionError):
        return True
    return type(error).__name__ in {"ConnectionError", "BusyLoadingError"}  # redis-py's own


def target_of(base: str | None, url: str) -> str:
    """The address of a request. RequestError when it leads away from the service."""
    if base is None:
        if not urlsplit(url).netloc:
            raise RequestError(f"url: got {url!r}, expected a whole one; the service has no url")
        return url
    found = urljoin(base.rstrip("/") + "/", url.lstrip("/") if url.startswith("/") else url)
    if _origin(found) != _origin(base):
        raise RequestError(f"url: got {url!r}, which leads away from {base}")
    return found


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


async def http_request(
    session: aiohttp.ClientSession, method: str, url: str, **options: Any
) -> HttpResponse:
    """Send a request and read its whole answer."""
    async with session.request(method, url, **options) as response:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY:
                raise BodyTooLargeError(f"the answer is larger than {MAX_BODY} bytes")
        return HttpResponse(
            status=response.status,
            headers=dict(response.headers),
            body=bytes(body),
            url=str(response.url),
        )


async def redis_client(url: str) -> Any:
    """A client of redis-py for asyncio."""
    try:
        from redis import asyncio as redis  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingExtraError("a Redis service", "redis") from error
    return redis.from_url(url)


async def database_pool(url: str) -> Any:
    """A pool of asyncpg, whose connections come back from a server that is frozen, too."""
    try:
        asyncpg = import_module("asyncpg")
    except ImportError as error:
        raise MissingExtraError("a database service", "asyncpg") from error
    ending = import_module("cbmon.integrations.asyncpg").EndingConnection
    return await asyncpg.create_pool(url, min_size=0, connection_class=ending)


async def database_query(
    pool: Any, query: str, arguments: tuple[Any, ...], *, fetch_one: bool, fetch: bool
) -> Any:
    """Run one statement on an asyncpg pool, or on one of psycopg (``.connection()``)."""
    if hasattr(pool, "fetchrow"):
        if fetch_one:
            return await pool.fetchrow(query, *arguments)
        return await (pool.fetch if fetch else pool.execute)(query, *arguments)
    async with pool.connection() as connection:
        cursor = await connection.execute(query, arguments or None)
        if fetch_one:
            return await cursor.fetchone()
        return await cursor.fetchall() if fetch else cursor.rowcount


def database_answered(error: BaseException) -> bool:
    """Whether a database's error says that it is well: a constraint, a syntax error, ….

    An error with an SQLSTATE came from the server; only a few classes mean that it is in trouble.
    """
    code = getattr(error, "sqlstate", None)
    return isinstance(code, str) and code[:2] not in _TROUBLE and code not in _TROUBLE


def redis_answered(error: BaseException) -> bool:
    """Whether an error of Redis is its answer to a wrong command, not its failure."""
    name = type(error).__name__
    return name in {"ResponseError", "DataError", "NoScriptError", "ExecAbortError", "WatchError"}


async def within(seconds: float, call: Callable[[], Awaitable[Any]]) -> Any:
    """Await ``call()`` for at most so long; TimeoutError."""
    async with asyncio.timeout(seconds):
        return await call()


async def close(client: Any) -> None:
    """Give a client back, however it calls that."""
    closing = getattr(client, "aclose", None) or client.close
    result = closing()
    if hasattr(result, "__await__"):
        await result
