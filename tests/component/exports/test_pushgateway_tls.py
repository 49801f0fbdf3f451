"""Over TLS a push goes to a gateway that proves who it is, and to no other."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cbmon.exports.base import ExportEnvironment
from cbmon.exports.pushgateway import PushgatewayOptions
from cbmon.model import Reason
from tests.component.exports.gateway import Gateway, Metrics, attempt, export, serving


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for gateway.test, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway.test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("gateway.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "gateway.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
async def secure(certificate: Path) -> AsyncIterator[Gateway]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with serving(context) as found:
        yield found


async def test_a_certificate_nobody_signed_is_tls(
    secure: Gateway, environment: ExportEnvironment
) -> None:
    result = await export(environment, secure.url).run(attempt(), Metrics())
    assert result.reason is Reason.TLS
    assert result.error is not None
    assert result.error.endswith(": self-signed certificate")
    assert secure.pushed == []


async def test_a_certificate_for_another_name_is_tls(
    secure: Gateway, environment: ExportEnvironment, certificate: Path
) -> None:
    subject = export(environment, secure.url, tls={"ca_file": str(certificate)})
    result = await subject.run(attempt(), Metrics())
    assert result.reason is Reason.TLS


@pytest.mark.parametrize("skip", [True, False], ids=["unverified", "verified"])
async def test_a_trusted_gateway_gets_the_push(
    secure: Gateway, environment: ExportEnvironment, certificate: Path, skip: bool
) -> None:
    verified = {"ca_file": str(certificate), "server_name": "gateway.test"}
    tls = {"insecure_skip_verify": True} if skip else verified
    result = await export(environment, secure.url, tls=tls).run(attempt(), Metrics())
    assert result.ok, result.error


async def test_contexts_are_shared_and_made_anew_when_a_file_changes(
    secure: Gateway, environment: ExportEnvironment, certificate: Path, tmp_path: Path
) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_bytes(certificate.read_bytes())
    tls = {"ca_file": str(authority), "server_name": "gateway.test"}
    options = PushgatewayOptions.model_validate({"url": secure.url, "tls": tls}).tls
    first = await environment.tls.get(options)
    assert await environment.tls.get(options.model_copy()) is first
    authority.write_bytes(certificate.read_bytes() + b"\n")
    assert await environment.tls.get(options) is not first


async def test_plain_http_behind_an_https_address_is_tls(
    gateway: Gateway, environment: ExportEnvironment
) -> None:
    url = gateway.url.replace("http:", "https:")
    result = await export(environment, url).run(attempt(), Metrics())
    assert result.reason is Reason.TLS
