"""Rule: a handshake is judged by its certificates and its version."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from cbmon.model import Reason

NOW = dt.datetime.now(dt.UTC)


async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.transport.abort()


@pytest.fixture
async def options(bench: Any, tmp_path: Path) -> dict[str, Any]:
    """What to look at: a certificate for two names that is valid for ten days."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ends = NOW + dt.timedelta(days=10)
    ca.issue_cert("a.test", "b.test", not_after=ends).configure_cert(context)
    server = await asyncio.start_server(quiet, "127.0.0.1", 0, ssl=context)
    bench.servers.append(server)
    port = server.sockets[0].getsockname()[1]
    return {
        "address": f"127.0.0.1:{port}",
        "server_name": "a.test",
        "ca_file": tmp_path / "ca.pem",
    }


async def test_a_good_handshake_tells_about_the_certificate(
    bench: Any, options: dict[str, Any]
) -> None:
    result = await bench.look("tls", **options)

    assert result.ok, result.error
    assert result.facts["certificate"]["names"] == ["a.test", "b.test"]
    assert result.certificate_expiry == pytest.approx(NOW.timestamp() + 864_000, abs=2)
    assert result.phases.tls > 0


@pytest.mark.parametrize(
    ("reason", "message", "changes"),
    [
        (
            Reason.CERTIFICATE,
            "expires in 10.0 days, expected at least 14",
            {"expect": {"certificate_days": 14}},
        ),
        (
            Reason.TLS,
            'for "a.test, b.test", expected c.test too',
            {"expect": {"names": ["b.test", "c.test"]}},
        ),
        (Reason.TLS, "got TLS1.3, expected TLS1.2", {"expect": {"version": "TLS1.2"}}),
        (Reason.TLS, "not valid for 127.0.0.1", {"server_name": None}),
        (Reason.TLS, "local issuer", {"ca_file": None}),
        (Reason.LATENCY, "expected at most 0.001ms", {"expect": {"max_duration": 0.000001}}),
    ],
)
async def test_what_is_not_as_expected_is_named(
    reason: Reason, message: str, changes: dict[str, Any], bench: Any, options: dict[str, Any]
) -> None:
    result = await bench.look("tls", **{**options, **changes})

    assert reason is result.reason, result.error
    assert message in result.error


async def test_a_certificate_may_be_looked_at_without_trust(
    bench: Any, options: dict[str, Any]
) -> None:
    result = await bench.look(
        "tls", **{**options, "ca_file": None, "server_name": "x.test"}, insecure_skip_verify=True
    )

    assert result.ok, result.error
    assert result.certificate_expiry is not None
