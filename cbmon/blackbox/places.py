"""URLs as Go reads them, as far as a prober needs: where to connect and what to ask for.

Rule: what Go refuses is refused; the path and the query are sent as they are written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, shown

PORTS: Final = {"http": 80, "https": 443}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE_OF_HOST: Final = re.compile(r"%(?!25|[89A-Fa-f][0-9A-Fa-f])")
"""What no host may hold: only bytes that are no ASCII are escaped there, and a zone's sign."""
_HOST: Final = re.compile(r"(\[[^\[\]]*\]|[^\[\]]*?)(?::([0-9]*))?")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_VALID_PATH: Final = re.compile(r"[A-Za-z0-9_.~/!$&'()*+,;=:@%\[\]-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A URL in parts. ``netloc`` is host and port as they are written."""

    scheme: str
    netloc: str
    path: str
    host: str
    port: int
    user: tuple[str, str] | None = None

    @property
    def url(self) -> str:
        """The whole, without user and fragment."""
        return f"{self.scheme}://{self.netloc}{self.path}"

    def check(self) -> None:
        """ProbeError when nothing can be connected to there."""
        if self.scheme not in PORTS:
            text = f'unsupported protocol scheme "{self.scheme[:40]}"'
            raise ProbeError(Reason.REDIRECT, text)
        if not self.host or not 0 < self.port < 65536:
            raise ProbeError(Reason.CONFIG, f"no possible host and port: {shown(self.netloc)}")

    def at(self, ip: str) -> Place:
        """The same place with an address instead of the name."""
        bracketed = f"[{ip}]" if ":" in ip else ip
        _, colon, port = self.netloc.rpartition(":")
        explicit = bool(colon) and "]" not in port
        netloc = f"{bracketed}:{port}" if explicit else bracketed
        return replace(self, netloc=netloc, host=ip)

    def join(self, location: str) -> Place:
        """The place that a Location header means; ProbeError for what is no URL."""
        location = location.strip()
        if _SCHEME.match(location):  # urljoin would take "http:///" for relative
            return parse(location)
        if ":" in location.partition("#")[0].partition("?")[0].partition("/")[0]:
            raise _refused(location, "a colon in the first part of the path")
        joined = parse(urljoin(self.url, location))
        return replace(joined, user=self.user) if joined.netloc == self.netloc else joined


def parse(url: str) -> Place:
    """The parts of an absolute URL; ProbeError (``config``) for what is none."""
    if _CONTROL.search(url):
        raise _refused(url, "a control character")
    url = url.partition("#")[0]
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _refused(url, str(error)) from error
    userinfo, at, netloc = parts.netloc.rpartition("@")
    match = _HOST.fullmatch(netloc)
    if match is None or " " in netloc:
        raise _refused(url, "an impossible host")
    if match[2] is None and ":" in match[1] and not netloc.startswith("["):
        raise _refused(url, "a port that is no number")
    if _BAD_ESCAPE.search(parts.path) or _ESCAPE_OF_HOST.search(match[1]):
        raise _refused(url, "an invalid escape")
    path = _sent(parts.path or "/") + (f"?{parts.query}" if "?" in url else "")
    return Place(
        scheme=parts.scheme,
        netloc=netloc,
        path=path if path.startswith("/") else f"/{path}",
        host=match[1].strip("[]").replace("%25", "%"),
        port=int(match[2].lstrip("0")[:9] or 0) if match[2] else PORTS.get(parts.scheme, 0),
        user=_user(userinfo) if at else None,
    )


def _sent(path: str) -> str:
    """A path as Go sends it: as it is written if that is valid, else escaped anew."""
    if _VALID_PATH.fullmatch(path):
        return path
    return quote(unquote_to_bytes(path.encode(errors="surrogateescape")), safe="$&+,/:;=@")


def _user(userinfo: str) -> tuple[str, str]:
    name, _, password = userinfo.partition(":")
    return (
        unquote_to_bytes(name).decode(errors="surrogateescape"),
        unquote_to_bytes(password).decode(errors="surrogateescape"),
    )


def _refused(url: str, what: str) -> ProbeError:
    return ProbeError(Reason.CONFIG, f"could not parse the URL {shown(url)}: {what}")
