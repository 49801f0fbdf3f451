"""Scalars mean what Go's decoder makes of them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from cbmon.blackbox.encodings import accepts
from cbmon.blackbox.fields import BinarySize, Flag, GoDuration, Number, Text
from cbmon.blackbox.scalars import Plain, scalar


def value(field: Any, text: str, *, plain: bool = True) -> Any:
    return TypeAdapter(field).validate_python(Plain(text) if plain else text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("1h30m", 5400), ("1.5s", 1.5), ("500ms", 0.5), (".5s", 0.5), ("-5s", -5),
     ("300000h", 1_080_000_000), ("0s", 0),
     ("1h0.5m3s", 3633), ("10us", 1e-5), ("10µs", 1e-5), ("7ns", 7e-9)],
)  # fmt: skip
def test_durations_have_units(text: str, seconds: float) -> None:
    assert value(GoDuration, text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["5", "0", "", "5d", "1w", "s", "5 s", "1e3s", "5S", "3000000h"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        value(GoDuration, text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1B", 1), ("1KB", 1024), ("1KiB", 1024), ("10MB", 10 << 20), ("1.5MB", 3 << 19),
     ("1KB512B", 1536), ("0", 0), ("-1KB", -1024), ("1GiB", 1 << 30)],
)  # fmt: skip
def test_sizes_are_binary(text: str, size: int) -> None:
    assert value(BinarySize, text) == size


@pytest.mark.parametrize("text", ["1", "1kB", "1k", "MB", "1XB", "1 MB", "9EB9EB"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        value(BinarySize, text)


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "yes", "on", "y", "Y"])
def test_words_for_true(text: str) -> None:
    assert value(Flag, text) is True


@pytest.mark.parametrize("text", ["Yes", "ON", "1", "", "t"])
def test_words_for_neither(text: str) -> None:
    with pytest.raises(ValidationError):
        value(Flag, text)


@pytest.mark.parametrize(
    ("text", "number"),
    [("200", 200), ("0x1F", 31), ("017", 15), ("0o17", 15), ("0b11", 3), ("1_000", 1000),
     ("-3", -3), ("2e2", 200), ("200.9", 200), ("+7", 7)],
)  # fmt: skip
def test_numbers_in_every_notation(text: str, number: int) -> None:
    assert value(Number, text) == number


@pytest.mark.parametrize("text", ["2xx", "", "1e400", "0x", "99999999999999999999"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        value(Number, text)


def test_quoted_digits_are_no_number() -> None:
    with pytest.raises(ValidationError):
        value(Number, "200", plain=False)


def test_every_scalar_is_a_text_but_nothing_is_none() -> None:
    assert value(Text, "010") == "010"
    assert scalar("null", True, None) is None
    assert scalar("null", False, None) == "null"
    assert scalar("", False, None) == ""


@pytest.mark.parametrize(
    ("compression", "header", "fits"),
    [
        ("", "br", True),
        ("gzip", "", True),
        ("gzip", "gzip", True),
        ("gzip", "deflate", False),
        ("gzip", "br;q=1.0, gzip;q=0.9", True),
        ("gzip", "gzip;q=0", False),
        ("gzip", "*;q=0.0", False),
        ("gzip", "*", True),
        ("gzip", "gzip;q=0.0, *;q=0.5", True),
        ("gzip", "gzip;q=x, deflate", False),
    ],
)
def test_a_compression_must_be_accepted(compression: str, header: str, fits: bool) -> None:
    assert accepts(compression, header) is fits
