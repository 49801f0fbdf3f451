"""The server: binds early, serves late, stops within a deadline.

Rule: without a credential it listens on this machine only; every connection is guarded. The
control socket has connections of its own, so that a flood from the network leaves it usable.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from cbmon.apps import Apps
from cbmon.blackbox.service import Probing
from cbmon.errors import StartupError
from cbmon.web.access import Access, is_loopback
from cbmon.web.app import build_app
from cbmon.web.auth import Role, TokenOptions, Tokens
from cbmon.web.connections import AnswerWatch, Connection, Connections, Limits
from cbmon.web.control import ControlSocket
from cbmon.web.credentials import Credentials
from cbmon.web.keys import ACCESS, HEADERS
from cbmon.web.listening import BACKLOG, Listener, ports
from cbmon.web.passwords import Passwords
from cbmon.web.refusals import Hook
from cbmon.web.services import Services
from cbmon.web.stream import STREAM, Stream
from cbmon.web.throttle import Throttle
from cbmon.web.watching import follow
from cbmon.web.webconfig import WebConfig
from cbmon.web.webconfig.sans import names_in

log = logging.getLogger(__name__)

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
        web_config: WebConfig | None = None,
        certificate_role: str = "viewer",
        stream: Stream | None = None,
        on_refusal: Hook | None = None,
        apps: Apps | None = None,
    ) -> None:
        """``tokens`` are those of ``web.tokens``; without any credential, only this machine is
        served. ``certificate_role`` is what a verified client certificate may do. ``stream`` is
        what listeners hear; ``on_refusal`` is told who was refused what.
        """
        self._limits = limits or Limits()
        self._clock = services.clock
        self._tokens = tuple(tokens)
        self._web_config = web_config
        self._warned: WebConfig | None = None
        self._certificate_role = certificate_role
        self._app = build_app(
            services, tokens=tokens, limits=self._limits, probing=probing, stream=stream, apps=apps
        )
        self.access.on_refusal = on_refusal
        self._runner = web.AppRunner(
            self._app,
            access_log_class=AnswerWatch,
            logger=_http_log(),
            keepalive_timeout=self._limits.idle,
            lingering_time=self._limits.linger,
        )
        self._listeners: list[Listener] = []
        self._local: asyncio.Server | None = None
        self._control: ControlSocket | None = None
        self._following: asyncio.Task[None] | None = None
        self.connections = Connections(self._limits)
        self._groups = [self.connections]
        self.addresses: list[tuple[str, int]] = []
        """Where it is bound, with the ports that the kernel gave for 0."""
        self._credit()

    @property
    def access(self) -> Access:
        """Who may have an answer."""
        return self._app[ACCESS]

    async def bind(self, listen: Iterable[tuple[str, int]], control: Path | None = None) -> None:
        """Bind every address; nobody is served yet. Raises StartupError naming the address."""
        await self._runner.setup()
        for host, port in listen:
            self._listeners.append(await self._bind(host, port))
        self.addresses = ports(self._listeners)
        if control is not None:
            self._control = await asyncio.to_thread(ControlSocket, control)
            self.access.control_socket = str(control)
            guarded = Connections(replace(self._limits, connections=CONTROL_CONNECTIONS))
            self._groups.append(guarded)
            self._local = await asyncio.get_running_loop().create_unix_server(
                self._factory(guarded),
                sock=self._control.socket,
                backlog=BACKLOG,
                start_serving=False,
            )

    async def serve(self) -> None:
        """Answer from now on."""
        if self._local is not None:
            await self._local.start_serving()
        for listener in self._listeners:
            await listener.serve()
        self._following = asyncio.get_running_loop().create_task(
            follow(lambda: self._web_config, self.apply)
        )
        tls = self._web_config is not None and self._web_config.context is not None
        for host, port in self.addresses:
            log.info("listening", extra={"fields": {"address": f"{host}:{port}", "tls": tls}})
        self._warn()

    def reconfigure(
        self, tokens: Sequence[TokenOptions], certificate_role: str | None = None
    ) -> None:
        """Other tokens from now on; without one, other machines get no answer any more."""
        self._tokens = tuple(tokens)
        self._certificate_role = certificate_role or self._certificate_role
        self._credit()

    async def apply(self, web_config: WebConfig | None) -> None:
        """Another web-config file from now on; connections that exist stay."""
        self._web_config = web_config
        self._credit()
        context = None if web_config is None else web_config.context
        for listener in self._listeners:
            if listener.context is not context:
                await listener.exchange(context)
        self._warn()

    async def stop(self, timeout: float = 5.0) -> None:
        """Take no more connections, let requests end within ``timeout``, close the rest."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        self._app[STREAM].close()
        for listener in self._listeners:
            listener.close()
        if self._local is not None:
            self._local.close()
        if self._control is not None:
            self._control.close()
        if self._runner.server is not None:
            self._runner.server.pre_shutdown()
            await self._runner.server.shutdown(timeout)
        await self._runner.cleanup()
        for group in self._groups:
            group.close()
        self._listeners.clear()

    def _warn(self) -> None:
        """Of what works in the web-config file, but probably not as meant."""
        if self._web_config is not self._warned and self._web_config is not None:
            for problem in self._web_config.warnings:
                log.warning("web-config file", extra={"fields": {"problem": str(problem)}})
        self._warned = self._web_config

    def _credit(self) -> None:
        """Bring the credentials, headers and rate of now into force."""
        access, found = self.access, self._web_config
        verified = found is not None and found.verifies
        access.credentials = Credentials(
            Tokens(self._tokens),
            Passwords(found.users if found else None),
            Role[self._certificate_role.upper()] if verified else None,
            failures=access.credentials.failures,
            wall=self._clock.time,
        )
        paced = found is not None and found.interval > 0
        access.rate = Throttle(found.burst, found.interval) if found and paced else None
        headers = self._app[HEADERS]
        headers.clear()
        headers.update(found.headers if found else {})

    def _factory(self, group: Connections) -> Callable[[], Connection]:
        inner = self._runner.server
        if inner is None:
            raise RuntimeError("the application is not set up")
        return lambda: Connection(inner, group, self._is_welcome)

    def _is_welcome(self, transport: asyncio.BaseTransport) -> bool:
        """Whether the client's certificate, if it has to have one, has one of the right names."""
        allowed = None if self._web_config is None else self._web_config.allowed
        if allowed is None or transport.get_extra_info("sslcontext") is None:
            return True
        if names_in(transport.get_extra_info("peercert")) & allowed:
            return True
        peer = transport.get_extra_info("peername") or ("",)
        log.warning("client certificate refused", extra={"fields": {"client": peer[0]}})
        return False

    async def _bind(self, host: str, port: int) -> Listener:
        listener = Listener(self._factory(self.connections), self._limits)
        context = None if self._web_config is None else self._web_config.context
        try:
            await listener.bind(host, port, context)
        except OSError as error:
            raise StartupError(
                f"web.listen: cannot listen on {host}:{port}: {error.strerror or error}; "
                f"free the port, or choose another address with --web.listen-address"
            ) from error
        self._refuse_exposure(listener, host, port)
        return listener

    def _refuse_exposure(self, listener: Listener, host: str, port: int) -> None:
        if self.access.credentials:
            return
        if all(is_loopback(address) for address, _ in listener.addresses):
            return
        listener.close()
        raise StartupError(
            f"web.listen: {host}:{port} is reachable from other machines, and no credential is "
            f"configured; listen on 127.0.0.1, or configure web.tokens"
        )


def _http_log() -> logging.Logger:
    """aiohttp's own log, without what clients get wrong: anybody could fill the disk with it."""
    found = log.getChild("http")
    found.addFilter(_is_ours)
    return found


def _is_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError)
