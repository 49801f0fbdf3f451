"""What proves who somebody is: bearer tokens, passwords, client certificates.

Rule: a right token always passes; wrong ones, and every password that is not remembered, are paid
for by the address that they come from.
"""

from __future__ import annotations

import base64
import binascii
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from cbmon.web.auth import Identity, Known, Role, Tokens, digest_of
from cbmon.web.passwords import Passwords
from cbmon.web.refusals import CredentialError
from cbmon.web.sites import client_of
from cbmon.web.throttle import Throttle, network_of

log = logging.getLogger(__name__)

FAILURES: Final = 10
"""Wrong credentials that an address may present at once."""
FORGIVEN: Final = 6.0
"""Seconds after which it may present another."""
REALM: Final = 'realm="cbmon", charset="UTF-8"'


class Credentials:
    """Everything that is configured; nothing at all is false.

    ``certificates`` is the role of a verified client certificate, None when none is verified.
    """

    def __init__(
        self,
        tokens: Tokens | None = None,
        passwords: Passwords | None = None,
        certificates: Role | None = None,
        *,
        failures: Throttle | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.tokens = tokens or Tokens()
        self.passwords = passwords or Passwords()
        self.certificates = certificates
        self.failures = failures or Throttle(FAILURES, FORGIVEN)
        self._wall = wall

    def __bool__(self) -> bool:
        return bool(self.tokens or self.passwords) or self.certificates is not None

    @property
    def for_people(self) -> bool:
        """Whether there is something to log in with."""
        return bool(self.tokens or self.passwords)

    async def presented(self, request: web.Request, header: str) -> Identity:
        """Who an Authorization header proves to be the one that asks; raises CredentialError."""
        scheme, _, rest = header.partition(" ")
        client = network_of(client_of(request))
        match scheme.lower():
            case "bearer" if rest.strip():
                return await self.by_token(request, rest.strip(), client)
            case "basic" if self.passwords:
                user, password = _basic(rest)
                identity, _ = await self.by_password(request, user, password, client)
                return identity
        raise self._wrong(request, "expected 'Authorization: Bearer <token>'")

    async def token(self, presented: str) -> Known | None:
        """The token, if it is one and has not expired."""
        known = await self.tokens.find(digest_of(presented))
        return known if known is not None and self._is_valid(known) else None

    async def by_token(self, request: web.Request, presented: str, client: str) -> Identity:
        """Whose token it is; raises CredentialError."""
        known = await self.tokens.find(digest_of(presented))
        if known is not None and self._is_valid(known):
            return known.identity
        if known is None:
            raise self.wrong_token(request, client)
        self._pay(client)
        raise self._wrong(request, "the token has expired; ask for a new one", "token_expired")

    def wrong_token(self, request: web.Request, client: str) -> CredentialError:
        """The token is nobody's: what to raise; raises CredentialError itself after too many."""
        self._pay(client)
        return self._wrong(request, "the token is not one of web.tokens")

    async def by_password(
        self, request: web.Request, user: str, password: str, client: str
    ) -> tuple[Identity, bytes]:
        """The user whose password this is, and what is kept of it."""
        if not self.passwords.remembers(user, password):
            self._pay(client)
            if not await self.passwords.check(user, password):
                raise self._wrong(request, "user or password are wrong")
            self.failures.refund(client)
        credential = self.passwords.credential(user)
        if credential is None:
            raise self._wrong(request, "user or password are wrong")
        return Identity(user, Role.ADMIN), credential

    async def holds(self, kind: str, identity: Identity, credential: bytes) -> bool:
        """Whether what somebody logged in with is still a credential, with the same role."""
        if kind == "password":
            return self.passwords.credential(identity.name) == credential
        known = await self.tokens.find(credential)
        return known is not None and known.identity == identity and self._is_valid(known)

    def certified(self, request: web.Request) -> Identity | None:
        """Whose verified certificate the connection has; nobody's when users are configured."""
        if self.certificates is None or self.passwords:
            return None
        transport = request.transport
        certificate = None if transport is None else transport.get_extra_info("peercert")
        if not certificate:
            return None
        return Identity(_subject(certificate), self.certificates)

    def challenge(self, request: web.Request) -> dict[str, str]:
        """The header that says what would do; a script's request makes no browser ask its user."""
        schemes = [f"Bearer {REALM}"] if self.tokens or not self.passwords else []
        if self.passwords and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate":
            schemes.insert(0, f"Basic {REALM}")
        return {hdrs.WWW_AUTHENTICATE: ", ".join(schemes)} if schemes else {}

    def _wrong(
        self, request: web.Request, message: str, code: str = "unauthorized"
    ) -> CredentialError:
        return CredentialError(401, code, message, headers=self.challenge(request))

    def _is_valid(self, known: Known) -> bool:
        return known.expires is None or self._wall() < known.expires

    def _pay(self, client: str) -> None:
        wait = self.failures.take(client)
        if not wait:
            return
        seconds = math.ceil(wait)
        log.warning("too many wrong credentials", extra={"fields": {"client": client}})
        raise CredentialError(
            429,
            "too_many_failures",
            f"too many wrong credentials from this address; try again in {seconds} s",
            headers={hdrs.RETRY_AFTER: str(seconds)},
        )


def _basic(encoded: str) -> tuple[str, str]:
    """User and password; empty ones when it is neither."""
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return "", ""
    user, _, password = text.partition(":")
    return user, password


def _subject(certificate: Mapping[str, Any]) -> str:
    """How a certificate's owner is named: its first alternative name, or its common name."""
    for _, name in certificate.get("subjectAltName", ()):
        return str(name)[:128]
    for parts in certificate.get("subject", ()):
        for key, value in parts:
            if key == "commonName":
                return str(value)[:128]
    return "certificate"
