"""Which answers are worth another try, and that no answer's text or URL gets out."""

from __future__ import annotations

import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from cbmon.errors import ConfigurationError
from cbmon.model import Reason, Verdict
from cbmon.notify.receivers.answers import from_failure, from_status, seconds_of

NOW = 1_767_225_600.0


@pytest.mark.parametrize(
    ("status", "verdict", "reason"),
    [
        (200, Verdict.DELIVERED, None),
        (204, Verdict.DELIVERED, None),
        (299, Verdict.DELIVERED, None),
        (301, Verdict.PERMANENT, Reason.REDIRECT),
        (307, Verdict.PERMANENT, Reason.REDIRECT),
        (400, Verdict.PERMANENT, Reason.STATUS),
        (401, Verdict.PERMANENT, Reason.AUTH),
        (403, Verdict.PERMANENT, Reason.AUTH),
        (404, Verdict.PERMANENT, Reason.STATUS),
        (408, Verdict.TEMPORARY, Reason.STATUS),
        (410, Verdict.GONE, Reason.STATUS),
        (413, Verdict.PERMANENT, Reason.STATUS),
        (425, Verdict.TEMPORARY, Reason.STATUS),
        (429, Verdict.TEMPORARY, Reason.STATUS),
        (500, Verdict.TEMPORARY, Reason.STATUS),
        (503, Verdict.TEMPORARY, Reason.STATUS),
        (599, Verdict.TEMPORARY, Reason.STATUS),
    ],
)
def test_a_status_means(status: int, verdict: Verdict, reason: Reason | None) -> None:
    delivery = from_status(status, None, NOW)
    assert (delivery.verdict, delivery.reason) == (verdict, reason)
    assert verdict is Verdict.DELIVERED or str(status) in (delivery.error or "")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("Thu, 01 Jan 2026 00:01:30 GMT", 90.0),
        ("Thu, 01 Jan 2026 00:01:30", 90.0),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0.0),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("9" * 400, None),
        ("١٢", None),
    ],
)
def test_retry_after_is_read_as(header: str | None, seconds: float | None) -> None:
    assert seconds_of(header, NOW) == seconds


def _connector_error(error: type[Any], cause: OSError) -> Any:
    key = ConnectionKey("hooks.example.net", 443, True, True, None, None, None)
    return error(key, cause)


@pytest.mark.parametrize(
    ("error", "reason", "text"),
    [
        (TimeoutError(), Reason.TIMEOUT, "no answer in time"),
        (aiohttp.ServerTimeoutError(), Reason.TIMEOUT, "no answer in time"),
        (
            _connector_error(aiohttp.ClientConnectorDNSError, OSError(None, "?")),
            Reason.DNS,
            "the name does not resolve",
        ),
        (
            _connector_error(aiohttp.ClientConnectorError, OSError(111, "/token")),
            Reason.CONNECT,
            "connection refused",
        ),
        (aiohttp.ServerDisconnectedError(), Reason.CONNECT, "it closed the connection"),
        (
            _connector_error(
                aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError()
            ),
            Reason.TLS,
            "its certificate is not trusted",
        ),
        (aiohttp.ClientPayloadError("/token"), Reason.PROTOCOL, "ClientPayloadError"),
        (ValueError("/token"), Reason.PROTOCOL, "ValueError"),
    ],
)
def test_a_failure_is_temporary_and_says_no_more_than_needed(
    error: Exception, reason: Reason, text: str
) -> None:
    delivery = from_failure(error, "hooks.example.net")
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, reason)
    assert (delivery.error or "").startswith(f"hooks.example.net: {text}")
    assert "token" not in (delivery.error or "")


def test_a_secret_file_that_is_missing_now_is_tried_again() -> None:
    delivery = from_failure(ConfigurationError("cannot read secret file /run/x"), "host")
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, Reason.CONFIG)
    assert delivery.error == "cannot read secret file /run/x"
