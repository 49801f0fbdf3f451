"""Who may do what: roles, bearer tokens, and the identity of a request.

Rule: of a token only a keyed digest is kept, with a key that lives as long as the process; it is
compared in bytes against every configured one, so that the time it takes tells nothing. A token
file is read again within seconds of a change.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

from cbmon.config.secrets import Secret, SecretError, SecretFile, secret_from

log = logging.getLogger(__name__)

FRESH: Final = 2.0
"""Seconds for which what a token file held is believed."""
_KEY: Final = os.urandom(32)


class Role(IntEnum):
    """What an identity may do; each includes the ones before."""

    NOBODY = 0
    REPORTER = 1
    """Report the breakers of an application, and nothing else."""
    VIEWER = 2
    """Read everything."""
    OPERATOR = 3
    """Act on breakers and run checks."""
    ADMIN = 4
    """Change the configuration."""

    @property
    def label(self) -> str:
        """Its name as the configuration spells it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: ``name`` becomes the actor of what is done."""

    name: str
    role: Role
    anonymous: bool = False


class TokenOptions(Protocol):
    """One entry of ``web.tokens`` in the configuration."""

    @property
    def name(self) -> str:
        """Who the token stands for."""
        ...

    @property
    def role(self) -> str:
        """``reporter``, ``viewer``, ``operator`` or ``admin``."""
        ...

    @property
    def token(self) -> Secret | None:
        """The token itself."""
        ...

    @property
    def token_file(self) -> SecretFile | None:
        """The file that holds it."""
        ...

    @property
    def expires(self) -> float | None:
        """From when on it is worth nothing, in Unix seconds; None is never."""
        ...


class Known(NamedTuple):
    """A token that is configured, as it is kept."""

    identity: Identity
    digest: bytes
    expires: float | None = None


class Tokens:
    """The configured bearer tokens. Several entries may have one name: that is a rotation."""

    def __init__(
        self, tokens: Iterable[TokenOptions] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tokens = tuple(tokens)
        self._clock = clock
        self._digests: Sequence[Known] = ()
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    def __bool__(self) -> bool:
        return bool(self._tokens)

    async def identify(self, presented: str) -> Identity | None:
        """Whose token this is, expired or not; None when it is nobody's."""
        known = await self.find(digest_of(presented))
        return None if known is None else known.identity

    async def find(self, digest: bytes) -> Known | None:
        """The token with this digest, expired or not; None when there is none any more."""
        found: Known | None = None
        for known in await self._known():
            if hmac.compare_digest(digest, known.digest):
                found = known
        return found

    async def _known(self) -> Sequence[Known]:
        async with self._reading:
            if self._clock() - self._read_at >= FRESH:
                self._digests = await asyncio.to_thread(self._read)
                self._read_at = self._clock()
            return self._digests

    def _read(self) -> list[Known]:
        known = []
        for options in self._tokens:
            try:
                secret = secret_from(options.token, options.token_file)
            except SecretError as error:
                log.error(  # noqa: TRY400 - a person's mistake, the message says it all
                    "token is not usable",
                    extra={"fields": {"token": options.name, "error": str(error)}},
                )
                continue
            if secret is not None:
                identity = Identity(options.name, Role[options.role.upper()])
                known.append(Known(identity, digest_of(secret.reveal()), options.expires))
        return known


def digest_of(secret: str) -> bytes:
    """What is kept of a secret: worth nothing outside this process."""
    return hmac.digest(_KEY, secret.encode("utf-8", "surrogateescape"), hashlib.sha256)
