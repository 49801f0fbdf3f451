"""Requests, and how a redirect turns one into the next, as Go's client does it.

Rule: pure. Credentials stay with the host they were configured for, and never leave TLS for plain
text; in this we are stricter than Go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from cbmon.blackbox.credentials import basic
from cbmon.blackbox.places import Place
from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.http.redacted import is_credential

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_KEEPING: Final = frozenset({307, 308})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BY_US: Final = frozenset({"host", "content-length", "transfer-encoding", "trailer", "connection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request. ``home`` is false once a redirect has left the configured host."""

    method: str
    place: Place
    host: str
    """The Host header."""
    headers: Mapping[str, str]
    body: bytes | None = None
    home: bool = True
    chunked: bool = False
    """Whether the body is sent in chunks; then it cannot be sent again."""

    def data(self, target: str | None = None) -> bytes:
        """The request on the wire; ``target`` stands for the path when a proxy is asked."""
        lines = [f"{self.method} {target or self.place.path} HTTP/1.1", f"Host: {self.host}"]
        lines += [f"{n}: {_flat(v)}" for n, v in self.headers.items() if n.lower() not in _BY_US]
        body = self.body or b""
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        elif body or self.method in {"POST", "PUT", "PATCH"}:
            lines.append(f"Content-Length: {len(body)}")
        lines += ["Connection: close", "", ""]
        return "\r\n".join(lines).encode(errors="surrogateescape") + body


def check(ask: Ask) -> None:
    """ProbeError (``config``) for headers that cannot be sent."""
    for name, value in ask.headers.items():
        if not _TOKEN.fullmatch(name):
            raise ProbeError(Reason.CONFIG, f"invalid header field name {shown(name)}")
        if _CONTROL.search(value):
            raise ProbeError(Reason.CONFIG, f"invalid header field value for {shown(name)}")


def check_method(method: str) -> None:
    """ProbeError (``config``) for what is no method."""
    if not _TOKEN.fullmatch(method):
        raise ProbeError(Reason.CONFIG, f"invalid method {shown(method)}")


def redirects(ask: Ask, status: int, location: str) -> bool:
    """Whether Go's client would take the answer for a redirect at all."""
    if status not in REDIRECTS or not location:
        return False
    return not (status in _KEEPING and ask.chunked and ask.body)


def following(ask: Ask, status: int, location: str, first: Place) -> Ask:
    """The request that comes next; ProbeError for a location that is no URL.

    ``first`` is the configured place with its name, the current one may have an address instead.
    """
    place = ask.place.join(location)
    relative = "://" not in location and not location.startswith("//")
    headers = {name: value for name, value in ask.headers.items() if name.lower() != "referer"}
    if not (ask.place.scheme == "https" and place.scheme == "http"):
        headers["Referer"] = ask.headers.get("Referer", ask.place.url)
    after = replace(ask, place=place, headers=headers)
    if status not in _KEEPING:
        method = ask.method if ask.method in {"GET", "HEAD"} else "GET"
        after = replace(after, method=method, body=None, chunked=False)
    if not relative or ask.host == ask.place.netloc:
        after = replace(after, host=place.netloc)
    if place.user and not any(name.lower() == "authorization" for name in headers):
        headers["Authorization"] = basic(*place.user)
    if not _home(ask, place, first):
        kept = {name: value for name, value in headers.items() if not is_credential(name)}
        after = replace(after, headers=kept, home=False)
    return after


def _home(ask: Ask, place: Place, first: Place) -> bool:
    hosts = {first.host.lower()}
    if ask.home:
        hosts.add(ask.place.host.lower())
    secure = place.scheme == "https" or ask.place.scheme == "http"
    return ask.home and secure and place.host.lower() in hosts


def _flat(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")
