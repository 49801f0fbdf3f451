"""TLS contexts, one per set of options.

Rule: a context is shared by all who want the same, and loads the certificate bundle rather than
its folder: OpenSSL reads a folder again at every handshake. It is made in a thread (a bundle takes
some 20 ms) and made anew when one of its files has changed.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, words

VERSIONS: Final[dict[str, ssl.TLSVersion]] = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """What makes one context differ from another."""

    ca_file: Path | None = None
    """Trusted certificates; None is the system's bundle."""
    cert_file: Path | None = None
    key_file: Path | None = None
    verify: bool = True
    minimum: str = "1.2"
    alpn: tuple[str, ...] = ()

    def files(self) -> tuple[Path, ...]:
        """The files it is made of."""
        trusted = (self.ca_file or system_bundle()) if self.verify else None
        return tuple(file for file in (trusted, self.cert_file, self.key_file) if file)

    def make(self) -> ssl.SSLContext:
        """A context of its own; reads the files."""
        return _made(self)


class SharedContext:
    """The context of one set of options, as fresh as its files."""

    def __init__(self, settings: TlsSettings) -> None:
        self.settings = settings
        self._lock = asyncio.Lock()
        self._files: tuple[Path, ...] = ()
        """What the context was made of."""
        self._stamps: list[object] = []
        self._context: ssl.SSLContext | None = None

    async def get(self) -> ssl.SSLContext:
        """The context; ProbeError (``config``) when a file cannot be used."""
        return self.ready() or await self._looked()

    def ready(self) -> ssl.SSLContext | None:
        """The context, if there is one and every file that it was made of is as it was."""
        if not self._files and self.settings.verify:  # there was no bundle: there may be one now
            return None
        try:
            return self._context if list(map(_stamp, self._files)) == self._stamps else None
        except OSError:
            return None

    async def _looked(self) -> ssl.SSLContext:
        """The context of the files as they are now."""
        try:
            files = self.settings.files()
            stamps: list[object] = list(map(_stamp, files))
            async with self._lock:
                if self._context is None or (files, stamps) != (self._files, self._stamps):
                    self._context = await asyncio.to_thread(self.settings.make)
                    self._files, self._stamps = files, stamps
                return self._context
        except (OSError, ValueError) as error:
            raise ProbeError(Reason.CONFIG, _blame(self.settings, error)) from error


class TlsContexts:
    """Hands out contexts; one that nobody holds any more is forgotten."""

    def __init__(self) -> None:
        self._shared: weakref.WeakValueDictionary[TlsSettings, SharedContext] = (
            weakref.WeakValueDictionary()
        )

    def share(self, settings: TlsSettings) -> SharedContext:
        """The one context for these settings; keep it as long as it is wanted."""
        found = self._shared.get(settings)
        if found is None:
            found = self._shared[settings] = SharedContext(settings)
        return found


def system_bundle() -> Path | None:
    """The system's trusted certificates as one file: $SSL_CERT_FILE, OpenSSL's or a usual place."""
    candidates = (os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *_BUNDLES)
    return next((Path(path) for path in candidates if path and os.path.isfile(path)), None)  # noqa: PTH113


def _stamp(file: Path) -> tuple[int, int, int]:
    found = os.stat(file)  # noqa: PTH116
    return found.st_mtime_ns, found.st_size, found.st_ino


def _made(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if settings.verify:
        bundle = settings.ca_file or system_bundle()
        if bundle is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cafile=bundle)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.minimum_version = VERSIONS[settings.minimum]
    if settings.minimum in {"1.0", "1.1"}:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file, password="")
    if settings.alpn:
        context.set_alpn_protocols(list(settings.alpn))
    return context


def _blame(settings: TlsSettings, error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot read {error.filename}: {words(error)}"
    files = ", ".join(str(file) for file in settings.files())
    detail = error.reason if isinstance(error, ssl.SSLError) and error.reason else str(error)
    return f"cannot use {files}: {detail.lower().replace('_', ' ')}"
