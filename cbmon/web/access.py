"""May this request have an answer: its host, its site, its identity, its role.

Rule: without a credential there are only reads, and only for this machine. The kernel says where
a connection comes from: the address it arrived at, or the user behind the control socket. What
a browser may be made to send by a foreign page is refused before anything else is looked at.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from cbmon.web.auth import Identity, Role, Tokens
from cbmon.web.control import peer_process
from cbmon.web.errors import ApiError

log = logging.getLogger(__name__)

IDENTITY: Final[web.RequestKey[Identity]] = web.RequestKey("identity", Identity)
LOCAL: Final = Identity("local", Role.VIEWER, anonymous=True)
STRANGER: Final = Identity("stranger", Role.NOBODY, anonymous=True)
HOW_TO_WRITE: Final = (
    "configure web.tokens and send one as 'Authorization: Bearer …', "
    "or use the cbmon command on the daemon's own host"
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Access:
    """Decides for one application; ``external_url()`` holds a further name it is reached by."""

    def __init__(
        self, tokens: Tokens, external_url: Callable[[], str | None] = lambda: None
    ) -> None:
        self.tokens = tokens
        self.control_socket: str | None = None
        """Where this machine's own commands may write; told to those who ask from here."""
        self._external_url = external_url

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Find out who asks; refuse foreign hosts."""
        identity = await self._identify(request)
        if identity.anonymous:
            self._check_host(request)
        request[IDENTITY] = identity
        return await handler(request)

    def require(
        self, request: web.Request, role: Role, *, local: bool = False, acts: bool = False
    ) -> Identity:
        """The identity, if it may; ``local`` also lets this machine in while no token exists.

        What ``acts`` is refused to foreign pages even when any viewer may ask for it.
        Raises ApiError: 401 when a token is missing, 403 when it would not help.
        """
        identity = request[IDENTITY]
        if acts or role > Role.VIEWER:
            _check_site(request)
        if identity.role >= role:
            return identity
        if local and not self.tokens and identity is LOCAL and not _forwarded(request):
            return identity
        log.warning(
            "request refused",
            extra={
                "fields": {
                    "actor": identity.name,
                    "method": request.method,
                    "path": request.path,
                    "needs": role.label,
                }
            },
        )
        raise self._refusal(identity, role)

    def identity(self, request: web.Request) -> Identity:
        """Who asks, as :meth:`admit` found out."""
        return request[IDENTITY]

    async def _identify(self, request: web.Request) -> Identity:
        controller = await _controller(request)
        if controller is not None:
            return controller
        header = request.headers.get(hdrs.AUTHORIZATION)
        if header is None:
            return LOCAL if _arrived_locally(request) else STRANGER
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unauthorized("expected 'Authorization: Bearer <token>'")
        identity = await self.tokens.identify(token.strip())
        if identity is None:
            raise _unauthorized("the token is not one of web.tokens")
        return identity

    def _check_host(self, request: web.Request) -> None:
        """A foreign page can point its own name at 127.0.0.1; it cannot change what it is."""
        header = request.headers.get(hdrs.HOST)
        if header is None or not _arrived_locally(request):
            return
        host = _hostname(header)
        external = urlsplit(self._external_url() or "").hostname
        if host is not None and (host == external or _names_this_machine(host)):
            return
        raise ApiError(
            403,
            "host_not_allowed",
            "this name is not one of the daemon's; "
            "use localhost or an address, or set global.external_url to the name in use",
            details={"host": header[:255]},
        )

    def _refusal(self, identity: Identity, role: Role) -> ApiError:
        if not identity.anonymous:
            message = f"{identity.name} has role {identity.role.label}, this needs {role.label}"
            return ApiError(403, "forbidden", message)
        if not self.tokens:
            message = f"without a configured credential only reads are served; {HOW_TO_WRITE}"
            if self.control_socket is not None and identity is LOCAL:
                message += f" (cbmon --socket {self.control_socket} …)"
            details = {"control_socket": self.control_socket} if identity is LOCAL else {}
            return ApiError(403, "no_credentials_configured", message, details=details)
        return _unauthorized(f"this needs a token with role {role.label} or higher")


def is_loopback(address: str) -> bool:
    """Whether an address of this machine is reachable from this machine only."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool((mapped or ip).is_loopback)


async def _controller(request: web.Request) -> Identity | None:
    """The user at the other end of the control socket; None on TCP."""
    transport = request.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None or sock.family.name != "AF_UNIX":
        return None
    process = peer_process(sock)
    if process is None:
        raise ApiError(403, "forbidden", "the kernel does not say who is connected")
    return Identity(await asyncio.to_thread(process.actor), Role.ADMIN)


def _arrived_locally(request: web.Request) -> bool:
    """Whether it came in at a loopback address, which no other machine can reach."""
    transport = request.transport
    name = None if transport is None else transport.get_extra_info("sockname")
    return isinstance(name, tuple) and is_loopback(name[0])


def _check_site(request: web.Request) -> None:
    """Browsers say from where a page sends; a script or a tool says nothing."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    origin = request.headers.get(hdrs.ORIGIN)
    same = origin is None or urlsplit(origin).netloc == request.headers.get(hdrs.HOST)
    if site in {"same-origin", "none"} and same:
        return
    raise ApiError(403, "cross_site", "changes are not accepted from another site's page")


def _forwarded(request: web.Request) -> bool:
    """Whether a proxy passed it on: then it is not this machine that asks."""
    return any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "Via"))


def _names_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _hostname(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _unauthorized(message: str) -> ApiError:
    return ApiError(
        401, "unauthorized", message, headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="cbmon"'}
    )
