"""Cases over HTTP in which the case itself says every byte of the answer.

Rule: as in :mod:`tests.integration.sidebyside.cases`; ``said`` is answered as it stands.
"""

from __future__ import annotations

from typing import Any

from tests.integration.sidebyside.cases import CA, Case, header, http

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = b"Content-Length: 0\r\n\r\n"
FIVE = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def said(name: str, answer: bytes, ok: bool, /, **options: Any) -> Case:
    return http(name, "/said/" + answer.hex(), ok, **options)


def chunks(name: str, body: bytes, ok: bool, /, **options: Any) -> Case:
    return said(name, CHUNKED + body, ok, **options)


def to(name: str, location: str, ok: bool, /, **options: Any) -> Case:
    """A redirect; what is in curly brackets is filled in by the test."""
    return http(
        name,
        "/at/"
        + location.replace("%", "%25").replace("/", "%2F").replace("?", "%3F").replace("#", "%23"),
        ok,
        **options,
    )


CHUNKS = [
    chunks("zeros before a chunk's size", b"0005\r\nhello\r\n" + END, True),
    chunks("a chunk's size in capitals", b"A\r\nhelloworld\r\n" + END, True),
    chunks("a chunk's size of seventeen digits", b"0" * 16 + b"5\r\nhello\r\n" + END, False),
    chunks("a chunk's size of sixteen digits", b"0" * 15 + b"5\r\nhello\r\n" + END, True),
    chunks("a chunk's size without a carriage return", b"5\nhello\r\n" + END, True),
    chunks("a chunk without a carriage return", b"5\r\nhello\n" + END, False),
    chunks("a chunk's size below zero", b"-5\r\nhello\r\n" + END, False),
    chunks("a chunk's size as C writes it", b"0x5\r\nhello\r\n" + END, False),
    chunks("a chunk without a size", b"\r\nhello\r\n" + END, False),
    chunks("an extension in quotes", b'5;a="b;c"\r\nhello\r\n' + END, True),
    chunks("an extension that is open", b'5;a="\r\nhello\r\n' + END, True),
    chunks("a tab after a chunk's size", b"5\t\r\nhello\r\n" + END, True),
    chunks("a space before a chunk's size", b" 5\r\nhello\r\n" + END, False),
    chunks("a space before an extension", b"5 ;a\r\nhello\r\n" + END, False),
    chunks("two sizes of a chunk", b"5 5\r\nhello\r\n" + END, False),
    chunks("no line after the last chunk", b"5\r\nhello\r\n0\r\n", False),
    chunks("nothing after the last size", b"5\r\nhello\r\n0", False),
    chunks("no last chunk", b"5\r\nhello\r\n", False),
    chunks("bytes after the last chunk", b"5\r\nhello\r\n" + END + b"more", True),
    chunks("a trailer without a colon", b"5\r\nhello\r\n0\r\nnone\r\n\r\n", False),
    chunks("a trailer that begins with a space", b"5\r\nhello\r\n0\r\n A: b\r\n\r\n", False),
    chunks("trailers without carriage returns", b"5\r\nhello\r\n0\r\nA: b\n\n", False),
    chunks("an end without a carriage return", b"5\r\nhello\r\n0\n\n", False),
    chunks("a trailer of 3 KB", b"5\r\nhello\r\n0\r\nA: " + b"b" * 3000 + b"\r\n\r\n", True),
    http("a trailer of 5 KB", "/trailer-5k", False),
    http("an extension of 4 KB", "/extension-4000", True),
    http("an extension of 5 KB", "/extension-5000", False),
    said("two transfer codings", OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"
         b"\r\n\r\n" + END, False),
    said("an empty transfer coding", OK + b"Transfer-Encoding:\r\n\r\nhello", False),
    said("a transfer coding in HTTP/1.0",
         b"HTTP/1.0 200 OK\r\nTransfer-Encoding: x\r\n\r\nhi", True),
]  # fmt: skip
LENGTHS = [
    said("zeros before a length", OK + b"Content-Length: 0005\r\n\r\nhello", True),
    said("a length of 2^63", OK + b"Content-Length: 9223372036854775808\r\n\r\nhello", False),
    said("a length of 2^63 - 1", OK + b"Content-Length: 9223372036854775807\r\n\r\nhello", False),
    said("many zeros before a length",
         OK + b"Content-Length: " + b"0" * 30 + b"5\r\n\r\nhello", True),
    said("many zeros before a length that is too large",
         OK + b"Content-Length: " + b"0" * 30 + b"9" * 25 + b"\r\n\r\nhello", False),
    said("two numbers as a length", OK + b"Content-Length: 5 5\r\n\r\nhello", False),
    said("a length in full width", OK + "Content-Length: \uff15\r\n\r\nhello".encode(), False),
    said("more than the length says", OK + b"Content-Length: 5\r\n\r\nhello, world", True,
         fail_if_body_not_matches_regexp=["^hello$"]),
    said("one length written in two ways",
         OK + b"Content-Length: 5\r\nContent-Length: 05\r\n\r\nhello",
         False),
    said("one length with other spaces",
         OK + b"Content-Length: 5\r\nContent-Length:   5\r\n\r\nhello",
         True),
    said("a length of no content", b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", True),
    said("a length of what was not modified", b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", True,
         valid_status_codes=[304]),
    said("reset content with content",
         b"HTTP/1.1 205 Reset\r\nContent-Length: 5\r\n\r\nhello", True),
    said("switching protocols", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nhello", False),
    said("switching protocols where it is good",
         b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nhello",
         True, valid_status_codes=[101]),
    said("five interim answers", b"HTTP/1.1 100 C\r\n\r\n" * 5 + OK + EMPTY, True),
    said("six interim answers", b"HTTP/1.1 100 C\r\n\r\n" * 6 + OK + EMPTY, False),
    said("an interim answer that nobody knows", b"HTTP/1.1 199 X\r\nA: b\r\n\r\n" + OK
         + EMPTY, True),
    said("nothing after an interim answer", b"HTTP/1.1 100 C\r\n\r\n", False),
    said("HEAD with a length that is none",
         OK + b"Content-Length: x\r\n\r\n", False, method="HEAD"),
]  # fmt: skip
STATUS = [
    said("a status with a sign", b"HTTP/1.1 +20 OK\r\n\r\n", False),
    said("a status of zeros", b"HTTP/1.1 000 Zero\r\n" + EMPTY, False),
    said("a tab before the status", b"HTTP/1.1\t200 OK\r\n\r\n", False),
    said("a tab after the status", b"HTTP/1.1 200\tOK\r\n\r\n", False),
    said("a space before the version", b" HTTP/1.1 200 OK\r\n\r\n", False),
    said("a version of two digits", b"HTTP/1.10 200 OK\r\n\r\n", False),
    said("HTTP/3.0 in words", b"HTTP/3.0 200 OK\r\n" + EMPTY, True),
    said("HTTP/0.9 in words", b"HTTP/0.9 200 OK\r\n" + EMPTY, True),
    said("HTTP/1.1 in words and without an end", b"HTTP/1.1 200 OK", False),
    said("zeros in the words of a status", b"HTTP/1.1 200 O\0K\r\n" + EMPTY, True),
]  # fmt: skip
HEADERS = [
    said("a zero in a value", OK + b"X-Test: a\0b\r\n" + EMPTY, True),
    said("a carriage return in a value", OK + b"X-Test: a\rb\r\n" + EMPTY, True,
         fail_if_header_not_matches=header("X-Test", "^a.b$")),
    said("the first header begins with a space", OK + b" X-Test: a\r\n\r\n", False),
    said("a header folded with a tab", OK + b"X-Test: a\r\n\tb\r\n" + EMPTY, True,
         fail_if_header_not_matches=header("X-Test", "^a b$")),
    said("a header folded into nothing", OK + b"X-Test: a\r\n \r\n" + EMPTY, True,
         fail_if_header_not_matches=header("X-Test", "^a ?$")),
    said("a value that is no UTF-8", OK + b"X-Test: \xff\r\n" + EMPTY, True,
         fail_if_header_not_matches=header("X-Test", "^.$")),
    said("a name with an underscore", OK + b"X_Test: a\r\n" + EMPTY, True,
         fail_if_header_not_matches=header("x_test", "^a$")),
    said("a name that is no ASCII", OK + "Ä: a\r\n".encode() + EMPTY, True,
         fail_if_header_not_matches=header("Ä", "^a$")),
    said("the second of two values", OK + b"X-Test: a\r\nx-test: b\r\n" + EMPTY, False,
         fail_if_header_matches=header("X-Test", "^b$")),
    said("the transfer coding is no header", CHUNKED + END, False,
         fail_if_header_not_matches=header("Transfer-Encoding", "chunked")),
    said("a length beside chunks is no header",
         OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + END, False,
         fail_if_header_not_matches=header("Content-Length", "5")),
    said("a length is a header", FIVE, True,
         fail_if_header_not_matches=header("Content-Length", "^5$")),
    said("the list of trailers is no header",
         OK + b"Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n" + END, False,
         fail_if_header_not_matches=header("Trailer", "A")),
    said("the end of the connection is no header", OK + b"Connection: close\r\n" + EMPTY, False,
         fail_if_header_not_matches=header("Connection", "close")),
    said("a space in a name", OK + b"X Test: a\r\n" + EMPTY, True,
         fail_if_header_not_matches=header("X Test", "^a$")),
    said("Last-Modified twice", OK + b"Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n"
         b"Last-Modified: Wed, 21 Oct 2020 07:28:00 GMT\r\n" + EMPTY, True),
    said("Last-Modified in asctime's form", OK + b"Last-Modified: Wed Oct 21 07:28:00 2015\r\n"
         + EMPTY, True),
    said("Last-Modified on another day of the week",
         OK + b"Last-Modified: Mon, 21 Oct 2015 07:28:00 "
         b"GMT\r\n" + EMPTY, True),
    said("Last-Modified in another zone", OK + b"Last-Modified: Wed, 21 Oct 2015 07:28:00 CET\r\n"
         + EMPTY, True),
    said("Last-Modified with one digit", OK + b"Last-Modified: Wed, 1 Oct 2015 7:28:00 GMT\r\n"
         + EMPTY, True),
]  # fmt: skip
PLACES = [
    to("a redirect with backslashes", "\\\\127.0.0.1:{http}\\echo", False),
    to("a redirect to a script", "javascript:alert(1)", False),
    to("a redirect to a file", "file:///etc/passwd", False),
    to("a redirect to a Unix socket", "unix:///run/x.sock", False),
    to("a redirect to data", "data:text/plain,x", False),
    to("a redirect with one slash", "http:/echo", False),
    to("a redirect without slashes", "http:echo", False),
    to("a redirect to two slashes", "//", False),
    to("a redirect to a dot", "./echo", True),
    to("a redirect far upwards", "../../../../echo", True),
    to("a redirect to a query alone", "?a=b", False),
    to("a redirect without a path", "http://127.0.0.1:{http}", True),
    to("a redirect to a query without a path", "http://127.0.0.1:{http}?a=b", True),
    to("a redirect into a zone that is not escaped", "http://[::1%lo]:{http6}/", False),
    to("a redirect to another family", "http://[::1]:{http6}/", True),
    to("a redirect to a host in capitals", "http://LOCALHOST:{http}/echo", True),
    to("a redirect with nobody as the user", "http://@127.0.0.1:{http}/echo", True),
    to("a redirect with an empty user", "http://:@127.0.0.1:{http}/echo", True),
    to("a redirect with a colon in the password", "http://u:p:q@127.0.0.1:{http}/echo", True,
       fail_if_body_not_matches_regexp=["authorization: Basic dTpwOnE="]),
    to("a redirect with an escaped user", "http://u%40x:p%3Aq@127.0.0.1:{http}/echo", True,
       fail_if_body_not_matches_regexp=["authorization: Basic dUB4OnA6cQ=="]),
    to("a redirect to a port with zeros", "http://127.0.0.1:00{http}/echo", True),
    to("a redirect to a port that is too large", "http://127.0.0.1:99999/", False),
    to("a redirect to a port that is none", "http://127.0.0.1:http/", False),
    to("a redirect to an address in one number", "http://2130706433:{http}/", False),
    to("a redirect to a mapped address", "http://[::ffff:127.0.0.1]:{http}/", True),
    to("a redirect with a parameter", ";a=b", False),
    to("a redirect with an escape in the host", "http://127.0.0%2E1:{http}/", False),
    to("a redirect with brackets in the path", "/a[b]/echo", True),
    to("a redirect with odd signs", "/a|b^c`d\"e<f>/echo", True),
    to("a redirect with a percent sign in the query", "/echo?%zz", True),
    said("two places to go",
         b"HTTP/1.1 302 F\r\nLocation: /echo\r\nLocation: /404\r\n" + EMPTY, True),
    said("spaces around the place to go", b"HTTP/1.1 302 F\r\nLocation:    /echo  \r\n"
         + EMPTY, True),
    said("a place that is no UTF-8", b"HTTP/1.1 302 F\r\nLocation: /\xff/echo\r\n" + EMPTY, True),
    said("a zero in the place to go", b"HTTP/1.1 302 F\r\nLocation: /a\0/echo\r\n" + EMPTY, False),
    said("305 is no redirect", b"HTTP/1.1 305 Proxy\r\nLocation: /echo\r\n" + EMPTY,
         False),
    said("309 is no redirect", b"HTTP/1.1 309 X\r\nLocation: /echo\r\n" + EMPTY, True,
         valid_status_codes=[309]),
    said("201 with a place", b"HTTP/1.1 201 X\r\nLocation: /404\r\n" + EMPTY, True),
    said("a redirect whose body breaks off",
         b"HTTP/1.1 302 F\r\nLocation: /echo\r\nContent-Length: 99"
         b"\r\n\r\nabc", True),
    said("a redirect whose chunks are none",
         b"HTTP/1.1 302 F\r\nLocation: /echo\r\nTransfer-Encoding: "
         b"chunked\r\n\r\nzz\r\n", True),
    said("a redirect in HTTP/1.0", b"HTTP/1.0 302 F\r\nLocation: /echo\r\n\r\n", True),
    http("a cookie of long ago",
         "/cookie/k=v; Path=%2F; Expires=Thu, 01 Jan 1970 00:00:00 GMT", True,
         fail_if_body_matches_regexp=["(?m)^cookie"]),
    http("a cookie of times to come",
         "/cookie/k=v; Path=%2F; Expires=Thu, 01 Jan 2099 00:00:00 GMT", True,
         fail_if_body_not_matches_regexp=["(?m)^cookie: k=v$"]),
    http("a cookie with a comma", "/cookie/k=a,b; Path=%2F", True,
         fail_if_body_not_matches_regexp=['(?m)^cookie: k="a,b"$']),
    http("a cookie without a name",
         "/cookie/=v; Path=%2F", True, fail_if_body_matches_regexp=["(?m)^cookie"]),
    http("a cookie without a value", "/cookie/k=; Path=%2F", True,
         fail_if_body_not_matches_regexp=["(?m)^cookie: k=$"]),
    http("a cookie without an equals sign", "/cookie/k; Path=%2F", True,
         fail_if_body_matches_regexp=["(?m)^cookie"]),
    http("a cookie with a backslash", "/cookie/k=a\\b; Path=%2F", True,
         fail_if_body_matches_regexp=[r"(?m)^cookie: k=a.b"]),
    http("a cookie that lasts for ever", "/cookie/k=v; Path=%2F; Max-Age=x", True,
         fail_if_body_not_matches_regexp=["(?m)^cookie: k=v$"]),
]  # fmt: skip
TARGETS = [
    http("an address in three parts", "http://127.0.1:{http}/", False, timeout="2s"),
    http("an address in one number", "http://2130706433:{http}/", False, timeout="2s"),
    http("an address in hexadecimal", "http://0x7f000001:{http}/", False, timeout="2s"),
    http("a mapped address", "http://[::ffff:127.0.0.1]:{http}/", True),
    http("a mapped address in IPv6 only", "http://[::ffff:127.0.0.1]:{http}/", False,
         ip_protocol_fallback=False),
    http("an address with a dot after it", "http://127.0.0.1.:{http}/", False, timeout="2s"),
    http("localhost in capitals", "http://LOCALHOST:{http}/", True),
    http("a space before the target", " http://127.0.0.1:{http}/", False),
    http("a space after the target", "http://127.0.0.1:{http}/echo ", False),
    http("a line feed in the target", "http://127.0.0.1:{http}/ec\nho", False),
    http("an escape that is none in the path", "http://127.0.0.1:{http}/%zz", False),
    http("an escape that is none in the query", "http://127.0.0.1:{http}/echo?%zz", True),
    http("a space in the host", "http://exa mple/", False),
    http("odd signs in the path", '/a|b^c`d"e<f>/echo', True),
    http("an empty query", "http://127.0.0.1:{http}/echo?", True),
    http("two slashes in the path", "http://127.0.0.1:{http}//echo", True),
    http("port 0", "http://127.0.0.1:0/", False),
    http("a colon without a port", "http://127.0.0.1:/", False),
    http("a port with zeros", "http://127.0.0.1:00{http}/", True),
    http("a user with an escape", "http://u%40x:p@127.0.0.1:{http}/echo", True,
         fail_if_body_not_matches_regexp=["authorization: Basic dUB4OnA="]),
    http("a user and basic authentication", "http://u:p@127.0.0.1:{http}/echo", True,
         basic_auth={"username": "v", "password": "q"}),
    http("a host of 300 letters", "http://" + "a" * 300 + ".invalid/", False, timeout="3s"),
    http("no host but a user", "http://u:p@/", False),
    http("until the end over TLS", "https://localhost:{tls_polite}/", True, tls_config=CA,
         fail_if_body_not_matches_regexp=["^until the end$"]),
    http("until the end over TLS without a farewell", "https://localhost:{tls}/until-close", True,
         tls_config=CA),
]  # fmt: skip
BODIES = [
    http("deflate of 65537 bytes", "/deflate-65537", True, compression="deflate"),
    http("deflate in blocks that are not packed", "/deflate-stored", True, compression="deflate"),
    http("gzip with all that a head may hold", "/gzip-head", True, compression="gzip",
         fail_if_body_not_matches_regexp=["fox"]),
    http("gzip with a wrong sum of its head", "/gzip-head-sum", False, compression="gzip"),
    http("gzip with a wrong length", "/gzip-length", False, compression="gzip"),
    http("gzip with zeros after it", "/gzip-zeros", False, compression="gzip"),
    http("gzip with an empty part after it", "/gzip-empty-part", True, compression="gzip"),
    http("gzip of a method nobody knows", "/gzip-method", False, compression="gzip"),
    http("br with garbage after it", "/br-garbage", False, compression="br",
         apart=frozenset({"probe_http_uncompressed_body_length"})),
    said("a body with a byte order mark", OK + b"Content-Length: 5\r\n\r\n\xef\xbb\xbfok", True,
         fail_if_body_not_matches_regexp=["ok$"], fail_if_body_matches_regexp=["^ok"]),
    said("a body in UTF-16",
         OK + b"Content-Type: text/plain; charset=utf-16\r\nContent-Length: 4\r\n\r\n"
         b"o\0k\0", True, fail_if_body_matches_regexp=["ok"]),
    said("a body with zeros", OK + b"Content-Length: 3\r\n\r\na\0b", True,
         fail_if_body_not_matches_regexp=[r"^a\x00b$"]),
    said("a surrogate in a body", OK + b"Content-Length: 3\r\n\r\n\xed\xa0\x80", True,
         fail_if_body_not_matches_regexp=["^...$"]),
    said("an overlong byte in a body", OK + b"Content-Length: 2\r\n\r\n\xc0\xaf", True,
         fail_if_body_not_matches_regexp=["^..$"], fail_if_body_matches_regexp=["/"]),
    said("what follows a limit is not looked at", FIVE, False,
         body_size_limit="4B", fail_if_body_not_matches_regexp=["hell"]),
    said("no limit", FIVE, True, body_size_limit="0"),
    said("an empty body and an empty pattern", OK + EMPTY, True,
         fail_if_body_not_matches_regexp=["^$"]),
    said("a pattern that nothing can match", OK + EMPTY, False,
         fail_if_body_not_matches_regexp=[r"[^\x00-\x{10FFFF}]"]),
]  # fmt: skip

STRANGERS = [*CHUNKS, *LENGTHS, *STATUS, *HEADERS, *PLACES, *TARGETS, *BODIES]
