"""Rule: whatever is wrong with a target's TLS is reason ``tls``, in words that help."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from cbmon.model import Reason


@pytest.fixture(params=[True, False], ids=["direct", "general"])
def direct(request: pytest.FixtureRequest) -> bool:
    """Every test goes both ways: they must agree."""
    return bool(request.param)


Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


async def good(reader: Reader, writer: Writer) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()


async def banner(reader: Reader, writer: Writer) -> None:
    writer.write(b"220 mail.example.net ESMTP\r\n")
    await asyncio.sleep(3600)


async def plain_http(reader: Reader, writer: Writer) -> None:
    await reader.read(5)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


async def silent(reader: Reader, writer: Writer) -> None:
    await asyncio.sleep(3600)


async def hanging_up(reader: Reader, writer: Writer) -> None:
    await reader.read(5)


async def half_closing(reader: Reader, writer: Writer) -> None:
    await reader.read(5)
    writer.write_eof()
    await asyncio.sleep(3600)


async def garbage(reader: Reader, writer: Writer) -> None:
    while True:
        writer.write(b"\x16\x03\x03\x40\x00" + b"\xff" * 65536)
        await writer.drain()


async def dripping(reader: Reader, writer: Writer) -> None:
    writer.write(b"\x16\x03\x03\x10\x00")
    while True:
        writer.write(b"\x02")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("target", "reason", "message"),
    [
        (banner, Reason.TLS, "does not speak TLS"),
        (plain_http, Reason.TLS, "does not speak TLS"),
        (silent, Reason.TIMEOUT, "in the TLS handshake with 127.0.0.1"),
        (dripping, Reason.TIMEOUT, "in the TLS handshake"),
        (hanging_up, Reason.TLS, "closed the connection in the TLS handshake"),
        (half_closing, Reason.TLS, "closed the connection in the TLS handshake"),
        (garbage, Reason.TLS, "TLS with 127.0.0.1"),
    ],
)
@pytest.mark.parametrize("kind", ["http", "tcp", "tls"])
async def test_a_target_without_tls_on_its_tls_port_is_named(
    kind: str,
    target: Callable[[Reader, Writer], Awaitable[None]],
    reason: Reason,
    message: str,
    targets: Any,
    authority: Any,
    neighbours: list[Any],
    memory: Callable[[], int],
) -> None:
    timeout = 0.4 if reason is Reason.TIMEOUT else 5.0
    port = await targets.serve(target)

    result = await looked_at(kind, targets, port, timeout, ca_file=authority.file)

    assert reason is result.reason, result.error
    assert message in result.error
    assert result.duration < timeout + 0.5
    assert memory() < 20 * 1024 * 1024


async def looked_at(kind: str, targets: Any, port: int, timeout: float = 5.0, **tls: Any) -> Any:
    if kind == "tls":
        options = {"address": f"127.0.0.1:{port}", "server_name": "target.test", **tls}
        return await targets.look(targets.probe("tls", **options), timeout)
    if kind == "tcp":
        return await targets.tcp(port, timeout, tls={"server_name": "target.test", **tls})
    return await targets.http(
        port,
        timeout,
        url=f"https://127.0.0.1:{port}/",
        tls={"server_name": "target.test", **tls},
        expect={"tls": True, "body": {"matches": "ok"}},
    )


@pytest.mark.parametrize("kind", ["http", "tcp", "tls"])
async def test_a_good_certificate_is_told(kind: str, targets: Any, authority: Any) -> None:
    port = await targets.serve(good, authority.server("target.test", not_after=NOW + 30 * DAY))

    result = await looked_at(kind, targets, port, ca_file=authority.file)

    assert result.ok, result.error
    assert result.facts["certificate"]["names"] == ["target.test"]
    assert result.facts["certificate"]["days_left"] == pytest.approx(30, abs=0.1)
    assert result.facts["tls_version"] == "TLSv1.3"
    assert result.certificate_expiry == pytest.approx((NOW + 30 * DAY).timestamp(), abs=1)
    assert min(result.phases.resolve, result.phases.connect, result.phases.tls) > 0
    assert sum(result.phases) <= result.duration


@pytest.mark.parametrize("kind", ["http", "tcp"])
@pytest.mark.parametrize(
    ("names", "dates", "trusted", "message"),
    [
        (["target.test"], {"not_after": NOW - DAY, "not_before": NOW - 9 * DAY}, True, "expired"),
        (
            ["target.test"],
            {"not_after": NOW + 9 * DAY, "not_before": NOW + DAY},
            True,
            "not yet valid",
        ),
        (["other.test"], {}, True, "hostname mismatch"),
        (["target.test"], {}, False, "unable to get local issuer certificate"),
    ],
    ids=["expired", "not-yet-valid", "wrong-name", "unknown-authority"],
)
async def test_a_bad_certificate_is_named_and_can_be_accepted(
    kind: str,
    names: list[str],
    dates: dict[str, Any],
    trusted: bool,
    message: str,
    targets: Any,
    authority: Any,
) -> None:
    port = await targets.serve(good, authority.server(*names, **dates))
    trust = {"ca_file": authority.file} if trusted else {}

    refused = await looked_at(kind, targets, port, **trust)
    accepted = await looked_at(kind, targets, port, insecure_skip_verify=True)

    assert refused.reason is Reason.TLS
    assert message in refused.error
    assert "target.test" in refused.error
    assert accepted.ok, accepted.error
    assert accepted.certificate_expiry is not None


async def test_a_self_signed_certificate_is_named(targets: Any, tmp_path: Path) -> None:
    itself = trustme.CA()
    (tmp_path / "key.pem").write_bytes(itself.private_key_pem.bytes())
    (tmp_path / "cert.pem").write_bytes(itself.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    port = await targets.serve(good, context)

    result = await looked_at("http", targets, port)

    assert result.reason is Reason.TLS
    assert "self-signed certificate" in result.error


async def test_a_certificate_that_expires_soon_fails_with_its_own_reason(
    targets: Any, authority: Any
) -> None:
    port = await targets.serve(good, authority.server("target.test", not_after=NOW + 3 * DAY))

    result = await targets.http(
        port,
        url=f"https://127.0.0.1:{port}/",
        tls={"server_name": "target.test", "ca_file": authority.file},
        expect={"certificate_days": 14},
    )

    assert result.reason is Reason.CERTIFICATE
    assert "expires in 3.0 days, expected at least 14 days" in result.error
    assert result.certificate_expiry is not None


@contextlib.contextmanager
def strict(context: ssl.SSLContext, connections: int) -> Iterator[int]:
    """A server that says why it refuses a handshake, as asyncio's does not; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(connections):
                plain, _ = listener.accept()
                plain.settimeout(2)
                secure = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
                with secure, contextlib.suppress(OSError):
                    converse(secure)

        def converse(secure: ssl.SSLSocket) -> None:
            try:
                secure.do_handshake()
            except ssl.SSLError:
                os.read(secure.fileno(), 65536)  # unread data would turn the farewell to a reset
                raise
            while secure.recv(4096)[-4:] != b"\r\n\r\n":
                pass
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


