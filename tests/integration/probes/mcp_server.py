"""A server made with the SDK: ``mcp_server.py stdio`` or ``mcp_server.py PORT [json]``."""

from __future__ import annotations

import os
import sys
import time

from mcp.server.mcpserver import MCPServer

server = MCPServer("shelf", version="1.2.3", log_level="WARNING")


@server.tool()
def add(left: int, right: int) -> str:
    """Add two numbers."""
    return f"the sum is {left + right}"


@server.tool()
def fail() -> str:
    """Always fail."""
    raise ValueError("out of paper")


@server.tool()
def variable(names: list[str]) -> str:
    """Environment variables."""
    return ",".join(os.environ.get(name, "none") for name in names)


@server.tool()
def hang() -> str:
    """Take very long."""
    time.sleep(600)
    return "done"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", port=int(sys.argv[1]), json_response="json" in sys.argv)
