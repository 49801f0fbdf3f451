"""A gateway that answers as it is told, and what exports are given in tests."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from cbmon.exports import pushgateway
from cbmon.exports.base import ExportEnvironment
from cbmon.exports.pushgateway import PushgatewayExport, PushgatewayOptions
from cbmon.interfaces import Attempt

OWN = b"# HELP process_open_fds Fds.\n# TYPE process_open_fds gauge\nprocess_open_fds 9\n"
UP = b'# HELP cbmon_check_up Up.\n# TYPE cbmon_check_up gauge\ncbmon_check_up{check="a"} 1\n'


class Metrics:
    """An exposition that is whatever the test says."""

    def __init__(self, now: bytes = OWN + UP) -> None:
        self.now = now

    def text(self) -> bytes:
        return self.now

    def openmetrics(self) -> bytes:
        raise AssertionError("the gateway does not read OpenMetrics")

    async def render(self, *, openmetrics: bool = False) -> bytes:
        return self.openmetrics() if openmetrics else self.text()


@dataclass
class Pushed:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: tuple[str, int]


@dataclass
class Gateway:
    """What was pushed, and what is answered next."""

    url: str = ""
    status: int = 200
    said: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    pushed: list[Pushed] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")
        headers = dict(request.headers)
        self.pushed.append(Pushed(request.method, request.raw_path, headers, body, peer))
        if self.answer is not None:
            return await self.answer(request)
        return web.Response(status=self.status, text=self.said, headers=self.headers)


@asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[Gateway]:
    gateway = Gateway()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", gateway.handle)
    server = TestServer(app, scheme="https" if context else "http")
    await server.start_server(ssl=context)
    gateway.url = str(server.make_url("")).rstrip("/")
    try:
        yield gateway
    finally:
        await server.close()


def attempt(timeout: float = 5.0) -> Attempt:
    return Attempt(asyncio.get_running_loop().time, timeout)


def export(environment: ExportEnvironment, url: str, **options: Any) -> PushgatewayExport:
    given = PushgatewayOptions.model_validate({"url": url, **options})
    return pushgateway.build(given, environment)
