"""The small parts of a probe: numbers, names, timeouts, histories, rules, bodies."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import pytest

from cbmon.blackbox.addresses import fitting, fnv, listed, port_number, split_host_port
from cbmon.blackbox.certificates import cipher_name
from cbmon.blackbox.dns import broken_rule, question
from cbmon.blackbox.gauges import Gauges, number
from cbmon.blackbox.history import LONGEST, History
from cbmon.blackbox.lines import LONGEST_LINE, Talk
from cbmon.blackbox.modules import DnsModule, Module, RecordRules
from cbmon.blackbox.names import written
from cbmon.blackbox.prober import PROBERS, prober, timeout_of, usable
from cbmon.blackbox.reading import MOST_KEPT, Body, Shelf
from cbmon.blackbox.unpacking import STEP, unpacker
from cbmon.errors import MissingExtraError
from cbmon.probes.failure import ProbeError


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1, "1"), (-1, "-1"), (0.5, "0.5"), (999999, "999999"), (1e6, "1e+06"),
     (1796062999, "1.796062999e+09"), (-62135596800, "-6.21355968e+10"), (1e-5, "1e-05"),
     (0.0001, "0.0001"), (0.1 + 0.2, "0.30000000000000004"), (1.1, "1.1"),
     (math.inf, "+Inf"), (math.nan, "NaN"), (1e21, "1e+21")],
)  # fmt: skip
def test_numbers_are_written_as_go_does(value: float, text: str) -> None:
    assert number(value) == text
    assert math.isnan(value) or float(text) == value


def test_gauges_are_sorted_and_labels_escaped() -> None:
    gauges = Gauges()
    gauges.declare("probe_b", "second")
    gauges.declare_labelled("probe_a", "first\nline")
    gauges.declare_labelled("probe_none", "has no samples")
    gauges.set("probe_a", 1, name='a"b\n')
    gauges.add("probe_b", 2)
    gauges.declare("probe_b", "declared again")
    assert gauges.text() == (
        "# HELP probe_a first\\nline\n# TYPE probe_a gauge\n"
        'probe_a{name="a\\"b\\n"} 1\n'
        "# HELP probe_b second\n# TYPE probe_b gauge\nprobe_b 2\n"
    )


@pytest.mark.parametrize(
    ("header", "module", "expected"),
    [("", 0, 119.5), ("", 5, 5), ("10", 0, 9.5), ("10", 5, 5), ("10", 20, 9.5), ("0.3", 5, 5),
     ("0.3", 0, 0), ("0", 5, 5), ("0", 0, 119.5), ("0.5", 5, 0), ("10", -5, 9.5),
     ("-3", 5, 5), ("inf", 5, 5), ("1e9", 0, 119.5)],
)  # fmt: skip
def test_the_smaller_timeout_counts(header: str, module: float, expected: float) -> None:
    assert timeout_of(header, module) == expected


@pytest.mark.parametrize("header", ["soon", "1s", "nan", "1,5"])
def test_a_timeout_that_is_no_number_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match=r"number|float"):
        timeout_of(header, 5)


def test_a_target_is_decoded_again_only_when_it_is_of_no_use() -> None:
    http, tcp = Module(prober="http"), Module(prober="tcp")
    assert usable("http://a/x%2Fy", http) == "http://a/x%2Fy"
    assert usable("http%3A%2F%2Fa%2Fx", tcp) == "http%3A%2F%2Fa%2Fx"
    assert usable("http://[::1%5D/", http) == "http://[::1]/"


def test_every_prober_can_be_had() -> None:
    assert all(callable(prober(name)) for name in PROBERS)


def test_the_hash_of_an_address() -> None:
    assert fnv(b"") == 0x811C9DC5
    assert fnv(bytes([127, 0, 0, 1])) == 3668918509


@pytest.mark.parametrize(
    ("target", "parts"),
    [("a:1", ("a", "1")), ("[::1]:2", ("::1", "2")), (":3", ("", "3")), ("a:", ("a", ""))],
)
def test_targets_are_split(target: str, parts: tuple[str, str]) -> None:
    assert split_host_port(target) == parts


@pytest.mark.parametrize("target", ["a", "::1", "a:b:1", "[::1", "[::1]", "[a]b:1", "a]:1"])
def test_targets_that_cannot_be_split(target: str) -> None:
    with pytest.raises(ValueError, match="address"):
        split_host_port(target)


@pytest.mark.parametrize("port", ["", "x", "-1", "65536", "\uff18"])
def test_ports_that_are_none(port: str) -> None:
    with pytest.raises(ProbeError):
        port_number(port)


def test_localhost_is_what_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("# comment\n127.0.0.1 other localhost # not ::2\n::1 LocalHost\nx localhost\n")
    assert listed("localhost", file) == ["127.0.0.1", "::1"]
    assert listed("localhost", file.with_name("none")) == []
    assert fitting(["127.0.0.1", "::1"], "prefer_ipv6") == "::1"
    assert fitting(["127.0.0.1"], "prefer_ipv6") == "127.0.0.1"
    assert fitting([], "ipv6") is None
    with pytest.raises(ProbeError):
        fitting(["127.0.0.1"], "ipv6")


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([("countryName", "DE"), ("organizationName", "O, Inc."), ("commonName", "a")],
         "CN=a,O=O\\, Inc.,C=DE"),
        ([("organizationName", "b"), ("organizationName", "c")], "O=b+O=c"),
        ([("commonName", "a"), ("commonName", "z")], "CN=z"),
        ([("commonName", " a#b ")], "CN=\\ a#b\\ "),
        ([("commonName", "#a")], "CN=\\#a"),
        ([("emailAddress", "a@b"), ("commonName", "c")],
         "CN=c,1.2.840.113549.1.9.1=#0c03614062"),
        ([("domainComponent", "com"), ("commonName", "c")],
         "CN=c,0.9.2342.19200300.100.1.25=#1303636f6d"),
        ([("1.2.3", "x" * 200)], "1.2.3=#1381c8" + "78" * 200),
        ([], ""),
    ],
)  # fmt: skip
def test_names_are_written_as_go_does(pairs: list[tuple[str, str]], text: str) -> None:
    assert written(tuple((pair,) for pair in pairs)) == text


@pytest.mark.parametrize(
    ("name", "standard"),
    [
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        ("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"),
        ("ECDHE-RSA-AES256-SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
        ("AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384"),
    ],
)
def test_ciphers_have_the_standards_names(name: str, standard: str) -> None:
    assert cipher_name((name, "TLSv1.2", 128)) == standard
    assert cipher_name(None) == ""


# --- history --------------------------------------------------------------------------------


def test_failures_are_remembered_longer() -> None:
    history = History(limit=2)
    for number_, ok in enumerate([False, True, True, False, True, True]):
        history.add("m", f"t{number_}", lambda: "x" * (2 * LONGEST), ok=ok)
    assert [entry.target for entry in history] == ["t5", "t4", "t3", "t0"]
    assert all(len(entry.text) == LONGEST for entry in history)
    assert history.by_number(3) is not None
    assert history.by_number(1) is None


def test_the_newest_probe_of_a_target_is_found() -> None:
    history = History()
    history.add("a", "t", lambda: "first", ok=True)
    history.add("b", "t", lambda: "second", ok=True)
    newest, of_a = history.by_target("t"), history.by_target("t", "a")
    assert newest is not None
    assert of_a is not None
    assert (newest.text, of_a.text) == ("second", "first")
    assert history.by_target("u") is None


# --- records --------------------------------------------------------------------------------

RECORDS = ["a.\t300\tIN\tA\t192.0.2.1", "a.\t300\tIN\tA\t192.0.2.2"]


@pytest.mark.parametrize(
    ("rules", "records", "good"),
    [
        ({}, [], True),
        ({"fail_if_matches_regexp": ["2$"]}, RECORDS, False),
        ({"fail_if_matches_regexp": ["2$"]}, [], True),
        ({"fail_if_not_matches_regexp": ["2$"]}, RECORDS, False),
        ({"fail_if_not_matches_regexp": ["^a.\t300\tIN\tA\t192"]}, RECORDS, True),
        ({"fail_if_not_matches_regexp": ["x"]}, [], False),
        ({"fail_if_none_matches_regexp": ["2$", "x"]}, RECORDS, True),
        ({"fail_if_none_matches_regexp": ["x"]}, RECORDS, False),
        ({"fail_if_none_matches_regexp": ["x"]}, [], False),
        ({"fail_if_all_match_regexp": ["192"]}, RECORDS, True),
        ({"fail_if_all_match_regexp": ["2$"]}, RECORDS, False),
        ({"fail_if_all_match_regexp": ["x"]}, [], True),
    ],
)
def test_rules_for_records(rules: dict[str, list[str]], records: list[str], good: bool) -> None:
    made = RecordRules(**{key: tuple(value) for key, value in rules.items()})
    assert (broken_rule(records, made) is None) is good


def test_a_pattern_that_is_none_is_told_at_the_probe() -> None:
    with pytest.raises(ValueError, match="RE2"):
        broken_rule(RECORDS, RecordRules(fail_if_matches_regexp=("(?=x)",)))


def test_a_question_has_what_the_module_says() -> None:
    asked = question(DnsModule(query_name="a.example", query_type="NSEC3", recursion_desired=False))
    assert asked[2:4] == b"\0\0"
    assert asked[12:] == b"\1a\7example\0" + b"\0\x32\0\1"


# --- bodies ---------------------------------------------------------------------------------


def unpacked(compression: str, data: bytes) -> bytes:
    found = unpacker(compression)
    assert found is not None
    pieces = list(found.feed(data))
    found.end()
    assert all(len(piece) <= STEP for piece in pieces)
    return b"".join(pieces)


def raw(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def test_what_was_packed_is_unpacked() -> None:
    text = b"abc" * 100_000
    assert unpacked("GZIP", gzip.compress(text, mtime=0)) == text
    assert unpacked("gzip", gzip.compress(text, mtime=0) + gzip.compress(b"x")) == text + b"x"
    assert unpacked("deflate", raw(text)) == text
    assert unpacked("deflate", raw(text) + b"rest") == text
    assert unpacker("identity") is None
    assert unpacker("") is None


@pytest.mark.parametrize("more", [-1, 0, 1, 100, STEP, STEP + 1])
def test_what_yields_more_than_a_step_with_its_last_byte_is_whole(more: int) -> None:
    text = b"a" * (STEP + more)
    assert unpacked("deflate", raw(text)) == text


@pytest.mark.parametrize(
    ("compression", "data"),
    [("gzip", b""), ("gzip", b"x"), ("gzip", gzip.compress(b"x", mtime=0)[:-1]), ("deflate", b""),
     ("gzip", gzip.compress(b"x", mtime=0) + b"garbage"), ("deflate", zlib.compress(b"x"))],
)  # fmt: skip
def test_what_is_damaged_is_refused(compression: str, data: bytes) -> None:
    with pytest.raises(ProbeError, match="cannot decompress"):
        unpacked(compression, data)


def test_an_unknown_compression_fails_the_probe() -> None:
    with pytest.raises(ProbeError, match="unsupported"):
        unpacker("zstd")


def test_brotli_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "brotli", None)
    with pytest.raises(MissingExtraError, match=r"cbmon\[brotli\]"):
        unpacker("br")


def test_a_limit_is_counted_to_the_byte() -> None:
    body = Body("", 10, Shelf())
    body.take(b"a" * 10)
    with pytest.raises(ProbeError, match="larger than 10 bytes"):
        body.take(b"b")
    assert (body.size, bytes(body.content)) == (10, b"a" * 10)


def test_what_is_kept_has_one_character_for_each_byte_that_is_no_text() -> None:
    body = Body("", 0, Shelf())
    for piece in (b"a\xe2", b"\x82", b"\xac\xff\xe2", b"\x82b\xce"):
        body.take(piece)
    body.whole()
    assert bytes(body.content).decode() == "a\u20ac\ufffd\ufffd\ufffdb\ufffd"
    assert body.size == 9


def test_the_largest_body_is_given_up_when_all_together_are_too_large() -> None:
    shelf = Shelf()
    small, large, later = (Body("", 0, shelf) for _ in range(3))
    small.take(b"s" * 1000)
    large.take(b"l" * (MOST_KEPT - 1000))
    later.take(b"x")
    with pytest.raises(ProbeError, match="this one most"):
        large.take(b"l")
    small.whole()
    assert (len(small.content), len(large.content), len(later.content)) == (1000, 0, 1)

    small.end()
    later.take(b"x" * (MOST_KEPT - 1))
    with pytest.raises(ProbeError, match="this one most"):
        later.take(b"x")


# --- lines ----------------------------------------------------------------------------------


async def test_lines_end_with_a_feed_or_with_the_connection() -> None:
    talk = Talk()
    talk.data_received(b"one\r\ntwo\nth")
    talk.data_received(b"ree\r")
    talk.eof_received()
    assert [await talk.line() for _ in range(4)] == [b"one", b"two", b"three", None]


async def test_a_line_that_is_too_long_is_refused() -> None:
    talk = Talk()
    talk.data_received(b"x" * LONGEST_LINE)
    with pytest.raises(ProbeError, match="too long"):
        await talk.line()


async def test_a_broken_connection_is_no_end_of_lines() -> None:
    talk = Talk()
    talk.data_received(b"abc")
    talk.connection_lost(ConnectionResetError(104, "reset"))
    with pytest.raises(ProbeError, match="reset"):
        await talk.line()


async def test_bytes_are_counted_off() -> None:
    talk = Talk()
    talk.data_received(b"Srest")
    assert await talk.exactly(1) == b"S"
    talk.eof_received()
    assert await talk.exactly(9) == b"rest"
