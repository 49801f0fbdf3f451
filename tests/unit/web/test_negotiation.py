"""What a client prefers: nothing it sends may raise or surprise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.web.negotiation import choose, takes_gzip

OFFERS = (("text/plain", {"version": "0.0.4"}), ("application/x", {"version": "1.0.0"}))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, 0),
        ("", 0),
        ("*/*", 0),
        ("application/x", 1),
        ("application/x;version=1.0.0", 1),
        ("application/x;version=2.0.0", 0),
        ("application/*", 1),
        ("text/*;q=0.1, application/*;q=0.2", 1),
        ("*/*;q=0.9, text/plain;q=0.1", 1),
        ("application/x;q=0", 0),
        ("application/x;q=0, text/plain;q=0", 0),
        ("APPLICATION/X ; Version = 1.0.0 ; Q=0.7, text/plain;q=0.6", 1),
        ("application/x;q=nonsense, text/plain;q=0.1", 0),
        ("application/x;q=7, text/plain;q=0.1", 0),
        ("application/x;unknown=param;q=1, text/plain;q=0.5", 1),
        (",;,/,;q=1", 0),
    ],
)
def test_the_closest_range_decides_the_quality(accept: str | None, expected: int) -> None:
    assert choose(accept, OFFERS) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("deflate, br", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity, gzip;q=0.001", True),
    ],
)
def test_gzip_is_sent_to_those_who_take_it(header: str | None, expected: bool) -> None:
    assert takes_gzip(header) is expected


@given(st.text(alphabet=st.sampled_from(list('textplain/*;,=q0.19 "\t')) | st.characters()))
def test_no_header_breaks_it(header: str) -> None:
    assert choose(header, OFFERS) in {0, 1}
    assert takes_gzip(header) in {True, False}
