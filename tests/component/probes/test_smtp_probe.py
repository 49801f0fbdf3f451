"""Rule: a mail server is greeted as a careful client would, and left without a mail."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from cbmon.model import Reason

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class Mail:
    """A mail server that says what it is told to."""

    def __init__(self, *, greeting: str = "220 mx.test ESMTP", offers: str = "STARTTLS") -> None:
        self.greeting = greeting
        self.replies = {
            "EHLO": f"250-mx.test\r\n250-PIPELINING\r\n250-{offers}\r\n250 AUTH LOGIN PLAIN",
            "STARTTLS": "454 not now",
            "QUIT": "221 bye",
        }
        self.told: list[str] = []

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        writer.write(f"{self.greeting}\r\n".encode())
        while line := (await reader.readline()).decode():
            self.told.append(line.strip())
            writer.write(self.replies[line.split()[0]].encode() + b"\r\n")
        writer.close()


async def greeted(bench: Any, server: Mail, **options: Any) -> Any:
    port = await bench.raw(server)
    return await bench.look("smtp", address=f"127.0.0.1:{port}", **options)


async def test_a_server_is_greeted_and_left(bench: Any) -> None:
    server = Mail()

    result = await greeted(bench, server, ehlo="probe.test")

    assert result.ok, result.error
    assert server.told[0] == "EHLO probe.test"
    assert result.facts["banner"] == "mx.test ESMTP"
    assert result.facts["capabilities"] == ["PIPELINING", "STARTTLS", "AUTH LOGIN PLAIN"]


async def test_what_is_offered_is_held_against_expectations(bench: Any) -> None:
    expect = {"banner": "^mx[.]test ", "capabilities": ["pipelining", "AUTH PLAIN"]}

    assert (await greeted(bench, Mail(), expect=expect)).ok


@pytest.mark.parametrize(
    ("reason", "error", "server", "options"),
    [
        (Reason.STATUS, 'got 554 "no", expected 220 (the greeting)', {"greeting": "554 no"}, {}),
        (
            Reason.BODY,
            "the greeting is \"mx.test ESMTP\", expected a match for '^other'",
            {},
            {"expect": {"banner": "^other"}},
        ),
        (Reason.HEADER, "does not offer 8BITMIME", {}, {"expect": {"capabilities": ["8BITMIME"]}}),
        (Reason.HEADER, "does not offer AUTH X", {}, {"expect": {"capabilities": ["AUTH X"]}}),
        (Reason.TLS, "does not offer STARTTLS", {"offers": "HELP"}, {"security": "starttls"}),
        (Reason.TLS, 'got 454 "not now", expected 220 (STARTTLS)', {}, {"security": "starttls"}),
        (Reason.TLS, "no TLS was spoken", {}, {"expect": {"certificate_days": 1}}),
        (Reason.PROTOCOL, 'got "SSH-2.0-x", expected a reply', {"greeting": "SSH-2.0-x"}, {}),
        (Reason.PROTOCOL, 'got "221 b", expected a reply', {"greeting": "220-a\r\n221 b"}, {}),
    ],
)
async def test_what_is_not_right_is_told(
    reason: Reason, error: str, server: dict[str, str], options: dict[str, Any], bench: Any
) -> None:
    result = await greeted(bench, Mail(**server), **options)

    assert result.reason is reason, result.error
    assert error in result.error


async def test_what_is_slipped_in_before_tls_is_not_believed(bench: Any, tmp_path: Path) -> None:
    server = Mail()
    server.replies["STARTTLS"] = "220 go\r\n250-mx.test\r\n250 AUTH PLAIN"

    result = await greeted(
        bench, server, security="starttls", expect={"capabilities": ["AUTH PLAIN"]}
    )

    assert result.reason is Reason.PROTOCOL
    assert "went on in the clear where TLS had to begin" in result.error


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_certificates_are_looked_at(security: str, bench: Any, tmp_path: Path) -> None:
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("mx.test").configure_cert(context)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = Mail()

    async def at_once(reader: Reader, writer: Writer) -> None:
        if security == "tls":
            return await server(reader, writer)
        writer.write(b"220 mx.test\r\n")
        await reader.readline()
        writer.write(b"250-mx.test\r\n250 STARTTLS\r\n")
        assert await reader.readline() == b"STARTTLS\r\n"
        writer.write(b"220 go\r\n")
        await writer.drain()
        await writer.start_tls(context)
        await reader.readline()
        writer.write(b"250-mx.test\r\n250 AUTH PLAIN\r\n")
        await reader.read()
        return writer.close()

    port = await bench.raw(at_once, context if security == "tls" else None)
    tls = {"ca_file": str(tmp_path / "ca.pem"), "server_name": "mx.test"}
    good = await bench.look(
        "smtp",
        address=f"127.0.0.1:{port}",
        security=security,
        tls=tls,
        expect={"capabilities": ["AUTH PLAIN"], "certificate_days": 1},
    )
    wrong = await bench.look(
        "smtp", address=f"127.0.0.1:{port}", security=security, tls={**tls, "server_name": "x.test"}
    )

    assert good.ok, good.error
    assert good.certificate_expiry is not None
    assert good.phases.tls > 0
    assert wrong.reason is Reason.TLS
    assert "not valid for x.test" in wrong.error
