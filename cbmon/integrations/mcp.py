"""MCP clients behind breakers: a breaker for each server and for each of its tools.

    async with McpClient({"search": "https://a/mcp", "spare": "https://b/mcp"}, registry) as mcp:
        result = await mcp.call_tool("find", {"text": "tea"})

Rules:

* A rejection is an ``MCPError`` and a ``CircuitOpenError``. It comes when no server may be asked;
  while there is another one, that one is asked.
* A result is an answer, also one with ``is_error``: the tool failed, the server lives. So is an
  error reply about the request (JSON-RPC 2.0 section 5.1: unknown method, invalid parameters).
* A closed connection is a failure of the server and of the tool. An internal error is one of the
  tool alone. A timeout is one of the tool, and of the server unless it has answered somebody else
  meanwhile: one tool that hangs does not take the others with it.
* What was sent is not sent again to another server, as a tool may have done its work: only names
  in ``resend`` are. What was refused or could not connect was not sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import TracebackType
from typing import Any, Final, Self

from cbmon.breaker import CircuitOpenError, State
from cbmon.breaker.arguments import refuse_type
from cbmon.breaker.registry import BreakerRegistry
from cbmon.errors import MissingExtraError
from cbmon.integrations.calls import HeldCall, admit, checked
from cbmon.integrations.verdicts import BODY, CONNECT, NEUTRAL, STATUS, TIMEOUT
from cbmon.resilience import Bulkhead

try:
    import mcp
    from mcp import MCPError, StdioServerParameters
    from mcp_types import (
        CONNECTION_CLOSED,
        INTERNAL_ERROR,
        INVALID_REQUEST,
        PARSE_ERROR,
        REQUEST_TIMEOUT,
        CallToolResult,
        ListToolsResult,
        ReadResourceResult,
    )
    from pydantic import ValidationError

    from cbmon.integrations.mcp_link import BROKEN, McpLink
except ImportError as error:
    raise MissingExtraError("cbmon.integrations.mcp", "mcp") from error

__all__ = ["McpCircuitOpenError", "McpClient"]

Target = str | StdioServerParameters | Callable[[], mcp.Client]
"""A URL, a program, or what makes a fresh ``mcp.Client``."""
Send = Callable[[mcp.Client, float], Awaitable[Any]]

_FRESH: Final = "refresh"
"""An answer from the SDK's cache would say nothing of the server."""
_GRACE: Final = 1.0
"""Seconds that the SDK gets to end a call whose time is over."""


class McpCircuitOpenError(CircuitOpenError, MCPError):
    """No server may be asked now; nothing was sent."""

    def __init__(self, name: str, state: State, retry_after: float | None) -> None:
        MCPError.__init__(self, CONNECTION_CLOSED, "the circuit breaker is open")
        self.args = (name, state, retry_after)


