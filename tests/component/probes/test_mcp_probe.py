"""Rule: whatever answers in the place of an MCP server, the run ends with the right reason."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from cbmon.model import Reason
from cbmon.probes import AddressPolicy, ProbeEnvironment
from cbmon.probes.mcp.options import McpOptions

INIT = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "fake", "version": "1"},
}


class Server:
    """Speaks the protocol by hand; a method's answer may be replaced."""

    def __init__(self) -> None:
        self.port = 0
        self.results: dict[str, Any] = {"initialize": INIT, "tools/list": {"tools": []}}
        self.answers: dict[str, Callable[[Any], web.Response]] = {}
        self.heard: list[tuple[str, str, dict[str, str]]] = []
        self.accepted = 202

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.body_exists else {}
        method = body.get("method", "")
        self.heard.append((request.method, method, dict(request.headers)))
        if request.method == "DELETE":
            return web.Response()
        if "id" not in body:
            return web.Response(status=self.accepted)
        if method in self.answers:
            return self.answers[method](body)
        found = self.results[method]
        message = {"jsonrpc": "2.0", "id": body["id"], **_outcome(found)}
        return web.json_response(message, headers={"Mcp-Session-Id": "s-1"})


def _outcome(found: Any) -> dict[str, Any]:
    return {"error": found["error"]} if "error" in found else {"result": found}


def stream(*events: str) -> web.Response:
    return web.Response(body="".join(events), content_type="text/event-stream")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/mcp", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


async def test_the_handshake_is_whole_and_the_session_is_closed(bench: Any, server: Server) -> None:
    result = await bench.look("mcp", url=server.url, bearer_token="t")

    assert result.ok, result.error
    assert [(method, said) for method, said, _ in server.heard] == [
        ("POST", "initialize"),
        ("POST", "notifications/initialized"),
        ("POST", "tools/list"),
        ("DELETE", ""),
    ]
    first, *others = (headers for _, _, headers in server.heard)
    assert first["Accept"] == "application/json, text/event-stream"
    assert "MCP-Protocol-Version" not in first
    for headers in others:
        assert headers["Mcp-Session-Id"] == "s-1"
        assert headers["MCP-Protocol-Version"] == "2025-06-18"
        assert headers["Authorization"] == "Bearer t"


async def test_a_server_without_tools_is_not_asked_for_them(bench: Any, server: Server) -> None:
    server.results["initialize"] = {**INIT, "capabilities": {}}

    result = await bench.look("mcp", url=server.url)

    assert result.ok, result.error
    assert "tools/list" not in [said for _, said, _ in server.heard]


async def test_an_answer_is_found_among_other_events(bench: Any, server: Server) -> None:
    def answer(body: Any) -> web.Response:
        tools = {"jsonrpc": "2.0", "id": body["id"], "result": {"tools": [{"name": "a"}]}}
        text = json.dumps(tools, indent=1).replace("\n", "\ndata: ")
        return stream(
            "id: 1\ndata:\n\n",
            'data: {"jsonrpc": "2.0", "method": "notifications/message", "params": {}}\n\n',
            ": a comment\n\n",
            'event: message\ndata: {"jsonrpc": "2.0", "id": 99, "result": {}}\n\n',
            f"event: message\r\ndata: {text}\r\n\r\n",
        )

    server.answers["tools/list"] = answer

    result = await bench.look("mcp", url=server.url, tool="a")

    assert result.ok, result.error


async def test_all_pages_of_tools_are_read_and_no_endless_ones(bench: Any, server: Server) -> None:
    server.results["tools/list"] = {"tools": [{"name": "a"}], "nextCursor": "again"}

    result = await bench.look("mcp", url=server.url, tool="b")

    assert result.reason is Reason.BODY
    assert [said for _, said, _ in server.heard].count("tools/list") == 20


NO = {"code": -32600, "message": "no"}
TOOL = {"tools": [{"name": "a"}]}


