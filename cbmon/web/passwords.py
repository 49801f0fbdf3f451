"""Users with bcrypt-hashed passwords, as the web-config file has them.

Rule: one hash is computed at a time, in a thread; what was right is remembered as a keyed digest,
so that a scraper costs one hash. An unknown user takes as long as a wrong password.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from cbmon.config.secrets import Secret
from cbmon.web.auth import digest_of

REMEMBERED: Final = 100
LONGEST: Final = 72
"""Bytes of a password that bcrypt looks at; Go's ignores the rest, so we do."""
_SALT: Final = 22
_HASH: Final = 31
_ANY_SALT: Final = "." * _SALT


class Passwords:
    """The users of ``basic_auth_users`` by name, with the hash of each."""

    def __init__(self, users: Mapping[str, Secret] | None = None) -> None:
        self._users = dict(users or {})
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._hashing = asyncio.Lock()

    def __bool__(self) -> bool:
        return bool(self._users)

    def credential(self, user: str) -> bytes | None:
        """What stands for a user's present password; None for an unknown user."""
        known = self._users.get(user)
        return None if known is None else digest_of(f"{user}\0{known.reveal()}")

    def remembers(self, user: str, password: str) -> bool:
        """Whether exactly this was right before; takes no time."""
        key = self._key(user, password)
        if key not in self._right:
            return False
        self._right.move_to_end(key)
        return True

    async def check(self, user: str, password: str) -> bool:
        """Whether this is the user's password."""
        if self.remembers(user, password):
            return True
        known = self._users.get(user)
        hashed = self._stand_in() if known is None else known.reveal()
        async with self._hashing:
            right = await asyncio.to_thread(_matches, hashed, password) and known is not None
        if right:
            self._right[self._key(user, password)] = None
            if len(self._right) > REMEMBERED:
                self._right.popitem(last=False)
        return right

    def _key(self, user: str, password: str) -> bytes:
        known = self._users.get(user)
        return digest_of("\0".join((user, known.reveal() if known else "", password)))

    def _stand_in(self) -> str:
        """A hash that is as dear as the dearest and that nothing fits."""
        costs = (_parts(secret.reveal())[0] for secret in self._users.values())
        return f"$2b${max(costs, default=10):02d}${_ANY_SALT}{'.' * _HASH}"


def hash_password(password: str, cost: int) -> str:
    """The bcrypt hash; ValueError when the password is longer than 72 bytes or holds NUL."""
    import bcrypt  # noqa: PLC0415 - only where passwords are

    data = password.encode()
    if len(data) > LONGEST:
        raise ValueError(f"expected at most {LONGEST} bytes, got {len(data)}: bcrypt ignores more")
    return bcrypt.hashpw(data, bcrypt.gensalt(cost)).decode()


def _matches(hashed: str, password: str) -> bool:
    import bcrypt  # noqa: PLC0415 - only where passwords are

    cost, salt, expected = _parts(hashed)
    data = password.encode("utf-8", "surrogateescape")[:LONGEST]
    try:
        found = bcrypt.hashpw(data, f"$2b${cost:02d}${salt}".encode())
    except ValueError:  # a NUL byte in the password, a salt that is none
        return False
    return hmac.compare_digest(found[-_HASH:], expected.encode())


def _parts(hashed: str) -> tuple[int, str, str]:
    """Cost, salt and hash; the minor version makes no difference to Go either."""
    cost, _, rest = hashed.lstrip("$").partition("$")[2].partition("$")
    return int(cost), rest[:_SALT], rest[_SALT:]
