"""URLs, redirects, cookies and proxies."""

from __future__ import annotations

import pytest

from cbmon.blackbox.asking import Ask, following, redirects
from cbmon.blackbox.client import ProxyOptions
from cbmon.blackbox.cookies import MOST, Cookies
from cbmon.blackbox.http import last_modified, target_place
from cbmon.blackbox.places import Place, parse
from cbmon.blackbox.proxies import proxy_for
from cbmon.probes.failure import ProbeError


@pytest.mark.parametrize(
    ("url", "host", "port", "netloc", "path"),
    [
        ("http://a", "a", 80, "a", "/"),
        ("https://a:8443/x?y=1#z", "a", 8443, "a:8443", "/x?y=1"),
        ("http://[::1]:80/", "::1", 80, "[::1]:80", "/"),
        ("http://a/b c?d e", "a", 80, "a", "/b%20c?d e"),
        ("http://a/!x'|%2F", "a", 80, "a", "/%21x%27%7C/"),
        ("http://a/%2F%C3%A4/", "a", 80, "a", "/%2F%C3%A4/"),
        ("http://a/%2F%C3%A4/ä", "a", 80, "a", "//%C3%A4/%C3%A4"),
        ("http://a:/", "a", 80, "a:", "/"),
        ("http://a/?", "a", 80, "a", "/?"),
        ("http://a:0000000000080/", "a", 80, "a:0000000000080", "/"),
        ("http://%C3%A4/", "%C3%A4", 80, "%C3%A4", "/"),
        ("http://[fe80::1%25eth0]/", "fe80::1%eth0", 80, "[fe80::1%25eth0]", "/"),
    ],
)
def test_urls_are_taken_apart(url: str, host: str, port: int, netloc: str, path: str) -> None:
    place = parse(url)
    assert (place.host, place.port, place.netloc, place.path) == (host, port, netloc, path)


def test_user_and_password_are_kept_apart() -> None:
    place = parse("http://us%65r:p%40ss@a/")
    assert place.user == ("user", "p@ss")
    assert place.url == "http://a/"


@pytest.mark.parametrize(
    "url",
    ["http://a\nb/", "http://[::1", "http://a b/", "http://a/%zz", "http://a:b/", "http://a%2e/"],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ProbeError):
        parse(url)


@pytest.mark.parametrize("url", ["ftp://a/", "http://a:0/", "http://a:70000/", "http:///x"])
def test_what_cannot_be_asked_is_refused_later(url: str) -> None:
    place = parse(url)
    with pytest.raises(ProbeError):
        place.check()


def test_an_address_takes_the_place_of_the_name() -> None:
    assert parse("http://a:81/x").at("::1").url == "http://[::1]:81/x"
    assert parse("http://a/x").at("192.0.2.1").url == "http://192.0.2.1/x"


def test_a_target_without_scheme_is_plain_http() -> None:
    assert target_place("a:81/x").url == "http://a:81/x"


# --- redirects ------------------------------------------------------------------------------

FIRST = parse("http://shop.example/a/b")


def ask(method: str = "GET", **more: object) -> Ask:
    headers = {"X-A": "1", "Authorization": "secret", "X-Api-Key": "k"}
    place = FIRST.at("192.0.2.1")
    return Ask(method=method, place=place, host="shop.example", headers=headers, **more)  # type: ignore[arg-type]


def test_a_relative_redirect_keeps_host_and_credentials() -> None:
    after = following(ask(), 302, "../c", FIRST)
    assert (after.place.url, after.host) == ("http://192.0.2.1/c", "shop.example")
    assert after.headers["Authorization"] == "secret"
    assert after.headers["Referer"] == "http://192.0.2.1/a/b"


def test_another_host_gets_no_credentials() -> None:
    after = following(ask(), 302, "http://evil.example/", FIRST)
    assert (after.host, after.home) == ("evil.example", False)
    assert set(after.headers) == {"X-A", "Referer"}
    back = following(after, 302, "http://shop.example/", FIRST)
    assert "Authorization" not in back.headers


def test_the_same_host_over_tls_gets_them() -> None:
    after = following(ask(), 301, "https://shop.example/x", FIRST)
    assert after.home
    assert after.headers["Authorization"] == "secret"
    down = following(after, 301, "http://shop.example/x", FIRST)
    assert "Authorization" not in down.headers
    assert "Referer" not in down.headers


@pytest.mark.parametrize(
    ("status", "method", "after"),
    [(301, "POST", "GET"), (302, "PUT", "GET"), (303, "DELETE", "GET"), (303, "HEAD", "HEAD"),
     (307, "POST", "POST"), (308, "PUT", "PUT")],
)  # fmt: skip
def test_methods_change_as_in_go(status: int, method: str, after: str) -> None:
    found = following(ask(method, body=b"x"), status, "/", FIRST)
    assert found.method == after
    assert (found.body == b"x") is (status in {307, 308})


def test_a_body_from_a_file_is_not_sent_twice() -> None:
    assert not redirects(ask("POST", body=b"x", chunked=True), 307, "/")
    assert redirects(ask("POST", body=b"x", chunked=True), 302, "/")
    assert not redirects(ask(), 302, "")
    assert not redirects(ask(), 304, "/")


