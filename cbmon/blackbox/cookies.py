"""Cookies that one probe is given on its way through redirects.

Rule: they live as long as the probe; a cookie goes back to where it came from and nowhere else.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from cbmon.blackbox.places import Place

MOST: int = 50
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"""[ !#-\[\]-~]*""")
"""What Go keeps: printable, but for quotation marks and backslashes."""
_AGE: Final = re.compile(r"-?[1-9][0-9]*|-?0")


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
        return "; ".join(f"{one.name}={_quoted(one.value)}" for one in fitting)


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value or "," in value else value


def _parsed(place: Place, header: str) -> tuple[_Cookie | None, bool]:
    pair, *rest = header.split(";")
    name, equals, value = pair.strip().partition("=")
    value = _unquoted(value)
    if not (equals and _TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
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
    cookie = _Cookie(name, value, host, path, "secure" in more, bool(domain))
    return cookie, _is_over(more)


def _unquoted(value: str) -> str:
    inside = len(value) > 1 and value.startswith('"') and value.endswith('"')
    return value[1:-1] if inside else value


def _is_over(more: Mapping[str, str]) -> bool:
    """Whether a cookie is to be forgotten; what is no age and no date counts for nothing."""
    age = _AGE.fullmatch(more.get("max-age", ""))
    if age is not None:
        return int(age[0][:9]) <= 0
    try:
        ends = parsedate_to_datetime(more.get("expires", ""))
    except (ValueError, OverflowError):
        return False
    return (ends if ends.tzinfo else ends.replace(tzinfo=UTC)) <= datetime.now(UTC)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
