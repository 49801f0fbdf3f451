"""The server: binds early, serves late, stops within a deadline.

Rule: without a credential it listens on this machine only; every connection is guarded. The
control socket has connections of its own, so that a flood from the network leaves it usable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from aiohttp import web

from cbmon.blackbox.service import Probing
from cbmon.errors import StartupError
from cbmon.web.access import is_loopback
from cbmon.web.app import build_app
from cbmon.web.auth import TokenOptions, Tokens
from cbmon.web.connections import AnswerWatch, Connection, Connections, Limits
from cbmon.web.control import ControlSocket
from cbmon.web.keys import ACCESS
from cbmon.web.services import Services

log = logging.getLogger(__name__)

BACKLOG: Final = 1024
CONTROL_CONNECTIONS: Final = 64


class WebServer:
    """Serves the application on TCP addresses and on the control socket."""

    def __init__(
        self,
        services: Services,
        *,
        tokens: Sequence[TokenOptions] = (),
        limits: Limits | None = None,
        probing: Probing | None = None,
    ) -> None:
        """``tokens`` are those of ``web.tokens``; without one, only this machine is served."""
        self._limits = limits or Limits()
        self._exposed = bool(tokens)
        self._app = build_app(services, tokens=tokens, limits=self._limits, probing=probing)
        self._runner = web.AppRunner(
            self._app,
            access_log_class=AnswerWatch,
            keepalive_timeout=self._limits.idle,
            lingering_time=self._limits.linger,
        )
        self._servers: list[asyncio.Server] = []
        self._control: ControlSocket | None = None
        self.connections = Connections(self._limits)
        self.addresses: list[tuple[str, int]] = []
        """Where it is bound, with the ports that the kernel gave for 0."""

    async def bind(self, listen: Iterable[tuple[str, int]], control: Path | None = None) -> None:
        """Bind every address; nobody is served yet. Raises StartupError naming the address."""
        await self._runner.setup()
        for host, port in listen:
            server = await self._bind(host, port)
            self._servers.append(server)
            self.addresses += [sock.getsockname()[:2] for sock in server.sockets]
        if control is not None:
            self._control = await asyncio.to_thread(ControlSocket, control)
            self._app[ACCESS].control_socket = str(control)
            guarded = Connections(replace(self._limits, connections=CONTROL_CONNECTIONS))
            self._servers.append(
                await asyncio.get_running_loop().create_unix_server(
                    self._factory(guarded),
                    sock=self._control.socket,
                    backlog=BACKLOG,
                    start_serving=False,
                )
            )

    async def serve(self) -> None:
        """Answer from now on."""
        for server in self._servers:
            await server.start_serving()
        for host, port in self.addresses:
            log.info("listening", extra={"fields": {"address": f"{host}:{port}"}})

    def reconfigure(self, tokens: Sequence[TokenOptions]) -> None:
        """Other tokens from now on; without one, other machines get no answer any more."""
        self._app[ACCESS].tokens = Tokens(tokens)

    async def stop(self, timeout: float = 5.0) -> None:
        """Take no more connections, let requests end within ``timeout``, close the rest."""
        for server in self._servers:
            server.close()
        if self._control is not None:
            self._control.close()
        if self._runner.server is not None:
            self._runner.server.pre_shutdown()
            await self._runner.server.shutdown(timeout)
        await self._runner.cleanup()
        self._servers.clear()

    def _factory(self, group: Connections) -> Callable[[], Connection]:
        inner = self._runner.server
        if inner is None:
            raise RuntimeError("the application is not set up")
        return lambda: Connection(inner(), group)

    async def _bind(self, host: str, port: int) -> asyncio.Server:
        try:
            server = await asyncio.get_running_loop().create_server(
                self._factory(self.connections),
                host or None,
                port,
                backlog=BACKLOG,
                start_serving=False,
            )
        except OSError as error:
            raise StartupError(
                f"web.listen: cannot listen on {host}:{port}: {error.strerror or error}; "
                f"free the port, or choose another address with --web.listen-address"
            ) from error
        self._refuse_exposure(server, host, port)
        return server

    def _refuse_exposure(self, server: asyncio.Server, host: str, port: int) -> None:
        if self._exposed or all(is_loopback(sock.getsockname()[0]) for sock in server.sockets):
            return
        server.close()
        raise StartupError(
            f"web.listen: {host}:{port} is reachable from other machines, and no credential is "
            f"configured; listen on 127.0.0.1, or configure web.tokens"
        )
