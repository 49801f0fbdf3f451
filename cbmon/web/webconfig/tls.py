"""From ``tls_server_config`` to the context that connections are served with.

Rule: every file is read once, so that a context is of one moment; what cannot be used is told
with the option that named it, never with what is in it.
"""

from __future__ import annotations

import os
import ssl
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cbmon.web.webconfig.model import TlsSection
from cbmon.web.webconfig.names import CIPHERS, CURVES, SINGLE, TLS13_CIPHERS, VERSIONS, ClientAuth
from cbmon.web.webconfig.openssl import UnsupportedError, accept_any_certificate, set_groups

LARGEST: Final = 1 << 20


class OptionError(Exception):
    """An option cannot be used: which one, and why."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option
        self.message = message


def context_of(section: TlsSection, directory: Path) -> ssl.SSLContext:
    """The context; OptionError. Relative paths begin in ``directory``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _set_versions(context, section)
    _set_ciphers(context, section)
    _load_own(context, section, directory)
    _set_clients(context, section, directory)
    if section.curve_preferences:
        _set_curves(context, section.curve_preferences)
    return context


def files_of(section: TlsSection, directory: Path) -> tuple[Path, ...]:
    """The files that it names."""
    named = (section.cert_file, section.key_file, section.client_ca_file)
    return tuple(directory / name for name in named if name)


def _set_versions(context: ssl.SSLContext, section: TlsSection) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 was asked for by name
        context.minimum_version = VERSIONS[section.min_version]
        context.maximum_version = VERSIONS[section.max_version]


def _set_ciphers(context: ssl.SSLContext, section: TlsSection) -> None:
    if not section.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    listed = section.cipher_suites
    names = [CIPHERS[name] for name in listed if name not in TLS13_CIPHERS]
    if listed and not names:
        if section.max_version != "TLS13":
            message = f"none of them is a cipher of {section.max_version}"
            raise OptionError("cipher_suites", message)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return
    legacy = section.min_version in {"TLS10", "TLS11"}
    if names or legacy:
        # OpenSSL 3 has TLS before 1.2 only at its lowest security level
        level = ":@SECLEVEL=0" if legacy else ""
        context.set_ciphers((":".join(names) or "DEFAULT") + level)


def _set_curves(context: ssl.SSLContext, names: Sequence[str]) -> None:
    if len(names) == 1:
        context.set_ecdh_curve(SINGLE[names[0]])
        return
    with _as_option("curve_preferences"):
        set_groups(context, [CURVES[name] for name in names])


def _load_own(context: ssl.SSLContext, section: TlsSection, directory: Path) -> None:
    cert = _content(section, "cert_file", section.cert.encode(), directory)
    key = _content(section, "key_file", section.key.reveal().encode(), directory)
    cert_option = "cert_file" if section.cert_file else "cert"
    key_option = "key_file" if section.key_file else "key"
    if b"-----BEGIN CERTIFICATE-----" not in cert:
        raise OptionError(cert_option, "expected a certificate in PEM")
    if b"PRIVATE KEY-----" not in key:
        raise OptionError(key_option, "expected a private key in PEM")
    if b"ENCRYPTED" in key:
        raise OptionError(key_option, "the key is encrypted; a server needs one that is not")
    with _in_memory(cert) as cert_path, _in_memory(key) as key_path:
        try:
            context.load_cert_chain(cert_path, key_path, password=b"")
        except ssl.SSLError as error:
            raise OptionError(*_own_problem(error, cert_option, key_option)) from error


def _own_problem(error: ssl.SSLError, cert_option: str, key_option: str) -> tuple[str, str]:
    match error.reason:
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH":
            return key_option, "the key does not belong to the certificate"
        case "EE_KEY_TOO_SMALL" | "CA_KEY_TOO_SMALL" | "CA_MD_TOO_WEAK":
            return cert_option, "the certificate is too weak for this OpenSSL"
    reason = (error.reason or "unreadable").replace("_", " ").lower()
    return cert_option, f"certificate and key cannot be used: {reason}"


def _set_clients(context: ssl.SSLContext, section: TlsSection, directory: Path) -> None:
    policy = section.client_auth
    if policy is ClientAuth.NONE:
        return
    context.verify_mode = ssl.CERT_REQUIRED if policy.requires else ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as Go: what is listed is trusted
    option = "client_ca_file" if section.client_ca_file else "client_ca"
    if section.client_ca_file or section.client_ca:
        data = _content(section, "client_ca_file", section.client_ca.encode(), directory)
        try:
            context.load_verify_locations(cadata=data.decode("ascii", "replace"))
        except (ssl.SSLError, ValueError) as error:
            raise OptionError(option, "expected certificates in PEM") from error
    elif policy.verifies:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if not policy.verifies:
        with _as_option("client_auth_type"):
            accept_any_certificate(context)


def _content(section: TlsSection, option: str, inline: bytes, directory: Path) -> bytes:
    named: str = getattr(section, option)
    if not named:
        return inline
    path = directory / named
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise OptionError(option, f"cannot read {path}: {error.strerror}") from error
    if len(data) > LARGEST:
        raise OptionError(option, f"{path} is larger than {LARGEST >> 20} MiB")
    return data


@contextmanager
def _as_option(option: str) -> Iterator[None]:
    try:
        yield
    except UnsupportedError as error:
        raise OptionError(option, str(error)) from error


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """A file for a library that reads nothing else; a key never reaches a disk."""
    handle = os.memfd_create("cbmon", os.MFD_CLOEXEC)
    try:
        with open(handle, "wb", closefd=False) as file:
            file.write(data)
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
