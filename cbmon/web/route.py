"""What a route is, and the table an application keeps of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from cbmon.web.auth import Role
from cbmon.web.keys import ACCESS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
API: Final = "/api/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One address. ``answer`` names a schema of JSON; without one, ``media`` says what comes,
    or ``also``.
    ``status`` is that of success.

    ``local``: this machine may ask without a token while none is configured. ``acts``: a read
    that has effects, which a foreign page must not make a browser ask for. ``body`` are the
    fields of a JSON object, or ``body_schema`` names its schema; a ``form`` is one of a browser.
    ``needs`` are the parameters and fields without which there is no answer.
    ``reporters``: the role of applications may ask too.
    """

    method: str = "GET"
    path: str
    handler: Handler
    role: Role = Role.VIEWER
    local: bool = False
    acts: bool = False
    reporters: bool = False
    summary: str
    answer: str | None = None
    media: str = "application/json"
    also: tuple[str, ...] = ()
    status: int = 200
    errors: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    body: Mapping[str, type] = field(default_factory=dict)
    body_schema: str | None = None
    form: bool = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer, if the request may have an answer."""
        access = request.app[ACCESS]
        if not self.reporters or access.identity(request).role is not Role.REPORTER:
            access.require(request, self.role, local=self.local, acts=self.acts)
        return await self.handler(request)


TABLE: Final[web.AppKey[tuple[Route, ...]]] = web.AppKey("table", tuple)
