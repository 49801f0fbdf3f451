"""Stand-ins for what the shop cannot have here: `stubs.py llm PORT` and `stubs.py mcp PORT`."""

from __future__ import annotations

import sys

from aiohttp import web
from mcp.server.mcpserver import MCPServer


async def complete(request: web.Request) -> web.Response:
    """What an OpenAI-compatible server answers."""
    body = await request.json()
    message = {"role": "assistant", "content": "tea"}
    return web.json_response(
        {"model": body["model"], "choices": [{"index": 0, "message": message}]}
    )


def llm(port: int) -> None:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    web.run_app(app, host="127.0.0.1", port=port, print=lambda *_: None)


def mcp(port: int) -> None:
    server = MCPServer("shipping", log_level="ERROR")

    @server.tool()
    def quote(town: str) -> str:
        """What a parcel costs."""
        return f"a parcel to {town} costs {3 + len(town)} coins"

    server.run("streamable-http", port=port)


if __name__ == "__main__":
    {"llm": llm, "mcp": mcp}[sys.argv[1]](int(sys.argv[2]))
