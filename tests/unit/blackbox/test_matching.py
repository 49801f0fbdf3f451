"""Patterns on bytes and templates, as Go has both."""

from __future__ import annotations

import pytest

from cbmon.blackbox.matching import Found, search
from cbmon.config.fields import Regex


def found(pattern: str, text: bytes) -> Found:
    match = search(Regex(pattern), text)
    assert match is not None
    return match


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("PONG ${1}", "PONG abc"),
        ("$1 x", "abc x"),
        ("$1x", ""),
        ("${1}x", "abcx"),
        ("$word-$word", "abc-abc"),
        ("$0", "PING abc"),
        ("$2|$9|$none", "||"),
        ("$$1", "$1"),
        ("$", "$"),
        ("$-", "$-"),
        ("${1", "${1"),
        ("${}", "${}"),
        ("$01", ""),
        ("a$", "a$"),
        ("${1}${1}", "abcabc"),
        ("$é", ""),
    ],
)
def test_templates_are_expanded(template: str, expected: str) -> None:
    assert found("PING (?P<word>[a-z]+)(x)?", b"PING abc").expand(template) == expected


def test_a_dot_matches_a_byte_that_is_no_text() -> None:
    assert search(Regex("^a..b$"), b"a\xff\xfeb")
    assert not search(Regex("^a.b$"), b"a\xff\xfeb")


def test_groups_keep_the_bytes() -> None:
    match = found("a(.)b", b"\xc3\xa4a\xffb")
    assert match.expand("<$1>").encode(errors="surrogateescape") == b"<\xff>"


def test_words_and_digits_are_ascii() -> None:
    assert not search(Regex(r"^\w$"), "ä".encode())
    assert not search(Regex(r"\d"), "٣".encode())
    assert search(Regex(r"^\p{L}$"), "ä".encode())
