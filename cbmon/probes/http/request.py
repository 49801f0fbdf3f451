"""Requests, and how a redirect turns one into the next.

Rule: pure. Whatever could be a credential stays at the origin it was configured for, for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from yarl import URL

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.http.redacted import is_credential, redacted

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. ``home`` is false once a redirect has left the configured origin."""

    method: str
    url: URL
    headers: Mapping[str, str]
    body: bytes | None = None
    host: str | None = None
    """Overrides the URL's host in the Host header and in TLS."""
    home: bool = True

    @property
    def name(self) -> str:
        """The name to ask for in TLS."""
        if self.host is not None:
            return self.host.partition(":")[0] if "]" not in self.host else self.host
        return self.url.raw_host or ""


def redirected(request: Request, status: int, location: str) -> Request:
    """The request that follows; ProbeError (``redirect``) for a place that may not be gone to."""
    target = _target(request.url, location)
    following = replace(request, url=target)
    if _becomes_get(request.method, status):
        headers = {
            name: value
            for name, value in request.headers.items()
            if not name.lower().startswith("content-")
        }
        following = replace(following, method="GET", body=None, headers=headers)
    if target.origin() == request.url.origin():
        return following
    kept = {name: value for name, value in following.headers.items() if not is_credential(name)}
    return replace(following, headers=kept, host=None, home=False)


def _target(base: URL, location: str) -> URL:
    try:
        target = base.join(URL(location)).with_fragment(None)
        if target.absolute and target.user is not None:
            target = target.with_user(None)
        usable = target.scheme in {"http", "https"} and bool(target.raw_host and target.port)
    except ValueError as error:
        text = f"redirected to {shown(location)}, which is not a URL"
        raise ProbeError(Reason.REDIRECT, text) from error
    if not usable:
        text = f"redirected to {shown(redacted(target))}, expected an http or https URL"
        raise ProbeError(Reason.REDIRECT, text)
    return target


def _becomes_get(method: str, status: int) -> bool:
    if status == 303:
        return method != "HEAD"
    return status in {301, 302} and method == "POST"
