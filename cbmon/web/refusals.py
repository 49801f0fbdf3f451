"""What was refused to whom: the facts that the audit log is told.

Rule: told for whatever would have changed something and for every failed login; nothing that a
request says about itself is believed but its method and its address. No secret is in here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from cbmon.web.errors import ApiError
from cbmon.web.ids import REQUEST

REFUSING: Final = frozenset({401, 403, 429})
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class CredentialError(ApiError):
    """Somebody presented a credential that is none, or too many of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One refused request. ``actor`` is ``local`` or ``stranger`` without a credential."""

    actor: str
    method: str
    route: str
    """The address as the route table has it, such as ``/api/v1/breakers/{name}/open``."""
    name: str | None
    """What ``{name}`` stands for in it."""
    status: int
    code: str
    text: str
    client: str
    """The address of the client; empty on the control socket."""
    request: str | None = None
    """The id of the request."""


Hook = Callable[[Refusal], None]
"""Is told of refusals; it must not wait and must not raise."""


def refusal_of(request: web.Request, error: ApiError, *, actor: str, client: str) -> Refusal | None:
    """What to tell of an error; None when it is none, or when only reading was refused."""
    if error.status not in REFUSING:
        return None
    if request.method in SAFE and not isinstance(error, CredentialError):
        return None
    resource = request.match_info.route.resource
    return Refusal(
        actor=actor,
        method=request.method,
        route=resource.canonical if resource is not None else "(unknown)",
        name=request.match_info.get("name"),
        status=error.status,
        code=error.code,
        text=error.message,
        client=client,
        request=request.get(REQUEST),
    )
