"""From where a request comes: which address, which host name, which site's page.

Rule: the kernel says where a connection comes from: the address it arrived at. What a browser may
be made to send by a foreign page is refused before anything else is looked at.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from cbmon.config.exposure import is_loopback
from cbmon.web.errors import ApiError

__all__ = [
    "arrived_locally",
    "check_host",
    "check_site",
    "client_of",
    "forwarded",
    "is_loopback",
    "is_secure",
]


def arrived_locally(request: web.Request) -> bool:
    """Whether it came in at a loopback address, which no other machine can reach."""
    transport = request.transport
    name = None if transport is None else transport.get_extra_info("sockname")
    return isinstance(name, tuple) and is_loopback(name[0])


def client_of(request: web.Request) -> str:
    """The address that the kernel names for the other end; empty on a unix socket."""
    transport = request.transport
    peer = None if transport is None else transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""


def forwarded(request: web.Request) -> bool:
    """Whether a proxy passed it on: then it is not this machine that asks."""
    return any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "Via"))


def is_secure(request: web.Request, external_url: str | None) -> bool:
    """Whether the browser reached us by https: by itself, or at the external address."""
    if request.secure:
        return True
    external = urlsplit(external_url or "")
    host = _hostname(request.headers.get(hdrs.HOST, ""))
    return external.scheme == "https" and host == external.hostname


def check_host(request: web.Request, external_url: str | None) -> None:
    """A foreign page can point its own name at 127.0.0.1; it cannot change what it is."""
    header = request.headers.get(hdrs.HOST)
    if header is None or not arrived_locally(request):
        return
    host = _hostname(header)
    external = urlsplit(external_url or "").hostname
    if host is not None and (host == external or _names_this_machine(host)):
        return
    raise ApiError(
        403,
        "host_not_allowed",
        "this name is not one of the daemon's; "
        "use localhost or an address, or set global.external_url to the name in use",
        details={"host": header[:255]},
    )


def check_site(request: web.Request, external_url: str | None = None) -> None:
    """Browsers say from where a page sends; a script or a tool says nothing."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    origin = request.headers.get(hdrs.ORIGIN)
    same = origin is None or _netloc(origin) == request.headers.get(hdrs.HOST)
    clear = origin is not None and not origin.startswith("https://")
    if clear and is_secure(request, external_url):
        same = False  # whoever sits on the wire can write such a page
    if site in {"same-origin", "none"} and same:
        return
    raise ApiError(403, "cross_site", "changes are not accepted from another site's page")


def _names_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _hostname(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None
