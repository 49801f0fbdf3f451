"""TLS towards the servers that exports talk to: options, and contexts shared between exports.

Rule: a context is made once per set of options and read again only when one of its files has
changed, in a thread: reading the system's certificates takes tens of milliseconds.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from cbmon.config.fields import LocalPath, Options, fault
from cbmon.errors import ConfigurationError


class TlsFileError(ConfigurationError):
    """A certificate or key file cannot be used now."""


class TlsOptions(Options):
    """How a server proves who it is, and how cbmon does."""

    ca_file: LocalPath | None = Field(
        None, description="Trust only certificates signed by those in this PEM file."
    )
    cert_file: LocalPath | None = Field(
        None, description="Client certificate, a PEM file; needs key_file."
    )
    key_file: LocalPath | None = Field(None, description="The client certificate's key, PEM.")
    server_name: str | None = Field(
        None, min_length=1, description="Expect a certificate for this name, not for the URL's."
    )
    insecure_skip_verify: bool = Field(
        False, description="Accept any certificate. Anyone on the way can read and change."
    )

    @model_validator(mode="after")
    def _check(self) -> TlsOptions:
        if (self.cert_file is None) != (self.key_file is None):
            raise fault("cert_file and key_file belong together; give both or none")
        return self


class TlsContexts:
    """The TLS contexts in use, by options."""

    def __init__(self) -> None:
        self._made: dict[TlsOptions, tuple[tuple[object, ...], ssl.SSLContext]] = {}

    async def get(self, options: TlsOptions) -> ssl.SSLContext:
        """The context for these options; TlsFileError when a file cannot be used."""
        try:
            stamps = tuple(_stamp(path) for path in _files(options))
            made = self._made.get(options)
            if made is None or made[0] != stamps:
                made = stamps, await asyncio.to_thread(_context, options)
                self._made[options] = made
        except OSError as error:  # ssl.SSLError is one: not PEM, or a key of another certificate
            names = ", ".join(str(path) for path in _files(options))
            raise TlsFileError(f"cannot use {names}: {error.strerror or error}") from error
        return made[1]


def _files(options: TlsOptions) -> list[Path]:
    given = (options.ca_file, options.cert_file, options.key_file)
    return [path for path in given if path is not None]


def _stamp(path: Path) -> tuple[Any, ...]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _context(options: TlsOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif options.ca_file is not None:
        context.load_verify_locations(options.ca_file)
    else:
        _trust_the_system(context)
    if options.cert_file is not None:
        context.load_cert_chain(options.cert_file, options.key_file)
    return context


def _trust_the_system(context: ssl.SSLContext) -> None:
    """Load the bundle file alone: with its folder, OpenSSL lists that at every handshake."""
    bundle = ssl.get_default_verify_paths().cafile or ""
    if bundle:
        context.load_verify_locations(bundle)
    else:
        context.load_default_certs()
