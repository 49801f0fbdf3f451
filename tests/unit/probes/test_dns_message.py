"""Rule: an answer is read whole or not at all, and nothing that is sent can do harm."""

from __future__ import annotations

import struct
import time
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.probes.dns.message import (
    CLASSES,
    RCODES,
    TYPES,
    MalformedError,
    answers,
    encoded_name,
    parse,
    question,
    serial_of,
)
from cbmon.probes.dns.options import RecordClass, RecordType, ResponseCode

ASKED = question(7, "a.test", "A", "IN", recursive=True)
QUESTION = ASKED[12:]
POINTER = b"\xc0\x0c"  # to the name in the question


def reply(*records: bytes, flags: int = 0x8180, counts: tuple[int, ...] | None = None) -> bytes:
    sections = counts or (len(records), 0, 0)
    return struct.pack("!6H", 7, flags, 1, *sections) + QUESTION + b"".join(records)


def record(kind: int, data: bytes, name: bytes = POINTER, ttl: int = 300) -> bytes:
    return name + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


@pytest.mark.parametrize(
    ("expected", "kind", "data"),
    [
        ("A\t192.0.2.1", 1, bytes([192, 0, 2, 1])),
        ("AAAA\t2001:db8::1", 28, bytes.fromhex("20010db8" + "0" * 22 + "01")),
        ("CNAME\twww.a.test.", 5, b"\x03www" + POINTER),
        ("MX\t10 mail.a.test.", 15, b"\x00\x0a\x04mail" + POINTER),
        ('TXT\t"v=spf1 -all" "a\\"b\\255"', 16, b'\x0bv=spf1 -all\x04a"b\xff'),
        ("SRV\t1 2 443 a.test.", 33, b"\x00\x01\x00\x02\x01\xbb" + POINTER),
        ("SOA\ta.test. a.test. 42 2 3 4 5", 6, POINTER * 2 + struct.pack("!5I", 42, 2, 3, 4, 5)),
        ('CAA\t0 issue "ca.test"', 257, b"\x00\x05issueca.test"),
        ("TYPE999\t\\# 2 beef", 999, b"\xbe\xef"),
        ("NS\ta\\.b\\ c.", 2, b"\x05a.b c\x00"),
    ],
)
def test_records_read_like_a_zone_file(expected: str, kind: int, data: bytes) -> None:
    found = parse(reply(record(kind, data)))

    name, ttl, klass, rest = str(found.answer[0]).split("\t", 3)
    assert (name, ttl, klass) == ("a.test.", "300", "IN")
    assert expected == rest


def test_code_flags_and_sections_are_told_apart() -> None:
    address = record(1, bytes(4))
    found = parse(reply(address, address, flags=0x8583 | 0x0200, counts=(0, 1, 1)))

    assert found.rcode == "NXDOMAIN"
    assert found.authoritative
    assert found.truncated
    assert found.recursion
    assert (len(found.answer), len(found.authority), len(found.additional)) == (0, 1, 1)


def test_edns_has_the_upper_half_of_the_response_code() -> None:
    pseudo = record(41, b"\0\x0a\0\2ab", name=b"\0", ttl=0x01000000)

    assert parse(reply(pseudo, counts=(0, 0, 1))).rcode == "RCODE16"


