"""May this request have an answer: its host, its site, its identity, its role.

Rule: without a credential there are only reads, and only for this machine. Who asks is found out
once, in this order: the user behind the control socket, the Authorization header, the session of
a browser, the client certificate, the address it came in at.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web

from cbmon.web.auth import Identity, Role
from cbmon.web.control import peer_process
from cbmon.web.credentials import Credentials
from cbmon.web.errors import ApiError, bad_request
from cbmon.web.ids import REQUEST
from cbmon.web.refusals import SAFE, Hook, refusal_of
from cbmon.web.sessions import SESSION, Session, Sessions, key_in
from cbmon.web.sites import (
    arrived_locally,
    check_host,
    check_site,
    client_of,
    forwarded,
    is_loopback,
    is_secure,
)
from cbmon.web.throttle import Throttle

__all__ = ["CSRF_FIELD", "CSRF_HEADER", "Access", "csrf_token", "identity", "is_loopback"]

log = logging.getLogger(__name__)

IDENTITY: Final[web.RequestKey[Identity]] = web.RequestKey("identity", Identity)
LOCAL: Final = Identity("local", Role.VIEWER, anonymous=True)
STRANGER: Final = Identity("stranger", Role.NOBODY, anonymous=True)
HOW_TO_WRITE: Final = (
    "configure web.tokens and send one as 'Authorization: Bearer …', "
    "or use the cbmon command on the daemon's own host"
)
CSRF_HEADER: Final = "X-CSRF-Token"
CSRF_FIELD: Final = "csrf_token"
LOGIN: Final = "/login"
"""Uses nothing of the session that it replaces; a second window may still show the form."""
FORM_PATIENCE: Final = 10.0
"""Seconds for the body of a form to arrive."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def identity(request: web.Request) -> Identity:
    """Who asks; ``anonymous`` if nobody in particular."""
    found: Identity = request.get(IDENTITY, STRANGER)
    return found


def csrf_token(request: web.Request) -> str:
    """What a page has to send with a change, as X-CSRF-Token or in the form; "" without a login.

    It is needed from those who are logged in by cookie, and from nobody else.
    """
    session = request.get(SESSION)
    return "" if session is None else session.csrf


class Access:
    """Decides for one application; ``external_url()`` holds a further name it is reached by."""

    def __init__(
        self,
        credentials: Credentials,
        external_url: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.credentials = credentials
        self.sessions = Sessions()
        self.rate: Throttle | None = None
        """How many requests are answered at all (``rate_limit`` of the web-config file)."""
        self.on_refusal: Hook | None = None
        self.control_socket: str | None = None
        """Where this machine's own commands may write; told to those who ask from here."""
        self.external_url = external_url

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Find out who asks; refuse foreign hosts, forged changes and what comes too often."""
        request[IDENTITY] = STRANGER
        try:
            controller = await _controller(request)
            if controller is None:
                self._pace()
            found = controller or await self._identify(request)
            if found.anonymous:
                check_host(request, self.external_url())
            request[IDENTITY] = found
            await self._check_forgery(request)
            return await handler(request)
        except ApiError as error:
            self.tell(request, error)
            raise

    async def still(self, request: web.Request) -> bool:
        """Whether an answer that goes on for long may go on: the credential is still one."""
        try:
            now = await _controller(request) or await self._identify(request)
        except ApiError:
            return False
        return now.role >= identity(request).role

    def require(
        self, request: web.Request, role: Role, *, local: bool = False, acts: bool = False
    ) -> Identity:
        """The identity, if it may; ``local`` also lets this machine in while no token exists.

        What ``acts`` is refused to foreign pages even when any viewer may ask for it.
        Raises ApiError: 401 when a token is missing, 403 when it would not help.
        """
        found = identity(request)
        if acts or role > Role.VIEWER:
            check_site(request, self.external_url())
        if found.role >= role:
            return found
        if local and not self.credentials and found is LOCAL and not forwarded(request):
            return found
        log.warning(
            "request refused",
            extra={
                "fields": {
                    "actor": found.name,
                    "method": request.method,
                    "path": request.path,
                    "needs": role.label,
                    "request": request.get(REQUEST, ""),
                }
            },
        )
        raise self._refusal(request, found, role)

    def identity(self, request: web.Request) -> Identity:
        """Who asks, as :meth:`admit` found out."""
        return identity(request)

    def _pace(self) -> None:
        wait = 0.0 if self.rate is None else self.rate.take("")
        if wait:
            raise ApiError(
                429,
                "too_many_requests",
                "more requests than rate_limit of the web-config file allows",
                headers={hdrs.RETRY_AFTER: str(math.ceil(wait))},
            )

    async def _identify(self, request: web.Request) -> Identity:
        headers = request.headers.getall(hdrs.AUTHORIZATION, ())
        if len(headers) > 1:
            raise bad_request("there is more than one Authorization header")
        if headers:
            return await self.credentials.presented(request, headers[0])
        session = await self._session(request)
        if session is not None:
            request[SESSION] = session
            return session.identity
        certified = self.credentials.certified(request)
        if certified is not None:
            return certified
        if self.credentials.passwords or not arrived_locally(request):
            return STRANGER
        return LOCAL

    async def _session(self, request: web.Request) -> Session | None:
        key = key_in(request, secure=is_secure(request, self.external_url()))
        session = None if key is None else self.sessions.find(key)
        if key is None or session is None:
            return None
        if await self.credentials.holds(session.kind, session.identity, session.credential):
            return session
        self.sessions.close(key)
        return None

    async def _check_forgery(self, request: web.Request) -> None:
        """What a browser sends by itself, the cookie, is no proof that its user wants it."""
        session = request.get(SESSION)
        if session is None or request.method in SAFE or request.path == LOGIN:
            return
        check_site(request, self.external_url())
        presented = request.headers.get(CSRF_HEADER)
        if presented is None and request.content_type == "application/x-www-form-urlencoded":
            async with asyncio.timeout(FORM_PATIENCE):
                presented = str((await request.post()).get(CSRF_FIELD, ""))
        if not session.is_token(presented or ""):
            raise ApiError(
                403, "csrf", f"a change needs {CSRF_HEADER} from a page of this login; reload it"
            )

    def tell(self, request: web.Request, error: ApiError) -> None:
        """Tell the hook of a refusal that is answered otherwise than by raising it."""
        if self.on_refusal is None:
            return
        told = refusal_of(request, error, actor=identity(request).name, client=client_of(request))
        if told is not None:
            self.on_refusal(told)

    def _refusal(self, request: web.Request, found: Identity, role: Role) -> ApiError:
        if not found.anonymous:
            message = f"{found.name} has role {found.role.label}, this needs {role.label}"
            return ApiError(403, "forbidden", message)
        if not self.credentials:
            message = f"without a configured credential only reads are served; {HOW_TO_WRITE}"
            if self.control_socket is not None and found is LOCAL:
                message += f" (cbmon --socket {self.control_socket} …)"
            details = {"control_socket": self.control_socket} if found is LOCAL else {}
            return ApiError(403, "no_credentials_configured", message, details=details)
        message = f"this needs a credential with role {role.label} or higher"
        return ApiError(401, "unauthorized", message, headers=self.credentials.challenge(request))


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
