"""Bearer tokens by OAuth 2 client credentials.

Rule: a token is asked for when there is none or it is about to expire, by one run at a time, and
forgotten when the target refuses it.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote, urlencode

from yarl import URL

from cbmon.config.fields import SecretError, secret_from
from cbmon.interfaces import Clock
from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.http.access import OAuth2Options
from cbmon.probes.http.request import Request

EARLY: Final = 10.0
"""Seconds before its end at which a token counts as expired."""
LONGEST: Final = 3600.0
"""Seconds that a token without an end is used."""
_REFUSALS: Final = frozenset({400, 401, 403})

Fetch = Callable[[Request], Awaitable[tuple[int, bytes]]]
"""Sends a request; the status and the body of the answer."""


class Tokens:
    """The token of one check."""

    def __init__(self, options: OAuth2Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._token = ""
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def get(self, fetch: Fetch) -> str:
        """A token that is good for a while; ProbeError (``auth``) when none is given."""
        async with self._lock:
            if not self._token or self._clock.monotonic() >= self._until:
                status, body = await fetch(await self._request())
                self._take(status, body)
            return self._token

    def forget(self) -> None:
        """The target has refused it."""
        self._token = ""

    async def _request(self) -> Request:
        options = self._options
        try:
            found = await asyncio.to_thread(
                secret_from, options.client_secret, options.client_secret_file
            )
        except SecretError as error:
            raise ProbeError(Reason.CONFIG, str(error)) from error
        secret = found.reveal() if found else ""
        form = {"grant_type": "client_credentials", **options.parameters}
        if options.scopes:
            form["scope"] = " ".join(options.scopes)
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        if options.credentials_in == "body":
            form |= {"client_id": options.client_id, "client_secret": secret}
        else:  # RFC 6749, section 2.3.1: both are encoded as in a form before they are joined
            pair = f"{quote(options.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return Request(
            method="POST",
            url=URL(options.token_url),
            headers=headers,
            body=urlencode(form).encode(),
        )

    def _take(self, status: int, body: bytes) -> None:
        answer = _parsed(body)
        if status != 200:
            said = answer.get("error")
            detail = f": {shown(said)}" if isinstance(said, str) else ""
            reason = Reason.AUTH if status in _REFUSALS else Reason.STATUS
            raise ProbeError(reason, f"got status {status} instead of a token{detail}")
        token, kind = answer.get("access_token"), answer.get("token_type", "bearer")
        usable = isinstance(token, str) and token.isascii() and token.isprintable() and token
        if not usable or not isinstance(kind, str) or kind.lower() != "bearer":
            raise ProbeError(Reason.AUTH, "the answer for a token holds no bearer token")
        self._token = str(token)
        self._until = self._clock.monotonic() + _lifetime(answer.get("expires_in"))


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _lifetime(given: object) -> float:
    if isinstance(given, str) and given.isascii() and given.isdigit():  # some servers quote it
        given = int(given[:9])
    if isinstance(given, bool) or not isinstance(given, int | float) or not given > 0:
        return LONGEST
    return max(1.0, min(float(given), 30 * 86_400.0) - EARLY)
