"""The id of a request: in its answer, in the log lines about it, in the record of what it did.

Rule: a caller's own id is taken over if it is short and plain, so that one id follows a call
through several systems; anything else gets a fresh one. It proves nothing about who asks.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from cbmon.settings.sheet import Author
from cbmon.web.ids import REQUEST
from cbmon.web.keys import ACCESS

HEADER: Final = "X-Request-ID"
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def identified(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every request an id."""
    theirs = request.headers.get(HEADER, "")
    request[REQUEST] = theirs if _PLAIN.fullmatch(theirs) else secrets.token_hex(8)
    return await handler(request)


async def add_id(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: tell the caller the id."""
    if (own := request.get(REQUEST)) is not None:
        response.headers[HEADER] = own


def author_of(request: web.Request, reason: str | None = None) -> Author:
    """Who asks, why, and in which request; for the record."""
    name = request.app[ACCESS].identity(request).name
    return Author(actor=name, reason=reason, request=request.get(REQUEST))
