"""Rule: a WebSocket is good when its handshake is, and when it says what is expected of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from cbmon.model import Reason
from cbmon.probes import AddressPolicy

Talk = Callable[[web.WebSocketResponse], Awaitable[Any]]


async def echo(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.type is web.WSMsgType.TEXT:
            await socket.send_str(message.data.upper())


async def chatter(socket: web.WebSocketResponse) -> None:
    for number in range(5):
        await socket.ping()
        await socket.send_bytes(b"tick %d" % number)
    await echo(socket)


async def farewell(socket: web.WebSocketResponse) -> None:
    await socket.send_str("no")
    await socket.close(code=1013)


async def flood(socket: web.WebSocketResponse) -> None:
    while not socket.closed:
        await socket.send_str("x" * 100_000)


async def huge(socket: web.WebSocketResponse) -> None:
    await socket.send_str("x" * 2_000_000)
    await echo(socket)


class Server:
    """A real WebSocket server that talks in one way."""

    def __init__(self) -> None:
        self.talk: Talk = echo
        self.port = 0
        self.asked: list[web.Request] = []
        self.closed_with: list[int | None] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if request.path != "/live":
            status = int(request.path[1:])
            return web.Response(status=status, headers={"Location": "/live"})
        socket = web.WebSocketResponse(protocols=("chat.v2", "chat.v1"))
        await socket.prepare(request)
        try:
            await self.talk(socket)
        finally:
            self.closed_with.append(socket.close_code)
        return socket

    def url(self, path: str = "/live", scheme: str = "ws") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"


async def running(server: Server) -> web.AppRunner:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    return runner


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    runner = await running(made)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


async def test_a_target_that_shakes_hands_is_good(bench: Any, server: Server) -> None:
    result = await bench.look("websocket", url=server.url())

    assert result.ok, result.error
    assert result.facts["subprotocol"] is None
    assert result.phases.connect > 0
    assert result.phases.processing > 0
    await asyncio.sleep(0.05)
    assert server.closed_with == [1000]


async def test_a_message_is_sent_and_the_answer_matched(bench: Any, server: Server) -> None:
    result = await bench.look(
        "websocket", url=server.url(), send="ping", expect={"matches": "^PING$"}
    )

    assert result.ok, result.error
    assert result.facts["message"] == '"PING"'


async def test_messages_are_passed_over_until_one_matches(bench: Any, server: Server) -> None:
    server.talk = chatter

    result = await bench.look("websocket", url=server.url(), expect={"matches": "tick 3"})

    assert result.ok, result.error


async def test_the_subprotocol_is_offered_and_judged(bench: Any, server: Server) -> None:
    offered = ["chat.v1", "other"]

    good = await bench.look(
        "websocket", url=server.url(), subprotocols=offered, expect={"subprotocol": "chat.v1"}
    )
    bad = await bench.look(
        "websocket", url=server.url(), subprotocols=offered, expect={"subprotocol": "other"}
    )
    none = await bench.look("websocket", url=server.url(), expect={"subprotocol": "other"})

    assert good.ok, good.error
    assert good.facts["subprotocol"] == "chat.v1"
    assert bad.reason is Reason.HEADER
    assert 'got "chat.v1", expected other' in bad.error
    assert "got no subprotocol" in none.error


async def test_credentials_and_headers_are_sent(bench: Any, server: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\n")

    result = await bench.look(
        "websocket",
        url=server.url(),
        headers={"Origin": "https://a.test"},
        bearer_token_file=str(tmp_path / "token"),
    )

    assert result.ok, result.error
    assert server.asked[0].headers["Authorization"] == "Bearer hunter2"
    assert server.asked[0].headers["Origin"] == "https://a.test"


@pytest.mark.parametrize(
    ("reason", "message", "path", "options"),
    [
        (Reason.STATUS, "got status 404, expected 101", "/404", {}),
        (Reason.STATUS, "got status 401", "/401", {}),
        (Reason.AUTH, "got status 403", "/403", {"bearer_token": "t"}),
        (Reason.STATUS, "got status 200", "/200", {}),
        (Reason.REDIRECT, "got a redirect", "/302", {}),
    ],
)
async def test_a_refused_handshake_has_its_reason(
    bench: Any, server: Server, reason: Reason, message: str, path: str, options: dict[str, Any]
) -> None:
    result = await bench.look("websocket", url=server.url(path), **options)

    assert result.reason is reason, result.error
    assert message in result.error


@pytest.mark.parametrize(
    ("reason", "message", "talk"),
    [
        (Reason.BODY, 'closed with code 1013 after "no"', farewell),
        (Reason.SIZE, "within 1 MiB", flood),
        (Reason.SIZE, "broke the protocol of WebSockets", huge),
    ],
)
async def test_a_conversation_that_goes_wrong_has_its_reason(
    bench: Any, server: Server, reason: Reason, message: str, talk: Talk
) -> None:
    server.talk = talk

    result = await bench.look("websocket", url=server.url(), expect={"matches": "yes"})

    assert result.reason is reason, result.error
    assert message in result.error


@pytest.mark.parametrize(
    ("reason", "message", "answer"),
    [
        (Reason.PROTOCOL, "the handshake is wrong: invalid upgrade", b"HTTP/1.1 101 x\r\n\r\n"),
        (
            Reason.PROTOCOL,
            "the handshake is wrong: invalid challenge",
            b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        ),
        (Reason.PROTOCOL, "does not speak HTTP", b"SSH-2.0-x\r\n\r\n"),
        (Reason.CONNECT, "gave no answer", b""),
    ],
)
async def test_a_stranger_is_told_apart(
    bench: Any, reason: Reason, message: str, answer: bytes
) -> None:
    target = await bench.serve(lambda _: answer)

    result = await bench.look("websocket", url=target.url.replace("http", "ws"))

    assert result.reason is reason, result.error
    assert message in result.error


async def test_frames_that_are_none_break_the_protocol(bench: Any, server: Server) -> None:
    async def garbage(socket: web.WebSocketResponse) -> None:
        assert socket._req is not None
        assert socket._req.transport is not None
        socket._req.transport.write(b"\xff\xff\xff\xff")
        await echo(socket)

    server.talk = garbage

    result = await bench.look("websocket", url=server.url(), expect={"matches": "x"})

    assert result.reason is Reason.PROTOCOL, result.error


async def test_over_tls_the_certificate_is_judged(bench: Any, tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("live.test").configure_cert(context)
    made = Server()
    runner = await running(made)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    made.port = runner.addresses[0][1]
    tls = {"ca_file": str(tmp_path / "ca.pem"), "server_name": "live.test"}
    url = made.url(scheme="wss")

    good = await bench.look("websocket", url=url, tls=tls, expect={"certificate_days": 1})
    bad = await bench.look("websocket", url=url, tls={"ca_file": str(tmp_path / "ca.pem")})
    await runner.cleanup()

    assert good.ok, good.error
    assert good.certificate_expiry
    assert bad.reason is Reason.TLS


async def test_a_silent_target_times_out_and_its_socket_is_closed(
    bench: Any, server: Server
) -> None:
    task = asyncio.ensure_future(
        bench.look("websocket", url=server.url(), expect={"matches": "never"})
    )
    await asyncio.sleep(0.1)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(100):
        if server.closed_with:
            break
        await asyncio.sleep(0.01)
    assert server.closed_with == [1006]


async def test_the_address_policy_holds(bench: Any) -> None:
    closed = bench.environment.under(AddressPolicy(deny=["127.0.0.0/8"]))

    result = await bench.look("websocket", closed, url="ws://127.0.0.1:1")

    assert result.reason is Reason.POLICY
