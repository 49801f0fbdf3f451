"""Rule: a body is counted and unpacked while it comes, and its limit holds on both sides."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError
from cbmon.probes.http.body import STEP, Body

TEXT = b"all is well " * 50


def fed(data: bytes, encoding: str, *, limit: int = 1_000_000, step: int = 7) -> Body:
    body = Body(limit=limit, kept=True, encoding=encoding)
    for at in range(0, len(data), step):
        for _ in body.feed(data[at : at + step]):
            pass
    body.end()
    return body


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("x-gzip", gzip.compress(TEXT, mtime=0)),
        ("gzip", gzip.compress(TEXT[:100], mtime=0) + gzip.compress(TEXT[100:], mtime=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_every_encoding_is_unpacked_in_any_pieces(encoding: str, data: bytes, step: int) -> None:
    body = fed(data, encoding, step=step)

    assert body.content == TEXT
    assert body.size == len(data)
    assert body.unpacked == len(TEXT)


@pytest.mark.parametrize("more", [-1, 0, 1, 100, STEP, STEP + 1])
def test_a_body_whose_last_byte_yields_more_than_a_step_is_whole(more: int) -> None:
    text = b"a" * (STEP + more)

    assert fed(raw_deflate(text), "deflate").content == text


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_empty_body_is_empty_in_any_encoding(encoding: str) -> None:
    assert fed(b"", encoding).content == b""


def test_a_body_of_just_the_limit_is_good_and_one_more_byte_is_not() -> None:
    assert fed(b"12345", "", limit=5).size == 5
    with pytest.raises(ProbeError, match="larger than 5 bytes") as caught:
        fed(b"123456", "", limit=5)
    assert caught.value.reason is Reason.SIZE


def test_a_bomb_is_stopped_one_step_after_its_limit() -> None:
    body = Body(limit=100_000, kept=True, encoding="gzip")

    with pytest.raises(ProbeError, match="the unpacked body is larger than 100000 bytes"):
        list(body.feed(gzip.compress(bytes(50_000_000))))

    assert body.unpacked <= 100_000 + STEP


def test_content_is_kept_only_on_demand() -> None:
    body = Body(limit=100, kept=False)
    list(body.feed(b"12345"))

    assert (body.size, body.content) == (5, b"")


@pytest.mark.parametrize(
    ("encoding", "data", "message"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)[:-1], "ends too early"),
        ("deflate", zlib.compress(TEXT)[:-1], "ends too early"),
        ("gzip", b"plain text", "damaged"),
        ("gzip", gzip.compress(TEXT, mtime=0) + b"more", "damaged"),
        ("deflate", zlib.compress(TEXT) + b"more", "goes on after its end"),
        ("br", b"x", 'encoded as "br"'),
        ("gzip, gzip", b"x", 'encoded as "gzip, gzip"'),
    ],
)
def test_a_body_that_cannot_be_unpacked_breaks_the_protocol(
    encoding: str, data: bytes, message: str
) -> None:
    with pytest.raises(ProbeError, match=message) as caught:
        fed(data, encoding)

    assert caught.value.reason is Reason.PROTOCOL


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate"]))
def test_no_bytes_get_past_the_rules(data: bytes, encoding: str) -> None:
    body = Body(limit=10_000, kept=True, encoding=encoding)
    with contextlib.suppress(ProbeError):
        for _ in body.feed(data):
            pass
        body.end()

    assert body.unpacked <= 10_000 + STEP
