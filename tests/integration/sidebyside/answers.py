"""What the HTTP target answers, by path."""

from __future__ import annotations

import gzip
import socket
import time
import zlib
from collections.abc import Callable, Mapping
from urllib.parse import unquote

import brotli

from tests.integration.sidebyside.targets import Talk

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXT = b"The quick brown fox; Say Hello to \xce\xb1\xce\xb2\xce\xb3 and \xff\xfe.\nsecond line\n"
RAW = zlib.compressobj(9, zlib.DEFLATED, -15)
DEFLATED = RAW.compress(TEXT) + RAW.flush()


def answer(status: str, body: bytes = b"", version: str = "1.1", **headers: str) -> bytes:
    lines = [f"HTTP/{version} {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, status: str = "302 Found", **headers: str) -> bytes:
    return answer(status, b"moved", Location=location, **headers)


def slow_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun")
    time.sleep(3)


def slow_head(connection: socket.socket) -> None:
    time.sleep(3)
    connection.sendall(answer("200 OK"))


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"a" * 65536)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


HEADERS = "".join(f"X-Header-{n}: {n}\r\n" for n in range(300)).encode()

PACKED = gzip.compress(TEXT)
STORED = zlib.compressobj(0, zlib.DEFLATED, -15)
SIXTEEN = zlib.compressobj(9, zlib.DEFLATED, -15)
HEAD = b"\x1f\x8b\x08\x1e" + PACKED[4:10] + b"\x03\0abcname\0comment\0"
"""gzip's, with every field that may be in it, but for its sum."""
NAMED = PACKED[:3] + b"\x08" + PACKED[4:10] + b"fox.txt\0" + PACKED[10:]

FIXED: Mapping[str, bytes | Talk] = {
    "/": answer("200 OK", TEXT),
    "/cookie-out": answer("200 OK"),
    "/loop/0": answer("200 OK", TEXT),
    "/201": answer("201 Created"),
    "/204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "/404": answer("404 Not Found", b"nothing here"),
    "/500": answer("500 Internal Server Error", TEXT),
    "/599": answer("599 Odd"),
    "/1.0": answer("200 OK", TEXT, version="1.0"),
    "/empty": answer("200 OK"),
    "/modified": answer("200 OK", Last_Modified="Wed, 21 Oct 2015 07:28:00 GMT"),
    "/modified-odd": answer("200 OK", Last_Modified="yesterday"),
    "/modified-850": answer("200 OK", Last_Modified="Wednesday, 21-Oct-15 07:28:00 GMT"),
    "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: x\r\n\r\n",
    "/chunked-long": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n0\r\n\r\n",
    "/chunked-broken": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "/chunked-bad": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    "/until-close": b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    "/interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    + answer("200 OK", TEXT),
    "/headers-300": b"HTTP/1.1 200 OK\r\n" + HEADERS + b"Content-Length: 0\r\n\r\n",
    "/header-64k": b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 64000 + b"\r\nContent-Length: 0\r\n\r\n",
    "/line-feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\nX-Test: yes\n\nok",
    "/no-words": b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    "/garbage": b"this is no HTTP at all\r\n\r\n",
    "/silent-close": b"",
    "/reset": reset,
    "/slow-head": slow_head,
    "/slow-body": slow_body,
    "/cookies": answer("200 OK", b"x", Set_Cookie="a=1").replace(
        b"Set-Cookie", b"set-cookie: b=2\r\nSet-Cookie"
    ),
    "/cors": answer("200 OK", b"x", Access_Control_Allow_Origin="example.com"),
    "/gzip": answer("200 OK", gzip.compress(TEXT), Content_Encoding="gzip"),
    "/gzip-unsaid": answer("200 OK", gzip.compress(TEXT)),
    "/gzip-twice": answer("200 OK", gzip.compress(TEXT) + gzip.compress(TEXT)),
    "/gzip-cut": answer("200 OK", gzip.compress(TEXT * 40)[:-12]),
    "/gzip-large": answer("200 OK", gzip.compress(b"a" * 2_000_000)),
    "/deflate": answer("200 OK", DEFLATED, Content_Encoding="deflate"),
    "/deflate-wrapped": answer("200 OK", zlib.compress(TEXT), Content_Encoding="deflate"),
    "/large": answer("200 OK", b"a" * 300_000),
    "/hang": answer("200 OK", b"a" * 5000 + b"!"),
    "/to-root": redirect("/"),
    "/to-404": redirect("/404"),
    "/to-nowhere": redirect("http://127.0.0.1:1/"),
    "/to-ftp": redirect("ftp://127.0.0.1/"),
    "/to-bad": redirect("http://[::1"),
    "/to-empty": answer("302 Found", b"moved", Location=""),
    "/to-none": answer("302 Found", b"moved"),
    "/301": redirect("/method", "301 Moved"),
    "/303": redirect("/method", "303 See Other"),
    "/307": redirect("/method", "307 Temporary Redirect"),
    "/308": redirect("/method", "308 Permanent Redirect"),
    "/300": redirect("/", "300 Multiple Choices"),
    "/cookie-in": redirect("/cookie-out", Set_Cookie="session=abc; Path=/"),
    "/empty-redirect": answer("302 Found", Location="/"),
    "/blank-first": b"\r\n" + answer("200 OK"),
    "/line-alone": b"HTTP/1.1 200 OK\r\n",
    "/length-twice": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "/lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "/chunked-1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n0\r\n\r\n",
    "/folded": b"HTTP/1.1 200 OK\r\nX-Test: one\r\n two\r\nContent-Length: 0\r\n\r\n",
    "/trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-After\r\n\r\n"
    b"2\r\nok\r\n0\r\nX-After: yes\r\n\r\n",
    "/br": answer("200 OK", brotli.compress(TEXT), Content_Encoding="br"),
    "/br-cut": answer("200 OK", brotli.compress(TEXT * 40)[:-5]),
    "/gzip-garbage": answer("200 OK", PACKED + b"garbage"),
    "/deflate-garbage": answer("200 OK", DEFLATED + b"garbage"),
    "/gzip-sum": answer("200 OK", PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:]),
    "/gzip-name": answer("200 OK", NAMED),
    "/gzip-chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"1\r\n%c\r\n" % byte for byte in PACKED) + b"0\r\n\r\n",
    "/br-garbage": answer("200 OK", brotli.compress(TEXT) + b"garbage"),
    "/deflate-stored": answer("200 OK", STORED.compress(TEXT * 900) + STORED.flush()),
    "/deflate-65537": answer("200 OK", SIXTEEN.compress(b"a" * 65537) + SIXTEEN.flush()),
    "/gzip-head": answer("200 OK", HEAD + (zlib.crc32(HEAD) & 0xFFFF).to_bytes(2, "little")
                         + PACKED[10:]),
    "/gzip-head-sum": answer("200 OK", HEAD + b"\0\0" + PACKED[10:]),
    "/gzip-length": answer("200 OK", PACKED[:-4] + b"\0\0\0\0"),
    "/gzip-zeros": answer("200 OK", PACKED + bytes(100)),
    "/gzip-empty-part": answer("200 OK", PACKED + gzip.compress(b"")),
    "/gzip-method": answer("200 OK", PACKED[:2] + b"\x07" + PACKED[3:]),
    "/trailer-5k": CHUNKED + b"0\r\nA: " + b"b" * 5000 + b"\r\n\r\n",
    "/extension-4000": CHUNKED + b"2;a=" + b"b" * 4000 + b"\r\nok\r\n0\r\n\r\n",
    "/extension-5000": CHUNKED + b"2;a=" + b"b" * 5000 + b"\r\nok\r\n0\r\n\r\n",
    "/endless": endless,
    "/ping": redirect("/pong"),
    "/pong": redirect("/ping"),
    "/dir/next": answer("200 OK", b"/dir/next"),
    "/up": answer("200 OK"),
    "/token": answer("200 OK", b'{"access_token": "t0ken", "token_type": "bearer"}',
                     Content_Type="application/json"),
    "/a%2Fb": answer("200 OK", b"escaped"),
}  # fmt: skip