@pytest.mark.parametrize(
    ("reason", "message", "method", "found"),
    [
        (Reason.PROTOCOL, 'speaks "1.0"', "initialize", {**INIT, "protocolVersion": "1.0"}),
        (Reason.PROTOCOL, "speaks", "initialize", {}),
        (Reason.STATUS, 'with -32600: "no"', "initialize", {"error": NO}),
        (Reason.STATUS, "failed with None", "initialize", {"error": "no"}),
        (Reason.PROTOCOL, "holds no tools", "tools/list", {"tools": {}}),
        (Reason.PROTOCOL, "holds no tools", "tools/list", {"tools": [1]}),
        (Reason.STATUS, "tools/call failed", "tools/call", {"error": {"code": 1, "message": "x"}}),
        (Reason.PROTOCOL, "holds no content", "tools/call", {}),
    ],
)  # fmt: skip
async def test_an_answer_that_is_wrong_has_its_reason(
    bench: Any, server: Server, reason: Reason, message: str, method: str, found: Any
) -> None:
    server.results |= {"tools/list": TOOL, method: found}

    result = await bench.look("mcp", url=server.url, tool="a", arguments={})

    assert result.reason is reason, result.error
    assert message in result.error
    if method != "initialize":
        assert server.heard[-1][0] == "DELETE"


@pytest.mark.parametrize(
    ("reason", "message", "answer"),
    [
        (Reason.AUTH, "got status 401", lambda _: web.Response(status=401)),
        (Reason.STATUS, "got status 404", lambda _: web.Response(status=404)),
        (Reason.PROTOCOL, "expected JSON", lambda _: web.Response(text="<html>")),
        (Reason.PROTOCOL, "something else", lambda _: web.json_response({"id": 7, "result": {}})),
        (Reason.PROTOCOL, "something else", lambda _: web.json_response([])),
        (Reason.PROTOCOL, "holds no result", lambda b: web.json_response({"id": b["id"]})),
        (Reason.PROTOCOL, "ends without an answer", lambda _: stream("data: {}\n\n")),
        (Reason.PROTOCOL, "expected JSON", lambda _: stream("data: {\n\n")),
        (Reason.PROTOCOL, "but not the answer", lambda _: stream(*["data: {}\n\n"] * 2000)),
        (Reason.STATUS, "failed", lambda _: web.json_response({"id": None, "error": {"code": 1}})),
    ],
)
async def test_a_stranger_is_told_apart(
    bench: Any, server: Server, reason: Reason, message: str, answer: Any
) -> None:
    server.answers["initialize"] = answer

    result = await bench.look("mcp", url=server.url)

    assert result.reason is reason, result.error
    assert message in result.error


async def test_a_handshake_that_is_not_accepted_is_a_status(bench: Any, server: Server) -> None:
    server.accepted = 400

    result = await bench.look("mcp", url=server.url)

    assert result.reason is Reason.STATUS


async def test_a_session_that_will_not_end_does_not_hold_the_run(
    bench: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = server.answer

    async def clinging(request: web.Request) -> web.Response:
        if request.method == "DELETE":
            await asyncio.sleep(30)
        return await answer(request)

    app = web.Application()
    app.router.add_route("*", "/mcp", clinging)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    result = await bench.look("mcp", url=f"http://127.0.0.1:{runner.addresses[0][1]}/mcp")
    await runner.cleanup()

    assert result.ok, result.error
    assert result.duration < 3


async def test_the_address_policy_holds(bench: Any) -> None:
    closed = bench.environment.under(AddressPolicy(deny=["127.0.0.0/8"]))

    result = await bench.look("mcp", closed, url="http://127.0.0.1:1/mcp")

    assert result.reason is Reason.POLICY


async def test_no_program_is_started_unless_it_is_allowed(bench: Any) -> None:
    environment = ProbeEnvironment(clock=bench.clock)

    result = await bench.look("mcp", environment, command=["/bin/true"])

    assert result.reason is Reason.POLICY


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("one of url, command is missing", {}),
        ("exclude each other", {"url": "http://a.test", "command": ["/bin/x"]}),
        ("absolute path", {"command": ["x"]}),
        ("absolute path", {"command": ["/bin/../x"]}),
        ("arguments needs tool", {"url": "http://a.test", "arguments": {}}),
        ("matching a result", {"url": "http://a.test", "tool": "x", "expect": {"matches": "a"}}),
        ("cannot be set", {"command": ["/x"], "environment": {"LD_PRELOAD": "x"}}),
    ],
)
def test_what_cannot_work_is_refused(message: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=message):
        McpOptions.model_validate(options)


def test_a_target_shows_no_secret() -> None:
    program = McpOptions.model_validate({"command": ["/bin/server", "--key", "hunter2"]})

    assert program.shown() == "/bin/server"
    assert program.programs == ("/bin/server",)
