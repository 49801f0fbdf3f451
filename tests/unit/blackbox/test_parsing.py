"""Rule: an answer is read as Go's client reads it, in whatever pieces it comes."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.blackbox.parsing import Head, Parser

OK = b"HTTP/1.1 200 OK\r\n"
GOOD = {
    OK + b"Content-Length: 5\r\n\r\nhelloX": b"hello",
    OK
    + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1 \n!\r\n0\r\nA: b\r\n\r\nX": b"hello!",
    OK + b"Content-Length:\r\n\r\nuntil the end": b"until the end",
    b"HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n0\r\n\r\n": b"0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\nX": b"",
    OK
    + b"X: a\r\n  b \r\n\tc\r\n: skip\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok": b"ok",
}
BAD = [
    b"\r\n" + OK + b"\r\n",
    b"HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 20 x\r\n\r\n",
    b"HTTP/11 200 x\r\n\r\n",
    b"http/1.1 200 x\r\n\r\n",
    OK + b" X: a\r\n\r\n",
    OK + b"X\r\n\r\n",
    OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    OK + b"Content-Length: +1\r\n\r\n",
    OK + b"Content-Length: 9223372036854775808\r\n\r\n",
    OK + b"Transfer-Encoding: gzip\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n+1\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\n\n0\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 17 + b"\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 4096,
    OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: " + b"b" * 4096,
    OK + b"Transfer-Encoding: chunked\r\n\r\n1 ;a=b\r\nx\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 4096 + b"\r\nx\r\n0\r\n\r\n",
    OK + b"Content-Length: " + b"0" * 30 + b"9" * 25 + b"\r\n\r\n",
    b"HTTP/1.1 103 Hint\r\n\r\n" * 6,
]


def fed(*pieces: bytes, method: str = "GET") -> tuple[Parser, bytes]:
    body = bytearray()
    parser = Parser(method, body.extend)
    for piece in pieces:
        parser.feed(piece)
    parser.end()
    return parser, bytes(body)


@given(st.sampled_from([*GOOD]), st.lists(st.integers(0, 120), max_size=6))
def test_the_pieces_in_which_it_comes_do_not_matter(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
    pieces = [data[begin:end] for begin, end in pairwise(places)]

    parser, body = fed(*pieces)

    assert parser.complete
    assert body == GOOD[data]


@pytest.mark.parametrize("data", BAD)
def test_what_go_refuses_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        fed(data)


def test_headers_are_taken_as_they_are_meant() -> None:
    head = fed([*GOOD][-1])[0].head

    assert (head.version, head.status, head.length) == ("HTTP/1.1", 200, 2)
    assert head.values("X") == ["a b c"]
    assert head.values("") == []


@pytest.mark.parametrize(
    ("length", "method", "data"),
    [
        (7, "HEAD", OK + b"Content-Length: 7\r\n\r\n"),
        (-1, "HEAD", OK + b"Content-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (-1, "GET", OK + b"Content-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (0, "GET", b"HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n"),
        (0, "GET", OK + b"Content-Length: 0\r\n\r\n"),
    ],
)
def test_the_length_is_told_as_go_tells_it(length: int, method: str, data: bytes) -> None:
    parser, body = fed(data, method=method)

    assert (parser.head.length, parser.complete, body) == (length, True, b"")


@pytest.mark.parametrize(
    "data", [OK, OK + b"Content-Length: 5\r\n\r\nhell", OK + b"Transfer-Encoding: chunked\r\n\r\n1"]
)
def test_an_answer_that_ends_early_is_not_whole(data: bytes) -> None:
    assert not fed(data)[0].complete


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"content-length"}, b"Content-Length: 0\r\n"),
        (set(), b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n"),
        ({"trailer", "content-length"}, b"Content-Length: 0\r\nTrailer: A\r\n"),
        (set(), b"Connection: x, Close\r\n"),
        ({"connection"}, b"Connection: keep-alive\r\n"),
    ],
)
def test_how_an_answer_comes_is_no_header_of_it(told: set[str], said: bytes) -> None:
    assert {name for name, _ in fed(OK + said + b"\r\n")[0].head.headers} == told


def test_a_header_folded_thousands_of_times_takes_no_time() -> None:
    begun = time.process_time()

    parser, _ = fed(OK + b"A: b\r\n" + b" c\n" * 80_000 + b"\r\n")

    assert len(parser.head.first("A")) == 160_001
    assert time.process_time() - begun < 1.0


def test_trailers_are_not_gathered_without_end() -> None:
    with pytest.raises(ValueError, match="long trailer"):
        fed(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", *[b"A: b\r\n"] * 1000)


@given(st.sampled_from([*GOOD, *BAD]), st.integers(0, 150), st.binary(max_size=9))
def test_whatever_comes_is_read_or_refused(data: bytes, at: int, noise: bytes) -> None:
    try:
        parser, _ = fed(data[:at] + noise + data[at:])
    except ValueError:
        return
    assert isinstance(parser.head, Head)
