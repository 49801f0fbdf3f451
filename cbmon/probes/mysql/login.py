"""Logging in to a MySQL server: what each of its plug-ins is answered.

Rule: nothing here moves a byte. The password leaves as it is only where nobody can listen (TLS, a
socket), and encrypted only under a key that is configured, or that may be fetched from whoever
answers. A server that wants it in another way is refused.
"""

from __future__ import annotations

from itertools import cycle
from typing import Final

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.mysql import wire
from cbmon.probes.mysql.ed25519 import sign
from cbmon.probes.mysql.rsa import PublicKey, encrypted, public_key

_FAST, _FULL = b"\x03", b"\x04"
_ASK_FOR_KEY: Final = b"\x02"
_ASK_FOR_OLD_KEY: Final = b"\x01"
"""The same of ``sha256_password``."""
_SOCKETS: Final = frozenset({"unix_socket", "auth_socket"})


class Login:
    """One login, from the greeting to the verdict.

    ``private``: nobody can listen. ``key`` is the server's, if it is configured; with ``fetch`` the
    one that it sends is believed.
    """

    def __init__(
        self, password: str, *, private: bool, key: PublicKey | None = None, fetch: bool = False
    ) -> None:
        self._password = password
        self._private = private
        self._key = key
        self._fetch = fetch
        self._salt = b""
        self.plugin = ""
        self._fetching = False

    def begin(self, plugin: str, salt: bytes) -> bytes:
        """The answer to the greeting; :attr:`plugin` is the one that it is for."""
        self.plugin = plugin if plugin in wire.SCRAMBLES else "mysql_native_password"
        self._salt = salt
        return wire.SCRAMBLES[self.plugin](self._password, salt)

    def switched(self, plugin: str, salt: bytes) -> bytes:
        """The answer to a request to log in in another way; ProbeError (``auth``) for no way."""
        self.plugin, self._salt = plugin, salt
        self._fetching = False
        if plugin in wire.SCRAMBLES:
            return wire.SCRAMBLES[plugin](self._password, salt)
        if plugin in _SOCKETS:
            return b""
        if plugin == "client_ed25519":
            return sign(self._password.encode(), salt)
        if plugin == "sha256_password":
            return self._whole() if self._password else b"\0"
        if plugin == "mysql_clear_password":
            if not self._private:
                raise _refused("the server asks for the password as it is, which needs TLS")
            return self._plain()
        raise _refused(f"the server asks for {shown(plugin)} to log in, which is not supported")

    def more(self, data: bytes) -> bytes | None:
        """The answer to further data of the plug-in; None if it only waits for the verdict."""
        if self._fetching:
            self._fetching = False
            return self._under(_key_of(data))
        if data == _FAST:
            return None
        if data == _FULL:
            return self._whole()
        raise wire.malformed()

    def _whole(self) -> bytes:
        """The password itself, as safe as it has to be; or the request for a key to it."""
        if self._private:
            return self._plain()
        if self._key is not None:
            return self._under(self._key)
        if self._fetch:
            self._fetching = True
            return _ASK_FOR_OLD_KEY if self.plugin == "sha256_password" else _ASK_FOR_KEY
        raise _refused(
            "the server asks for the password itself, which needs TLS or its public key "
            "(server_public_key_file)"
        )

    def _under(self, key: PublicKey) -> bytes:
        mixed = bytes(
            a ^ b for a, b in zip(self._plain(), cycle(self._salt or b"\0"), strict=False)
        )
        try:
            return encrypted(key, mixed)
        except ValueError as error:
            raise _refused("the password is too long for the server's public key") from error

    def _plain(self) -> bytes:
        return self._password.encode() + b"\0"


def _key_of(data: bytes) -> PublicKey:
    try:
        return public_key(data)
    except ValueError as error:
        raise ProbeError(Reason.PROTOCOL, f"the server sent no key: {error}") from error


def _refused(text: str) -> ProbeError:
    return ProbeError(Reason.AUTH, text)
