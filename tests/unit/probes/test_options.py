"""Rule: what can be found wrong without the target is found wrong in the options."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from cbmon.probes.http.options import HttpOptions, StatusRange
from cbmon.probes.tcp import TcpOptions

URL = "https://shop.example.net/health"


def test_defaults_suit_a_health_check() -> None:
    options = HttpOptions(url=URL)

    assert options.method == "GET"
    assert options.expect.status == (StatusRange(200, 299),)
    assert options.max_redirects == 10
    assert options.max_body_size == 5 * 1024 * 1024
    assert options.tls.min_version == "TLS1.2"
    assert options.family == "any"


def test_the_example_of_the_contract_is_understood() -> None:
    expect = {
        "status": [200],
        "body": {"matches": "ok"},
        "json": {"$.db": "up"},
        "max_duration": "800ms",
        "certificate_days": 14,
    }

    options = HttpOptions.model_validate({"url": URL, "expect": expect})

    assert options.expect.max_duration == 0.8
    assert options.expect.certificate_days == 14
    assert [str(path) for path in options.expect.json_paths] == ["$.db"]


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("expected a status", {"expect": {"status": ["2x"]}}),
        ("expected a status", {"expect": {"status": [True]}}),
        ("expected a status", {"expect": {"status": [99]}}),
        ("ends before it begins", {"expect": {"status": ["299-200"]}}),
        ("at least 1 item", {"expect": {"status": []}}),
        ("RE2", {"expect": {"body": {"matches": "(?=x)"}}}),
        ("not a possible header name", {"headers": {"a b": "c"}}),
        ("not a possible header name", {"expect": {"headers": {"matches": {"a:": "c"}}}}),
        ("control characters", {"headers": {"a": "b\r\nc: d"}}),
        ("control characters", {"host": "a\nb"}),
        ("the option host", {"headers": {"Host": "a"}}),
        ("the option compression", {"headers": {"Accept-Encoding": "gzip"}}),
        ("string_pattern_mismatch", {"method": "get it"}),
        ("exclude each other", {"body": "a", "body_file": "b"}),
        ("exclude each other", {"bearer_token": "a", "bearer_token_file": "b"}),
        (
            "exclude each other",
            {"bearer_token": "a", "basic_auth": {"username": "u", "password": "p"}},
        ),
        ("exclude each other", {"bearer_token": "a", "headers": {"authorization": "x"}}),
        ("one of password, password_file is missing", {"basic_auth": {"username": "u"}}),
        ("expected an IPv4 or IPv6 address", {"source_address": "localhost"}),
        ("not of the family", {"source_address": "::1", "family": "ipv4"}),
        ("literal_error", {"family": "inet"}),
        ("literal_error", {"tls": {"min_version": "SSL3"}}),
        ("key_file needs cert_file", {"tls": {"key_file": "key.pem"}}),
        ("greater_than", {"max_body_size": 0}),
        ("less_than_equal", {"max_redirects": 101}),
        ("extra_forbidden", {"expcet": {}}),
        ("expected a path such as", {"expect": {"json": {"db": 1}}}),
    ],
)
def test_what_cannot_work_is_refused(message: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        HttpOptions.model_validate({"url": URL, **changes})

    assert message in str(caught.value)


@pytest.mark.parametrize("address", ["a.test", "a.test:0", "a.test:65536", "http://a.test:80", 80])
def test_a_tcp_address_has_a_host_and_a_port(address: Any) -> None:
    with pytest.raises(ValidationError):
        TcpOptions.model_validate({"address": address})


@pytest.mark.parametrize(
    ("expected", "family", "source"),
    [
        ("any", "any", None),
        ("ipv4", "any", "192.0.2.1"),
        ("ipv6", "prefer_ipv4", "::1"),
        ("prefer_ipv6", "prefer_ipv6", None),
    ],
)
def test_a_source_address_decides_the_family(
    expected: str, family: Any, source: str | None
) -> None:
    options = HttpOptions(url=URL, family=family, source_address=source)

    assert expected == options.usable_family


def test_no_secret_shows_in_a_dump() -> None:
    options = HttpOptions.model_validate(
        {"url": URL, "basic_auth": {"username": "u", "password": "hunter2"}}
    )

    assert "hunter2" not in options.model_dump_json() + repr(options)
    assert HttpOptions(url=URL, bearer_token=None) == HttpOptions(url=URL, bearer_token=None)
