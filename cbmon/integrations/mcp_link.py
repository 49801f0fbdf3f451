"""The connection to one MCP server: made when needed, dropped when broken, owned by one task.

Rule: the SDK's client is entered and left in the same task, since it holds cancel scopes; those
who use it only wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import anyio
import httpx2
import mcp

from cbmon.resilience import Bulkhead

BROKEN: Final = (
    OSError,
    TimeoutError,
    EOFError,
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
    anyio.EndOfStream,
    httpx2.HTTPError,
    ExceptionGroup,
)
"""What a connection raises that cannot be made, or is there no more."""
_CLOSING: Final = 10.0
"""Seconds that the SDK gets to close a connection, and a program to end."""


class McpLink:
    """One server under its name, with the bulkhead of its calls."""

    def __init__(
        self,
        name: str,
        make: Callable[[], mcp.Client],
        connect_timeout: float,
        bulkhead: Bulkhead | None,
    ) -> None:
        self.name = name
        self._make = make
        self._timeout = connect_timeout
        self.bulkhead = bulkhead
        self.connected: mcp.Client | None = None
        """The client while there is a connection, as far as is known."""
        self._owner: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[mcp.Client] | None = None
        self._leave = asyncio.Event()
        self._heard = float("-inf")

    def heard(self) -> None:
        """The server has answered just now."""
        self._heard = asyncio.get_running_loop().time()

    def heard_since(self, moment: float) -> bool:
        """Whether it has answered anybody since then (the loop's clock)."""
        return self._heard >= moment

    async def client(self) -> mcp.Client:
        """The connected client; connects if there is none. Raises one of :data:`BROKEN`, or
        ``MCPError`` when the handshake is refused."""
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._leave = asyncio.Event()
            self._owner = asyncio.create_task(
                self._live(self._ready, self._leave), name=f"mcp {self.name}"
            )
        ready = self._ready
        try:
            client = await asyncio.shield(ready)
        except asyncio.CancelledError:
            raise
        except Exception:  # whatever it was, it is raised; the next call connects anew
            if self._ready is ready:
                self._ready = None
            raise
        if self._ready is ready:
            self.connected = client
        return client

    async def drop(self) -> None:
        """Close the connection, if there is one; the next call makes another."""
        owner, self._owner, self._ready, self.connected = self._owner, None, None, None
        if owner is None:
            return
        self._leave.set()
        done, _ = await asyncio.wait([owner], timeout=_CLOSING)
        if not done:
            owner.cancel()
            await asyncio.wait([owner])
        if not owner.cancelled():
            owner.exception()  # read, so that nobody complains: it was told to those who waited

    async def _live(self, ready: asyncio.Future[mcp.Client], leave: asyncio.Event) -> None:
        """Hold the connection from its handshake until it is to be left."""
        client = self._make()
        try:
            async with asyncio.timeout(self._timeout) as scope, client:
                scope.reschedule(None)
                ready.set_result(client)
                await leave.wait()
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(_plain(error))
            ready.exception()  # read: there may be nobody left who waits


def _plain(error: BaseException) -> BaseException:
    """The one exception of a group; a cancellation as a lost connection."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, asyncio.CancelledError):
        return ConnectionAbortedError("connecting was given up")
    return error
