"""TLS as Go's client has it, on OpenSSL.

Rule: the common name is never a name; every certificate that is trusted ends a chain, whether or
not it signed itself; TLS 1.2 is the oldest version unless configured. Contexts are kept by module
file, so that probes of one module share theirs.
"""

from __future__ import annotations

import os
import ssl
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cbmon.blackbox.chains import Store, store
from cbmon.blackbox.client import TlsConfig
from cbmon.probes.contexts import VERSIONS, SharedContext, TlsContexts, TlsSettings

_trusted: weakref.WeakKeyDictionary[ssl.SSLContext, Store] = weakref.WeakKeyDictionary()
_VERSIONS: Final = {"TLS10": "1.0", "TLS11": "1.1", "TLS12": "1.2", "TLS13": "1.3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GoSettings(TlsSettings):
    """What makes one context differ from another; ``ca``, ``cert`` and ``key`` are PEM text."""

    maximum: str | None = None
    ca: str = ""
    cert: str = ""
    key: str = field(default="", repr=False)

    def files(self) -> tuple[Path, ...]:
        """The files it is made of."""
        return TlsSettings.files(self) if not self.ca else (*filter(None, (self.cert_file,)),)

    def make(self) -> ssl.SSLContext:
        """A context of its own; reads the files."""
        context = TlsSettings.make(self)
        context.hostname_checks_common_name = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self.minimum not in {"1.0", "1.1"}:
            context.set_ciphers("DEFAULT:@SECLEVEL=1")
        if self.maximum:
            context.maximum_version = VERSIONS[self.maximum]
        if self.cert:
            _load_pair(context, self.cert, self.key)
        if self.verify:
            _trusted[context] = store(context.get_ca_certs(binary_form=True))
        return context


class Contexts:
    """The contexts of one module file."""

    def __init__(self, shared: TlsContexts) -> None:
        self._shared = shared
        self._kept: dict[TlsSettings, SharedContext] = {}

    async def get(
        self, config: TlsConfig, *, alpn: tuple[str, ...] = (), abroad: bool = False
    ) -> ssl.SSLContext:
        """The context for this configuration; ``abroad`` leaves the client certificate out.

        ProbeError (``config``) when a file cannot be used.
        """
        settings = _settings(config, alpn=alpn, abroad=abroad)
        if settings not in self._kept:
            self._kept[settings] = self._shared.share(settings)
        return await self._kept[settings].get()


def trusted_by(context: ssl.SSLContext) -> Store:
    """The certificates that a context of this file trusts, by their subject."""
    return _trusted.get(context, {})


def _settings(config: TlsConfig, *, alpn: tuple[str, ...], abroad: bool) -> GoSettings:
    return GoSettings(
        ca_file=config.ca_file,
        cert_file=None if abroad else config.cert_file,
        key_file=None if abroad else config.key_file,
        verify=not config.insecure_skip_verify,
        minimum=_VERSIONS[config.min_version or "TLS12"],
        maximum=config.max_version and _VERSIONS[config.max_version],
        alpn=alpn,
        ca=config.ca,
        cert="" if abroad else config.cert,
        key="" if abroad or config.key is None else config.key.reveal(),
    )


def _load_pair(context: ssl.SSLContext, cert: str, key: str) -> None:
    """OpenSSL takes a pair from files only; this one never reaches a disk."""
    descriptor = os.memfd_create("cbmon", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, f"{cert}\n{key}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    finally:
        os.close(descriptor)