async def test_an_old_version_of_tls_is_refused(targets: Any, authority: Any) -> None:
    context = authority.server("target.test")
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    with strict(context, 1) as port:
        result = await looked_at(
            "http", targets, port, ca_file=authority.file, min_version="TLS1.3"
        )

    assert result.reason is Reason.TLS
    assert "alert protocol version" in result.error


async def test_a_target_that_wants_a_client_certificate_gets_it(
    targets: Any, authority: Any, tmp_path: Path
) -> None:
    context = authority.server("target.test")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    client = authority.ca.issue_cert("client.test")
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")

    with strict(context, 2) as port:
        with_it = await looked_at(
            "http", targets, port, ca_file=authority.file, cert_file=tmp_path / "client.pem"
        )
        without = await looked_at("http", targets, port, ca_file=authority.file)

    assert with_it.ok, with_it.error
    assert without.reason is Reason.TLS
    assert "certificate required" in without.error


async def test_a_file_that_is_missing_fails_the_run_and_heals_when_it_appears(
    targets: Any, authority: Any, tmp_path: Path
) -> None:
    port = await targets.serve(good, authority.server("target.test"))
    probe = targets.probe(
        "http",
        url=f"https://127.0.0.1:{port}/",
        tls={"server_name": "target.test", "ca_file": tmp_path / "ca.pem"},
    )

    missing = await targets.look(probe)
    (tmp_path / "ca.pem").write_text("not a certificate")
    broken = await targets.look(probe)
    (tmp_path / "ca.pem").write_bytes(authority.file.read_bytes())
    healed = await targets.look(probe)

    assert missing.reason is broken.reason is Reason.CONFIG
    assert missing.error == f"cannot read {tmp_path}/ca.pem: no such file or directory"
    assert f"cannot use {tmp_path}/ca.pem" in broken.error
    assert healed.ok, healed.error