def test_the_pseudo_record_of_edns_is_not_shown() -> None:
    assert parse(reply(record(41, b"", name=b"\0"), counts=(0, 0, 1))).additional == ()


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\0" * 11,
        reply(counts=(1, 0, 0)),
        reply(record(1, bytes(3))),
        reply(record(1, bytes(16))),
        reply(record(28, bytes(4))),
        reply(record(16, b"\5ab")),
        reply(record(41, b"\0\x0a\0\5ab", name=b"\0"), counts=(0, 0, 1)),
        reply(record(41, b"\0\x0a\0", name=b"\0"), counts=(0, 0, 1)),
        reply(record(1, bytes(4))[:-1]),
        reply(record(5, b"\xc0\xff")),
        reply(record(5, POINTER, name=b"\xc0\x1a")),
        reply(record(1, bytes(4), name=b"\x40")),
        reply(record(15, b"\0")),
        reply(record(257, b"\0")),
        reply(counts=(65535, 65535, 65535)),
        reply(record(5, (b"\x3f" + b"x" * 63) * 5 + b"\0")),
    ],
)
def test_a_damaged_answer_is_refused(damaged: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(damaged)


def test_a_name_that_points_to_itself_ends() -> None:
    with pytest.raises(MalformedError):
        parse(struct.pack("!6H", 7, 0x8180, 1, 0, 0, 0) + b"\xc0\x0c" + b"\0" * 4)


def test_a_serial_is_found_behind_names_with_spaces() -> None:
    names = b"\7a b c d" + POINTER + b"\3e f\0"
    (found,) = parse(reply(record(6, names + struct.pack("!5I", 42, 2, 3, 4, 5)))).answer

    assert found.data == "a\\ b\\ c\\ d.a.test. e\\ f. 42 2 3 4 5"
    assert serial_of(found) == 42


def test_names_that_point_at_names_that_point_are_read_again_and_again() -> None:
    first = 12 + len(QUESTION)
    www = struct.pack("!H", 0xC000 | first)
    inner = struct.pack("!H", 0xC000 | first + 4)
    found = parse(
        reply(
            record(1, bytes(4), b"\3www" + POINTER),
            record(1, bytes(4), b"\1x" + www),
            record(1, bytes(4), www),
            record(1, bytes(4), b"\1y" + inner),
            record(1, bytes(4), b"\0"),
        )
    )

    assert [one.name for one in found.answer] == [
        "www.a.test.", "x.www.a.test.", "www.a.test.", "y.a.test.", ".",
    ]  # fmt: skip


@pytest.mark.parametrize("labels", [64, 65])
def test_a_name_is_not_longer_with_a_pointer_than_without(labels: int) -> None:
    begun = 12 + len(QUESTION)
    long = record(1, bytes(4), b"\1a" * 63 + b"\0")
    more = record(1, bytes(4), b"\1b" * labels + struct.pack("!H", 0xC000 | begun))

    if labels == 64:
        assert parse(reply(long, more)).answer[1].name == "b." * 64 + "a." * 63
    else:
        with pytest.raises(MalformedError):
            parse(reply(long, more))


def test_thousands_of_pointers_to_one_long_name_take_no_time() -> None:
    begun = 12 + len(QUESTION)
    pointer = struct.pack("!H", 0xC000 | begun)
    long = record(5, pointer, b"\1a" * 126 + b"\0")
    begin = time.process_time()

    found = parse(reply(long, *[record(5, pointer, pointer)] * 4000))

    assert {one.name for one in found.answer} == {"a." * 126}
    assert time.process_time() - begin < 0.3


@given(st.binary(max_size=400))
def test_any_bytes_are_an_answer_or_refused(data: bytes) -> None:
    for candidate in (data, reply() + data, reply(counts=(2, 1, 1)) + data):
        try:
            parse(candidate)
        except MalformedError:
            continue


@pytest.mark.parametrize(
    ("expected", "data"),
    [
        (True, reply()),
        (True, reply().replace(b"a\x04test", b"A\x04TEST")),
        (True, struct.pack("!6H", 7, 0x8181, 0, 0, 0, 0)),
        (False, struct.pack("!6H", 8, 0x8180, 0, 0, 0, 0)),
        (False, ASKED),
        (False, reply().replace(b"a\x04test", b"b\x04test")),
        (False, b""),
    ],
)
def test_only_an_answer_to_this_question_counts(expected: bool, data: bytes) -> None:
    assert expected is answers(ASKED, data)


@pytest.mark.parametrize(
    ("expected", "name"),
    [
        (b"\0", "."),
        (b"\x01a\x04test\0", "a.test"),
        (b"\x01a\x04test\0", "a.test."),
        (b"\x0dxn--bcher-kva\x04test\0", "bücher.test"),
        (b"\x03a.b\x04test\0", "a\\.b.test"),
        (b"\x03a.b\x04test\0", "a\\046b.test."),
        (b"\x02a\\\x04test\0", "a\\\\.test"),
        (b"\x02\xff\0\0", "\\255\\000"),
    ],
)
def test_a_name_is_written_as_servers_read_it(expected: bytes, name: str) -> None:
    assert expected == encoded_name(name)


@pytest.mark.parametrize(
    "name",
    ["a..b", ".a", "x" * 64, ".".join(["x" * 63] * 4), "ü" * 64, "a\\", "a\\256.b", "a\\.b..c"],
)
def test_an_impossible_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        encoded_name(name)


def test_what_can_be_configured_is_what_can_be_written() -> None:
    assert set(TYPES) == set(typing.get_args(RecordType))
    assert set(CLASSES) == set(typing.get_args(RecordClass))
    assert set(RCODES) == set(typing.get_args(ResponseCode))
