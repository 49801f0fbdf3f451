"""Certificates for targets: an authority, an intermediate one, and leaves good and bad.

Rule: all of it is made by the test and lies in its directory.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey


class Authority:
    """Signs certificates; ``parent`` signs its own."""

    def __init__(
        self, directory: Path, name: str, parent: Authority | None = None, *, days: float = 4000
    ) -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'Side, "by" side'),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        issuer = parent or self
        builder = _begun(self.subject, issuer.subject, self.key, days=400 if parent else days)
        self.certificate = self._signed(builder, issuer)
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(_pem(self.certificate))
        self.above: list[x509.Certificate] = [self.certificate, *parent.above] if parent else []
        """What a target has to present besides its own certificate."""

    def crossed(self, other: Authority, *, days: float) -> None:
        """Be signed by another authority, too, and present that certificate to clients."""
        builder = _begun(self.subject, other.subject, self.key, days=days)
        self.above = [self._signed(builder, other)]

    def leaf(
        self,
        name: str,
        *,
        names: Sequence[str] = ("localhost",),
        addresses: Sequence[str] = (),
        days: float = 90,
        common_name: str = "leaf",
        present: bool = True,
    ) -> Path:
        """A file with certificate, chain (if to be presented) and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Targets"),
                x509.NameAttribute(NameOID.EMAIL_ADDRESS, "ops@example.net"),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )
        builder = _begun(subject, self.subject, key, days=days)
        held: list[x509.GeneralName] = [x509.DNSName(one) for one in names]
        held += [x509.IPAddress(ipaddress.ip_address(one)) for one in addresses]
        if held:
            builder = builder.add_extension(x509.SubjectAlternativeName(held), False)
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), False)
        builder = builder.add_extension(_authority_key(self), False)
        certificate = builder.sign(self.key, hashes.SHA256())
        chain = self.above if present else []
        file = self.directory / f"{name}.pem"
        file.write_bytes(b"".join(map(_pem, [certificate, *chain])) + _private(key))
        return file

    def _signed(self, builder: x509.CertificateBuilder, issuer: Authority) -> x509.Certificate:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        builder = builder.add_extension(_subject_key(self), False)
        return builder.add_extension(_authority_key(issuer), False).sign(
            issuer.key, hashes.SHA256()
        )


def _subject_key(authority: Authority) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(authority.key.public_key())


def _authority_key(authority: Authority) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())


def _begun(
    subject: x509.Name, issuer: x509.Name, key: Key, *, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    end = now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - timedelta(days=10))
        .not_valid_after(end)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