def to(location: str) -> bytes:
    return b"HTTP/1.1 302 F\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % location.encode()


GIVEN: Mapping[str, Callable[[str], bytes]] = {
    "/said/": bytes.fromhex,
    "/line/": lambda text: text.encode() + b"\r\nContent-Length: 0\r\n\r\n",
    "/length/": lambda text: b"HTTP/1.1 200 OK\r\nContent-Length:%b\r\n\r\nhello" % text.encode(),
    "/coding/": lambda text: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %b\r\n\r\n5\r\nhello\r\n0\r\n\r\n" % text.encode()
    ),
    "/header/": lambda text: b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 0\r\n\r\n" % text.encode(),
    "/dir/to/": lambda text: to({"page": "../next"}.get(text, "../" + text)),
    "/echo-at/": lambda text: redirect("/echo?a=b"),
    "/at/": to,
    "/absolute": lambda text: redirect(f"http://{text.partition('=')[2]}/"),
    "/cookie/": lambda text: redirect("/echo", Set_Cookie=text),
}
"""Answers that are made from the rest of the path."""


def respond(head: str, body: bytes) -> bytes | Talk:
    first, *lines = head.split("\r\n")
    method, path = _asked(first)
    headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
    said = _computed(first, headers, body) or FIXED.get(path.partition("?")[0])
    said = answer("404 Not Found") if said is None else said
    if method == "HEAD" and isinstance(said, bytes):
        return said.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    return said


def _asked(first: str) -> tuple[str, str]:
    """Method and path; the path may hold a space."""
    method, _, rest = first.partition(" ")
    return method, rest.rpartition(" ")[0]


def _computed(first: str, headers: dict[str, str], body: bytes) -> bytes | None:
    """What depends on the request."""
    method, path = _asked(first)
    if path.startswith("/loop/") and (left := int(path.rpartition("/")[2])):
        return redirect(f"/loop/{left - 1}")
    if path == "/method":
        return answer("200 OK", f"{method} {body.decode()}".encode())
    if path == "/cookie-out":
        return None if headers.get("cookie") == "session=abc" else answer("403 No")
    if path.partition("?")[0].endswith("/echo"):
        headers.pop("user-agent")
        told = "\n".join(f"{name}: {value}" for name, value in sorted(headers.items()))
        return answer("200 OK", f"{first}\n{told}\n\n".encode() + body)
    if path == "/agent":
        return answer("200 OK", headers.get("user-agent", "").encode())
    given = next((start for start in GIVEN if path.startswith(start)), None)
    return GIVEN[given](unquote(path.removeprefix(given))) if given else None
