"""A remote-write request holds what a scrape would have stored."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.exports.remote_write import RemoteWriteOptions, WriteEncoder
from cbmon.metrics.text import escape
from tests.unit.exports.unsnappy import series

AT = 1_700_000_000_123
A = b'# HELP x X.\n# TYPE x gauge\nx{check="a"} 1\n'
B = b'x{check="b"} 2.5e+20\n'


def encoder(**options: Any) -> WriteEncoder:
    given = {"url": "http://127.0.0.1:1/write", "instance": "host", **options}
    return WriteEncoder(RemoteWriteOptions.model_validate(given))


def told(maker: WriteEncoder, text: bytes, at: int = AT) -> list[tuple[dict[str, str], float, int]]:
    return [one for batch in maker.batches(text, at) for one in series(batch.body)]


def test_a_series_has_its_name_its_labels_and_where_it_comes_from() -> None:
    assert told(encoder(), A) == [
        ({"__name__": "x", "check": "a", "instance": "host", "job": "cbmon"}, 1.0, AT),
        ({"__name__": "up", "instance": "host", "job": "cbmon"}, 1.0, AT),
    ]


def test_external_labels_yield_to_the_series_own() -> None:
    maker = encoder(external_labels={"check": "no", "Site": "fra", "empty": ""}, job="j")
    first = told(maker, A)[0][0]
    assert first == {"Site": "fra", "__name__": "x", "check": "a", "instance": "host", "job": "j"}


def test_a_series_that_goes_is_marked_as_stale_once() -> None:
    maker = encoder()
    told(maker, A + B)
    *_, last = told(maker, A, AT + 1)
    assert last[0]["check"] == "b"
    assert struct.pack("<d", last[1]) == struct.pack("<Q", 0x7FF0000000000002)
    assert len(told(maker, A, AT + 2)) == 2


def test_at_the_end_every_series_is_marked() -> None:
    maker = encoder()
    told(maker, A + B)
    ends = [one for batch in maker.farewell(AT) for one in series(batch.body)]
    assert len(ends) == 3
    assert all(math.isnan(value) for _, value, _ in ends)
    assert maker.farewell(AT) == []


def test_a_request_holds_no_more_samples_than_it_may() -> None:
    text = b"".join(b'x{check="%d"} 0\n' % number for number in range(24))
    batches = encoder(max_samples_per_send=10).batches(text, AT)
    assert [(batch.part, batch.samples) for batch in batches] == [(0, 10), (10, 10), (20, 5)]


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "0.1", "1e-300", "9007199254740993"])
def test_values_arrive_exactly(value: str) -> None:
    found = told(encoder(), f"x {value}\n".encode())[0][1]
    assert struct.pack("<d", found) == struct.pack("<d", float(value))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_label_value_arrives_as_it_was(value: str) -> None:
    text = f'x{{check="{escape(value)}",target="a,b}} {{c"}} 1\n'.encode()
    labels = told(encoder(), text)[0][0]
    assert labels.get("check", "") == value
    assert labels["target"] == "a,b} {c"


@pytest.mark.parametrize(
    "wrong",
    [
        {"external_labels": {"job": "x"}},
        {"external_labels": {"__x": "x"}},
        {"external_labels": {"a-b": "x"}},
        {"headers": {"Content-Type": "x"}},
        {"headers": {"X": "a\r\nb"}},
        {"headers": {"Authorization": "x"}, "bearer_token": "y"},
        {"basic_auth": {"username": "a", "password": "b"}, "bearer_token": "y"},
        {"spool": {"max_size": 10}},
        {"max_samples_per_send": 0},
        {"when_open": "later"},
    ],
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        encoder(**wrong)


def test_secret_values_of_headers_do_not_show() -> None:
    options = RemoteWriteOptions.model_validate(
        {"url": "http://127.0.0.1:1/", "headers": {"X-Key": "hidden"}}
    )
    assert "hidden" not in repr(options) + options.model_dump_json()
