"""Cookies that one probe is given on its way through redirects.

Rule: they live as long as the probe; a cookie goes back to where it came from and nowhere else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from cbmon.blackbox.places import Place

MOST: int = 50


@dataclass(frozen=True, slots=True)
class _Cookie:
    name: str
    value: str
    host: str
    path: str
    secure: bool
    wide: bool
    """Whether names below the host get it too."""

    def fits(self, place: Place) -> bool:
        host = place.host.lower()
        reached = host == self.host or (self.wide and host.endswith(f".{self.host}"))
        asked = place.path.partition("?")[0]
        below = asked == self.path or asked.startswith(self.path.rstrip("/") + "/")
        return reached and below and (place.scheme == "https" or not self.secure)


class Cookies:
    """The jar of one probe."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], _Cookie] = {}

    def take(self, place: Place, headers: Iterable[str]) -> None:
        """Keep what the Set-Cookie headers of an answer say."""
        for header in headers:
            cookie, gone = _parsed(place, header)
            if cookie is None:
                continue
            key = (cookie.host, cookie.path, cookie.name)
            self._kept.pop(key, None)
            if not gone and len(self._kept) < MOST:
                self._kept[key] = cookie

    def header(self, place: Place) -> str:
        """The Cookie header for a request; empty when there is nothing to send."""
        fitting = [one for one in self._kept.values() if one.fits(place)]
        fitting.sort(key=lambda one: -len(one.path))
        return "; ".join(f"{one.name}={one.value}" for one in fitting)


def _parsed(place: Place, header: str) -> tuple[_Cookie | None, bool]:
    pair, *rest = header.split(";")
    name, equals, value = pair.strip().partition("=")
    if not equals or not name:
        return None, False
    more = {}
    for part in rest:
        key, _, text = part.strip().partition("=")
        more[key.lower()] = text.strip()
    host = place.host.lower()
    domain = more.get("domain", "").lstrip(".").lower()
    if domain and domain != host:
        if _is_address(host) or not host.endswith(f".{domain}") or "." not in domain:
            return None, False
        host = domain
    path = more.get("path", "")
    if not path.startswith("/"):
        path = place.path.partition("?")[0].rpartition("/")[0] or "/"
    cookie = _Cookie(name, value.strip(), host, path, "secure" in more, bool(domain))
    return cookie, more.get("max-age", "").startswith(("0", "-"))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
