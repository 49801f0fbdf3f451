"""Who looks at a page, and what a page may offer him.

Rule: a button is shown as what it is: usable, or with the reason why not and the way to change it.
The routes decide; nothing here opens a door.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web

from cbmon.web.access import csrf_token
from cbmon.web.auth import Role
from cbmon.web.keys import ACCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """The one in front of the browser.

    ``csrf`` goes into every form of a page; it is empty for those who have not logged in.
    """

    name: str
    role: Role
    anonymous: bool
    csrf: str
    login: str
    """Where he can log in; empty when there is nothing to log in with."""
    socket: str
    """The control socket, which this machine's own commands may use."""

    @property
    def acts(self) -> bool:
        """He may act on breakers."""
        return self.role >= Role.OPERATOR

    @property
    def configures(self) -> bool:
        """He may change settings."""
        return self.role >= Role.ADMIN


def viewer(request: web.Request) -> Viewer:
    """The viewer of this request."""
    access = request.app[ACCESS]
    identity = access.identity(request)
    there = quote(request.rel_url.raw_path_qs, safe="")
    return Viewer(
        name=identity.name,
        role=identity.role,
        anonymous=identity.anonymous,
        csrf=csrf_token(request),
        login=f"/login?next={there}" if access.credentials.for_people else "",
        socket=access.control_socket or "",
    )
