"""Browser sessions: what a login leaves behind, in memory and in a cookie.

Rule: the cookie is a random key and nothing else, of which only a keyed digest is kept here. A
session ends with its time, with a logout, with a restart, and with the credential that opened it.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from cbmon.web.auth import Identity, digest_of

LIFE: Final = 12 * 3600.0
"""Seconds after which one has to log in again, whatever happens."""
IDLE: Final = 2 * 3600.0
"""Seconds without a request after which a session is over."""
MOST: Final = 1000
PLAIN: Final = "cbmon_session"
SECURE: Final = "__Host-cbmon_session"
"""A browser takes this name only with Secure, for one host and the whole of it."""


@dataclass(slots=True)
class Session:
    """Somebody who has logged in. ``credential`` is what he did it with, as it is kept."""

    identity: Identity
    kind: str
    credential: bytes
    ends: float
    seen: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def is_token(self, presented: str) -> bool:
        """Whether a page of ours has sent this."""
        return hmac.compare_digest(presented.encode("utf-8", "surrogateescape"), self.csrf.encode())


SESSION: Final[web.RequestKey[Session]] = web.RequestKey("session", Session)


class Sessions:
    """All of them; the oldest goes when there are too many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._open: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, identity: Identity, kind: str, credential: bytes) -> tuple[str, Session]:
        """A new session and the key to it."""
        key = secrets.token_urlsafe(32)
        now = self._clock()
        session = Session(identity, kind, credential, ends=now + LIFE, seen=now)
        self._open[digest_of(key)] = session
        if len(self._open) > self._most:
            self._open.popitem(last=False)
        return key, session

    def find(self, key: str) -> Session | None:
        """The session that a cookie is the key to, if it still goes on."""
        digest = digest_of(key)
        session = self._open.get(digest)
        if session is None:
            return None
        now = self._clock()
        if now >= session.ends or now - session.seen >= IDLE:
            del self._open[digest]
            return None
        session.seen = now
        return session

    def close(self, key: str) -> None:
        """End a session, if there is one."""
        self._open.pop(digest_of(key), None)


def key_in(request: web.Request, *, secure: bool) -> str | None:
    """The key that the browser sent, if any; behind https only the one that nobody could plant."""
    return request.cookies.get(SECURE if secure else PLAIN)


def hand_out(response: web.StreamResponse, key: str, *, secure: bool) -> None:
    """Give the key to the browser, for no script to read and for no other site to send."""
    response.set_cookie(
        SECURE if secure else PLAIN,
        key,
        max_age=int(LIFE),
        path="/",
        secure=secure,
        httponly=True,
        samesite="Strict",
    )


def take_back(response: web.StreamResponse, *, secure: bool) -> None:
    """Make the browser forget it."""
    for name in (SECURE, PLAIN):
        if secure or name == PLAIN:
            response.del_cookie(
                name, path="/", secure=name == SECURE, httponly=True, samesite="Strict"
            )