class McpClient:
    """One or several servers that offer the same tools, the first one preferred.

    ``servers`` maps names to what they are. In ``breakers`` a server's breaker has its name, a
    tool's is ``server/tool``. ``tool_timeout`` seconds is how long a call may take,
    ``tool_timeouts`` names tools with their own; ``connect_timeout`` is for the handshake.
    ``max_concurrent_calls`` is the bulkhead of each server (None: no limit), with
    ``queue_timeout`` seconds of waiting; a call without a place raises BulkheadFullError.
    ``resend`` names tools that may be sent again to another server after a failure.

    Connections are made when needed, made anew when lost, and closed at the end of the block.
    """

    def __init__(
        self,
        servers: Mapping[str, Target],
        breakers: BreakerRegistry,
        *,
        tool_timeout: float = 30.0,
        tool_timeouts: Mapping[str, float] | None = None,
        connect_timeout: float = 10.0,
        max_concurrent_calls: int | None = None,
        queue_timeout: float = 0.0,
        resend: Collection[str] = (),
    ) -> None:
        if not servers:
            raise ValueError("servers: got none, expected at least one")
        if not isinstance(breakers, BreakerRegistry):
            refuse_type("breakers", breakers, "a BreakerRegistry: a server has a breaker and tools")
        self._breakers = breakers
        checked(breakers, "MCP; use tool_timeout=")
        self._timeout = tool_timeout
        self._timeouts = dict(tool_timeouts or {})
        self._resend = frozenset(resend)
        self._links = [
            McpLink(
                name,
                _maker(target),
                connect_timeout,
                None
                if max_concurrent_calls is None
                else Bulkhead(
                    name, max_concurrent_calls=max_concurrent_calls, queue_timeout=queue_timeout
                ),
            )
            for name, target in servers.items()
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        for link in self._links:
            await link.drop()

    async def connect(self) -> str:
        """Connect to the first server that can be reached and lists its tools; its name."""
        _, name = await self._ask(None, _list_tools, self._timeout, again=True)
        return name

    async def call_tool(
        self, tool: str, arguments: dict[str, Any] | None = None, *, timeout: float | None = None
    ) -> CallToolResult:
        """Call a tool on the first server that may be asked.

        Raises :class:`McpCircuitOpenError`, ``MCPError`` (a timeout is one with the code
        REQUEST_TIMEOUT), what connecting raised, or BulkheadFullError.
        """

        def send(client: mcp.Client, seconds: float) -> Awaitable[CallToolResult]:
            return client.call_tool(tool, arguments, read_timeout_seconds=seconds)

        limit = timeout or self._timeouts.get(tool, self._timeout)
        result, _ = await self._ask(tool, send, limit, again=tool in self._resend)
        return result  # type: ignore[no-any-return]

    async def read_resource(self, uri: str, *, timeout: float | None = None) -> ReadResourceResult:
        """Read a resource; sent again to another server after a failure, as it changes nothing."""

        def send(client: mcp.Client, _seconds: float) -> Awaitable[ReadResourceResult]:
            return client.read_resource(uri, cache_mode=_FRESH)

        result, _ = await self._ask(None, send, timeout or self._timeout, again=True)
        return result  # type: ignore[no-any-return]

    async def list_tools(self, *, timeout: float | None = None) -> ListToolsResult:
        """The tools; sent again to another server after a failure, as it changes nothing."""
        result, _ = await self._ask(None, _list_tools, timeout or self._timeout, again=True)
        return result  # type: ignore[no-any-return]

    async def _ask(
        self, tool: str | None, send: Send, timeout: float, *, again: bool
    ) -> tuple[Any, str]:
        refused: Exception | None = None
        failed: Exception | None = None
        for link in self._links:
            try:
                call = _Call(link, self._breakers, tool)
            except CircuitOpenError as error:
                refused = refused or error
                continue
            try:
                return await call.run(send, timeout), link.name
            except (MCPError, *BROKEN) as error:
                if not call.failed or (call.sent and not again):
                    raise
                failed = error
        raise failed or refused or RuntimeError("there is no server")


def _list_tools(client: mcp.Client, _seconds: float) -> Awaitable[ListToolsResult]:
    return client.list_tools(cache_mode=_FRESH)


def _maker(target: Target) -> Callable[[], mcp.Client]:
    if isinstance(target, str | StdioServerParameters):
        return lambda: mcp.Client(target)
    return target


class _Call:
    """One call to one server: admitted by its breaker and by the tool's."""

    def __init__(self, link: McpLink, breakers: BreakerRegistry, tool: str | None) -> None:
        self.link = link
        self.sent = False
        self.failed = False
        self._server = admit(breakers.get(link.name), McpCircuitOpenError)
        self._tool: HeldCall | None = None
        if tool is not None:
            try:
                self._tool = admit(breakers.get(f"{link.name}/{tool}"), McpCircuitOpenError)
            except BaseException:
                self._server.give_back()
                raise

    async def run(self, send: Send, timeout: float) -> Any:
        """Connect if need be, send, and tell both breakers what came of it."""
        begun = asyncio.get_running_loop().time()
        try:
            if self.link.bulkhead is None:
                result = await self._connected_and_sent(send, timeout)
            else:
                async with self.link.bulkhead:
                    result = await self._connected_and_sent(send, timeout)
        except MCPError as error:
            self._judge(error, begun)
            if error.code in {CONNECTION_CLOSED, INVALID_REQUEST}:
                await self.link.drop()
            raise
        except BROKEN as error:
            self._lost(error)
            await self.link.drop()
            raise
        except ValidationError as error:
            self._end_tool(BODY, str(error))
            self._server.answered()
            raise
        except BaseException as error:
            self._other(error)
            raise
        self.link.heard()
        self._server.answered()
        if self._tool is not None:
            self._tool.answered()
        return result

    async def _connected_and_sent(self, send: Send, timeout: float) -> Any:
        client = self.link.connected or await self.link.client()
        self.sent = True
        try:
            async with asyncio.timeout(timeout + _GRACE) as scope:
                return await send(client, timeout)
        except TimeoutError:
            if not scope.expired():
                raise
            raise MCPError(REQUEST_TIMEOUT, f"no answer within {timeout:g} s") from None

    def _judge(self, error: MCPError, begun: float) -> None:
        words = f"{error.code}: {error.message}"
        if error.code == CONNECTION_CLOSED:
            self._lost(error)
        elif error.code == REQUEST_TIMEOUT:
            self.failed = True
            self._end_tool(TIMEOUT, words)
            self._server.end(NEUTRAL if self.link.heard_since(begun) else TIMEOUT, words)
        elif error.code in {INTERNAL_ERROR, PARSE_ERROR}:
            self.failed = True
            self.link.heard()
            self._end_tool(STATUS, words)
            self._server.end(NEUTRAL)
        else:
            self.link.heard()
            self._server.answered()
            if self._tool is not None:
                self._tool.answered()

    def _lost(self, error: BaseException) -> None:
        self.failed = True
        words = f"{type(error).__name__}: {error}"
        self._server.end(CONNECT, words)
        if self.sent:
            self._end_tool(CONNECT, words)
        elif self._tool is not None:
            self._tool.give_back()

    def _other(self, error: BaseException) -> None:
        """A cancellation, a full bulkhead, an error of a callback of the caller's own."""
        for held in (self._server, self._tool):
            if held is not None and isinstance(error, Exception):
                held.end(NEUTRAL)
            elif held is not None:
                held.give_back()

    def _end_tool(self, verdict: Any, words: str) -> None:
        if self._tool is not None:
            self._tool.end(verdict, words)