def test_the_request_on_the_wire() -> None:
    said = ask("POST", body=b"x=1").data().decode()
    assert said.startswith("POST /a/b HTTP/1.1\r\nHost: shop.example\r\nX-A: 1\r\n")
    assert said.endswith("Content-Length: 3\r\nConnection: close\r\n\r\nx=1")
    chunks = ask("POST", body=b"x=1", chunked=True).data()
    assert chunks.endswith(
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nx=1\r\n0\r\n\r\n"
    )


def test_a_header_cannot_end_the_line() -> None:
    place = parse("http://a/")
    evil = Ask(method="GET", place=place, host="a", headers={"X": "1\r\nEvil: 2"})
    assert b"\nEvil" not in evil.data()


# --- cookies --------------------------------------------------------------------------------


def jar(*headers: str, url: str = "http://a.example/x/y") -> Cookies:
    cookies = Cookies()
    cookies.take(parse(url), headers)
    return cookies


@pytest.mark.parametrize(
    ("header", "url", "sent"),
    [
        ("s=1", "http://a.example/x/z", "s=1"),
        ("s=1", "http://a.example/other", ""),
        ("s=1; Path=/", "http://a.example/other", "s=1"),
        ("s=1; Path=/", "http://b.a.example/", ""),
        ("s=1; Path=/; Domain=example", "http://a.example/", ""),
        ("s=1; Path=/; Domain=.a.example", "http://b.a.example/", "s=1"),
        ("s=1; Path=/; Secure", "http://a.example/", ""),
        ("s=1; Path=/; Secure", "https://a.example/", "s=1"),
        ("s=1; Path=/; Max-Age=0", "http://a.example/", ""),
        ("=1", "http://a.example/x/", ""),
        ("s", "http://a.example/x/", ""),
        ("s=1; Max-Age=x", "http://a.example/x/", "s=1"),
        ("s=1; Max-Age=9; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://a.example/x/", "s=1"),
        ("s=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://a.example/x/", ""),
        ("s=1; Expires=Thu, 01 Jan 2099 00:00:00 GMT", "http://a.example/x/", "s=1"),
        ("s=1; Expires=Thu, 01 Jan 2099 00:00:00 +9999999999999", "http://a.example/x/", "s=1"),
        ("s=1; Expires=soon", "http://a.example/x/", "s=1"),
        ('s="a b"', "http://a.example/x/", 's="a b"'),
        ("s=a,b", "http://a.example/x/", 's="a,b"'),
        ("s=a\\b", "http://a.example/x/", ""),
        ("s=a\rb", "http://a.example/x/", ""),
        ("s s=1", "http://a.example/x/", ""),
        ("s=\u00e4", "http://a.example/x/", ""),
    ],
)
def test_cookies_go_back_where_they_came_from(header: str, url: str, sent: str) -> None:
    assert jar(header).header(parse(url)) == sent


def test_a_jar_is_bounded_and_newer_values_win() -> None:
    full = jar(*(f"c{number}=1" for number in range(2 * MOST)), "c0=2")
    sent = full.header(parse("http://a.example/x/"))
    assert len(sent.split("; ")) == MOST
    assert "c0=2" in sent


# --- proxies --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("no_proxy", "url", "spared"),
    [
        ("", "http://127.0.0.1/", False),
        ("x", "http://127.0.0.1/", True),
        ("example.com", "http://example.com/", True),
        ("example.com", "http://a.example.com/", True),
        (".example.com", "http://example.com/", False),
        ("*.example.com", "http://a.example.com/", True),
        ("192.0.2.0/24", "http://192.0.2.9/", True),
        ("192.0.2.9:81", "http://192.0.2.9:80/", False),
        ("192.0.2.9:81", "http://192.0.2.9:81/", True),
        ("*", "http://anything/", True),
        ("nonsense/99", "http://192.0.2.9/", False),
    ],
)
def test_no_proxy_spares_what_it_names(no_proxy: str, url: str, spared: bool) -> None:
    options = ProxyOptions(proxy_url="http://proxy:3128", no_proxy=no_proxy)
    assert (proxy_for(options, parse(url)) is None) is spared


def test_the_environment_names_a_proxy() -> None:
    options = ProxyOptions(proxy_from_environment=True)
    environ = {"https_proxy": "proxy:3128", "NO_PROXY": "b.example"}
    found = proxy_for(options, parse("https://a.example/"), environ)
    assert isinstance(found, Place)
    assert found.netloc == "proxy:3128"
    assert proxy_for(options, parse("https://b.example/"), environ) is None
    assert proxy_for(options, parse("http://a.example/"), environ) is None


# --- dates ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1445412480),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", 1445412480),
        ("Wed Oct 21 07:28:00 2015", 1445412480),
        ("2015-10-21", None),
        ("", None),
    ],
)
def test_the_three_forms_of_a_date(text: str, at: float | None) -> None:
    assert last_modified(text) == at
