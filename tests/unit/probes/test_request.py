"""Rule: a redirect is followed as browsers do, and takes no credential to another origin."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError
from cbmon.probes.http.request import Request, redirected

HOME = URL("https://shop.example.net/a/b?x=1")
SECRETS = {
    "Authorization": "Bearer t",
    "Cookie": "session=1",
    "X-Api-Key": "k",
    "Proxy-Authorization": "p",
    "X-Auth-Token": "t",
}
HARMLESS = {"Accept": "text/html", "User-Agent": "cbmon"}


def request(
    headers: dict[str, str] | None = None, method: str = "GET", body: bytes | None = None
) -> Request:
    return Request(
        method=method, url=HOME, headers=headers or {}, body=body, host="other.example.net"
    )


@pytest.mark.parametrize(
    ("expected", "location"),
    [
        ("https://shop.example.net/c", "/c"),
        ("https://shop.example.net/a/c", "c"),
        ("https://shop.example.net/a/b?y=2", "?y=2"),
        ("https://shop.example.net/c", "https://shop.example.net:443/c"),
        ("https://else.example.net/c", "//else.example.net/c#top"),
        ("http://shop.example.net/c%2Fd", "http://shop.example.net/c%2Fd"),
        ("https://else.example.net/", "https://user:password@else.example.net/"),
    ],
)
def test_the_place_is_understood_relative_to_where_it_was_said(
    expected: str, location: str
) -> None:
    assert str(redirected(request(), 302, location).url) == expected


@pytest.mark.parametrize(
    "location",
    [
        "https://else.example.net/",
        "http://shop.example.net/",
        "https://shop.example.net:8443/",
        "//shop.example.net.evil.test/",
    ],
)
def test_credentials_do_not_cross_origins(location: str) -> None:
    following = redirected(request(SECRETS | HARMLESS), 302, location)

    assert following.headers == HARMLESS
    assert following.host is None
    assert not following.home


def test_credentials_do_not_come_back_when_the_way_leads_home_again() -> None:
    away = redirected(request(SECRETS), 302, "https://else.example.net/")
    back = redirected(away, 302, str(HOME))

    assert back.headers == {}
    assert not back.home


def test_credentials_stay_within_their_origin() -> None:
    following = redirected(request(SECRETS), 302, "/c")

    assert following.headers == SECRETS
    assert following.host == "other.example.net"
    assert following.home


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("PUT", 303, "GET"),
        ("PUT", 302, "PUT"),
        ("HEAD", 303, "HEAD"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
    ],
)
def test_the_method_changes_as_browsers_do_it(method: str, status: int, expected: str) -> None:
    following = redirected(request({"Content-Type": "a/b"}, method, b"data"), status, "/c")

    assert expected == following.method
    kept = expected == method
    assert following.body == (b"data" if kept else None)
    assert ("Content-Type" in following.headers) is kept


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "gopher://x/", "javascript:alert(1)", "http://", "http:///x", "ftp://x"],
)
def test_only_http_is_followed(location: str) -> None:
    with pytest.raises(ProbeError) as caught:
        redirected(request(), 302, location)

    assert caught.value.reason is Reason.REDIRECT


@given(st.text(max_size=60))
def test_any_location_is_followed_or_refused(location: str) -> None:
    with contextlib.suppress(ProbeError):
        following = redirected(request(SECRETS), 302, location)

        assert following.url.scheme in {"http", "https"}
        assert following.url.user is None
        assert following.home == (following.url.origin() == HOME.origin())


@pytest.mark.parametrize(
    ("expected", "host"),
    [("a.test", "a.test"), ("a.test", "a.test:8443"), ("shop.example.net", None)],
)
def test_the_name_for_tls_is_the_host_header(expected: str, host: str | None) -> None:
    assert Request(method="GET", url=HOME, headers={}, host=host).name == expected
