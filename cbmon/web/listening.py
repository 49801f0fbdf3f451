"""One address that is listened on, with or without TLS.

Rule: how connections are encrypted can change at any time; nobody who is connected or about to
connect notices, because the new server listens on the same sockets before the old one stops.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

from cbmon.web.connections import Connection, Limits

BACKLOG: Final = 1024
Factory = Callable[[], Connection]


class Listener:
    """The sockets of one address and the server behind them."""

    def __init__(self, factory: Factory, limits: Limits) -> None:
        self._factory = factory
        self._limits = limits
        self._servers: list[asyncio.Server] = []
        self._serving = False
        self.context: ssl.SSLContext | None = None
        """What connections are encrypted with; None is not at all."""

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it is bound, with the port that the kernel gave for 0."""
        return [sock.getsockname()[:2] for server in self._servers for sock in server.sockets]

    async def bind(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        """Bind, and serve nobody yet; OSError."""
        self._servers = [await self._create(context, host=host or None, port=port)]
        self.context = context

    async def serve(self) -> None:
        """Take connections from now on."""
        self._serving = True
        for server in self._servers:
            await server.start_serving()

    async def exchange(self, context: ssl.SSLContext | None) -> None:
        """Encrypt new connections with this context; those that exist stay as they are."""
        old = self._servers
        sockets = [sock for server in old for sock in server.sockets]
        self._servers = [await self._create(context, sock=_copy(sock)) for sock in sockets]
        self.context = context
        if self._serving:
            await self.serve()
        for server in old:
            server.close()

    def close(self) -> None:
        """Take no more connections."""
        for server in self._servers:
            server.close()
        self._servers = []

    async def _create(self, context: ssl.SSLContext | None, **place: Any) -> asyncio.Server:
        if context is not None:
            place["ssl"] = context
            place["ssl_handshake_timeout"] = self._limits.header
            place["ssl_shutdown_timeout"] = self._limits.linger
        return await asyncio.get_running_loop().create_server(
            self._factory, backlog=BACKLOG, start_serving=False, **place
        )


def _copy(sock: Any) -> socket.socket:
    """The same listening socket under another descriptor."""
    return socket.socket(fileno=os.dup(sock.fileno()))


def ports(listeners: Sequence[Listener]) -> list[tuple[str, int]]:
    """Where all of them are bound."""
    return [address for listener in listeners for address in listener.addresses]