async def test_a_rotated_file_counts_from_the_next_run_on(
    targets: Any, authority: Any, tmp_path: Path
) -> None:
    port = await targets.serve(good, authority.server("target.test"))
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.file.read_bytes())
    tls = {"ca_file": file, "server_name": "target.test"}
    probe = targets.probe("tcp", address=f"127.0.0.1:{port}", tls=tls)

    before = await targets.look(probe)
    file.write_bytes(trustme.CA().cert_pem.bytes())
    after = await targets.look(probe)

    assert before.ok, before.error
    assert after.reason is Reason.TLS


async def test_another_origin_is_shown_neither_certificate_nor_name(
    targets: Any, authority: Any, tmp_path: Path
) -> None:
    context = authority.server("127.0.0.1")
    context.verify_mode = ssl.CERT_OPTIONAL
    authority.ca.configure_trust(context)
    shown: list[Any] = []

    async def note(reader: Reader, writer: Writer) -> None:
        shown.append(writer.get_extra_info("ssl_object").getpeercert())
        await good(reader, writer)

    abroad = await targets.serve(note, context)

    async def redirect(reader: Reader, writer: Writer) -> None:
        shown.append(writer.get_extra_info("ssl_object").getpeercert())
        await reader.readuntil(b"\r\n\r\n")
        place = f"https://127.0.0.1:{abroad}/"
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\n\r\n".encode())
        await writer.drain()

    asking = authority.server("target.test")
    asking.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(asking)
    home = await targets.serve(redirect, asking)
    client = authority.ca.issue_cert("client.test")
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")

    result = await looked_at(
        "http", targets, home, ca_file=authority.file, cert_file=tmp_path / "client.pem"
    )

    assert result.ok, result.error
    assert [bool(certificate) for certificate in shown] == [True, False]
    assert result.facts["certificate"]["names"] == ["127.0.0.1"]


async def test_a_farewell_that_never_comes_leaves_no_socket(
    targets: Any, authority: Any, descriptors: Callable[[], int]
) -> None:
    async def clinging(reader: Reader, writer: Writer) -> None:
        await good(reader, writer)
        await asyncio.sleep(3600)

    port = await targets.serve(clinging, authority.server("target.test"))
    connection = socket.create_connection(("127.0.0.1", port))
    connection.close()
    await looked_at("http", targets, port, ca_file=authority.file)
    before = descriptors() - len(targets.conversations)

    for _ in range(5):
        assert (await looked_at("http", targets, port, ca_file=authority.file)).ok
    await asyncio.sleep(0.05)

    assert before >= descriptors() - len(targets.conversations)
