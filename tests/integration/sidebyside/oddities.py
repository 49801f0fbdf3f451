"""Cases over TCP and DNS in which the case itself says every byte of the answer.

Rule: as in :mod:`tests.integration.sidebyside.cases`. The parrot says what it is told in
hexadecimal, a line for a line; the name server of ``….hex.example`` answers what the name spells.
"""

from __future__ import annotations

import struct
from typing import Any

from tests.integration.sidebyside.cases import CA, Case, dns, http, tcp

Step = dict[str, Any]


def heard(name: str, words: bytes, ok: bool, /, *patterns: str, **options: Any) -> Case:
    """The parrot says these words, which the patterns are held against in turn."""
    steps: list[Step] = [{"send": words.hex()}, *({"expect": pattern} for pattern in patterns)]
    options.setdefault("timeout", "5s" if ok else "700ms")
    return tcp(name, "127.0.0.1:{parrot}", ok, *steps, **options)


def sent(name: str, line: str, pattern: str, template: str, expected: str, ok: bool = True) -> Case:
    """What ``template`` makes of what the pattern finds in the line comes back as an echo."""
    return tcp(
        name,
        "127.0.0.1:{parrot}",
        ok,
        {"send": (line + "\n").encode().hex()},
        {"expect": pattern, "send": "=" + template},
        {"expect": expected},
    )


LINES = [
    heard("an empty line", b"a\n\nb\n", True, "^a$", "^$", "^b$"),
    heard("a zero in a line", b"a\0b\n", True, "^a\\x00b$"),
    heard("a carriage return alone", b"\r\r\n", True, "^\r$"),
    heard("a tab at the end", b"a\t\n", True, "^a\t$"),
    heard("letters of two bytes", "größe\n".encode(), True, r"^gr\p{L}{2}e$"),
    heard("half a letter", b"gr\xc3\n", True, "^gr.$"),
    heard("letters of any case", b"HELO\n", True, "(?i)^helo$"),
    heard("the long s is an s of any case", "\u017f\n".encode(), True, "(?i)^S$"),
    heard("a flag in the middle", b"abC\n", True, "^ab(?i)c$"),
    heard("a flag for a part", b"abC\n", False, "^(?i:ab)c$"),
    heard("what is quoted", b"a.b\n", True, r"^\Qa.b\E$"),
    heard("what is quoted and not", b"axb\n", False, r"^\Qa.b\E$"),
    heard("words by their edges", b"the fox.\n", True, r"\bfox\b"),
    heard("no word's edge", b"foxes\n", False, r"\bfox\b"),
    heard("a class by its name", b"a1_\n", True, r"^[[:alpha:]][[:digit:]][[:word:]]$"),
    heard("a class that is negated", b"a\n", True, r"^[[:^digit:]]$"),
    heard("digits of another script", "٣\n".encode(), False, r"^\d$"),
    heard("numbers of another script", "٣\n".encode(), True, r"^\pN$"),
    heard("a dollar before the end", b"a\nb\n", False, "a\\z.", "x"),
    heard("lazy and greedy", b"aab\n", True, "(?U)^a+b$"),
    heard("a thousand times", b"a" * 1000 + b"\n", True, "^a{1000}$"),
    heard("one time too many", b"a" * 1001 + b"\n", False, "^a{1000}$"),
    heard("two patterns for one line", b"a\nb\n", False, "^a$", "^a$"),
    heard("a line that does not match is skipped", b"x\ny\na\n", True, "^a$"),
    tcp("a line of just the longest", "127.0.0.1:{line_65535}", True, {"expect": "a$"}),
    tcp("a line of one more than the longest", "127.0.0.1:{line_65536}", False, {"expect": "a$"}),
]  # fmt: skip
SENT = [
    sent("the same group twice", "abc", "(b)", "$1$1", "^bb$"),
    sent("a group in braces before letters", "abc", "(b)", "${1}x", "^bx$"),
    sent("a group before letters", "abc", "(b)", "$1x", "^$"),
    sent("two dollars", "abc", "(b)", "$$1", r"^\$1$"),
    sent("a dollar at the end", "abc", "(b)", "a$", r"^a\$?$"),
    sent("a dollar before a sign", "abc", "(b)", "$-$1", r"^\$?-b$"),
    sent("a brace that is open", "abc", "(b)", "${1", r"^(\$\{1)?$"),
    sent("an empty brace", "abc", "(b)", "${}", r"^(\$\{\})?$"),
    sent("group twelve", "abc", "(b)", "$12", "^$"),
    sent("group one, then two in braces", "abc", "(b)(c)", "${1}2${2}", "^b2c$"),
    sent("a group by its name in braces", "abc", "(?P<it>b)", "${it}s", "^bs$"),
    sent("a group by its name before letters", "abc", "(?P<it>b)", "$its", "^$"),
    sent("a letter that is no ASCII", "abc", "(b)", "$é$1", r"^(\$é)?b$"),
    sent("a group that took no part", "abc", "(x)|(b)", "$1-$2", "^-b$"),
    sent("a group with leading zeros", "abc", "(b)", "$01", "^b?$"),
    sent("what matched is no UTF-8", "a\u00e9c", "a(.)", "$1", "^é$"),
    sent("no group at all", "abc", "b", "$1", "^$"),
]
TALKS = [
    tcp("TLS without a certificate", "127.0.0.1:{parrot}", False, tls=True, tls_config=CA,
        timeout="1s"),
    tcp("an IPv6 address without brackets", "::1:{http6}", False),
    tcp("a name in capitals", "LOCALHOST:{parrot}", True),
    tcp("a port by its name", "127.0.0.1:nosuchservice", False),
    tcp("port 0", "127.0.0.1:0", False),
    tcp("a port with a sign", "127.0.0.1:+{parrot}", True),
    tcp("a space before the target", " 127.0.0.1:{parrot}", False),
    tcp("no target but a port", ":{parrot}", False),
    tcp("from an address of another family", "127.0.0.1:{parrot}", False, source_ip_address="::1"),
    http("a header of YAML's own types", "/echo", True,
         headers={"X-A": 1, "X-B": True, "X-C": 1.5},
         fail_if_body_not_matches_regexp=["x-a: 1\n(?s:.*)x-b: true\n(?s:.*)x-c: 1.5"]),
]  # fmt: skip
POINTER = b"\xc0\x0c"
A_192 = struct.pack("!HHIH", 1, 1, 300, 4) + bytes([192, 0, 2, 1])


def rr(kind: int, data: bytes, owner: bytes = POINTER, klass: int = 1, ttl: int = 300) -> bytes:
    return owner + struct.pack("!HHIH", kind, klass, ttl, len(data)) + data


def spelt(
    name: str, ok: bool, body: bytes, /, *, counts: tuple[int, ...] = (1, 1, 0, 0),
    flags: int = 0x8180, **options: Any,
) -> Case:  # fmt: skip
    """The answer is the header, the question and ``body``."""
    told = (struct.pack("!5H", flags, *counts) + body).hex()
    labels = [told[at : at + 62] for at in range(0, len(told), 62)]
    options.setdefault("query_type", "A")
    return dns(name, ".".join([*labels, "hex.example"]), ok, timeout="1s", **options)


def answered(pattern: str) -> Step:
    return {"validate_answer_rrs": {"fail_if_not_matches_regexp": [pattern]}}


NAMES = [
    spelt("one address", True, rr(1, bytes([192, 0, 2, 1])), **answered("A\t192.0.2.1$")),
    spelt("fewer records are told than there are", True, rr(1, bytes(4)) * 2),
    spelt("no records, but bytes", True, b"abc", counts=(1, 0, 0, 0)),
    spelt("an address of five bytes", False, rr(1, bytes(5))),
    spelt("an address of three bytes", False, rr(1, bytes(3))),
    spelt("an IPv6 address of four bytes", False, rr(28, bytes(4)), query_type="AAAA"),
    spelt("data beyond the end", False, rr(1, bytes(4))[:-2]),
    spelt("text without text", True, rr(16, b""), query_type="TXT"),
    spelt("text beyond its record", False, rr(16, b"\5ab"), query_type="TXT"),
    spelt("an empty text", True, rr(16, b"\0"), query_type="TXT", **answered('TXT\t""$')),
    spelt("a time to live of 2^32 - 1", True, rr(1, bytes(4), ttl=0xFFFFFFFF),
          **answered("\t4294967295\t")),
    spelt("a class nobody knows", True, rr(1, bytes(4), klass=17), **answered("\tCLASS17\tA\t")),
    spelt("the class HS", True, rr(1, bytes(4), klass=4), **answered("\tHS\tA\t")),
    spelt("the class ANY", True, rr(1, bytes(4), klass=255), **answered("\tCLASS255\tA\t")),
    spelt("a label of a kind that was never made", False, rr(1, bytes(4), owner=b"\x80a\0")),
    spelt("an alias of itself", True, rr(5, b"\xc0\x0c"), query_type="CNAME"),
    spelt("a serial behind names with spaces", True,
          rr(6, b"\3a b\0\3c d\0" + struct.pack("!5I", 7, 1, 2, 3, 4)),
          query_type="SOA"),
    spelt("two serials", True,
          rr(6, b"\0\0" + struct.pack("!5I", 7, 1, 2, 3, 4)) * 2, query_type="SOA"),
    spelt("a code of 11", False, b"", counts=(1, 0, 0, 0), flags=0x818B),
    spelt("YXDOMAIN that is good", True, b"", counts=(1, 0, 0, 0), flags=0x8186,
          valid_rcodes=["YXDOMAIN"]),
    spelt("a code in small letters", False, rr(1, bytes(4)), valid_rcodes=["noerror"]),
    spelt("a notice", True, rr(1, bytes(4)), flags=0xA180),
    spelt("every flag", True, rr(1, bytes(4)), flags=0xFFF0),
    spelt("mail for nobody", True, rr(15, b"\0\0\0"), query_type="MX", **answered("MX\t0 .$")),
    spelt("EDNS with options", True, rr(1, bytes(4)) + rr(41, b"\0\x0a\0\2ab", b"\0", 1232, 0),
          counts=(1, 1, 0, 1)),
    spelt("EDNS with a cut option", False,
          rr(41, b"\0\x0a\0\5ab", b"\0", 1232, 0), counts=(1, 0, 0, 1)),
    spelt("EDNS of another version", True, rr(1, bytes(4)) + rr(41, b"", b"\0", 1232, 0x00010000),
          counts=(1, 1, 0, 1)),
    spelt("EDNS with more of the code", False, rr(41, b"", b"\0", 1232, 0x01000000),
          counts=(1, 0, 0, 1)),
    spelt("EDNS twice", True, rr(41, b"", b"\0", 1232, 0) * 2, counts=(1, 0, 0, 2)),
    spelt("two aliases that go round", True, rr(5, b"\1b\0", b"\1a\0") + rr(5, b"\1a\0", b"\1b\0"),
          counts=(1, 2, 0, 0), query_type="CNAME"),
    spelt("permission without a tag", True, rr(257, b"\0\0x"), query_type="CAA"),
    dns("a transport in capitals", "www.example", False, transport_protocol="UDP"),
    dns("a name with a label of 64", "a" * 64 + ".example", False, query_type="A"),
    dns("a name with an empty label", "a..example", False, query_type="A"),
    dns("a name with an escape", "www\\.example", True, query_type="A"),
    dns("a name that is no ASCII", "bücher.example", False, query_type="A"),
    dns("a name of a server that is none", "www.example", False, target="a b:53"),
    dns("a server without a port", "www.example", False, target="127.0.0.1", timeout="1s"),
    dns("a server of the other family alone", "www.example", False, target="[::1]:{dns}",
        preferred_ip_protocol="ip4", ip_protocol_fallback=False, timeout="1s"),
    dns("from an address to a name server", "www.example", True, query_type="A",
        source_ip_address="127.0.0.9"),
]  # fmt: skip
PINGS = [
    Case("a ping from an address", "127.0.0.1", ok=True, module={
        "prober": "icmp",
        "icmp": {"source_ip_address": "127.0.0.9", "preferred_ip_protocol": "ip4"}}),
    Case("a ping that may not be divided", "127.0.0.1", ok=True, module={
        "prober": "icmp", "icmp": {"dont_fragment": True, "preferred_ip_protocol": "ip4"}}),
    Case("a ping of a name nobody knows", "no-such-host.invalid", ok=False, module={
        "prober": "icmp", "timeout": "3s"}),
    Case("a ping with a port",
          "127.0.0.1:80", ok=False, module={"prober": "icmp", "timeout": "3s"}),
    Case("a ping of a URL",
          "http://127.0.0.1/", ok=False, module={"prober": "icmp", "timeout": "3s"}),
    Case("a ping of a mapped address", "::ffff:127.0.0.1", ok=True, module={"prober": "icmp"}),
]  # fmt: skip
GOOD = {"prober": "http", "timeout": "5s"}
ASKED = [
    Case("debug in capitals", "http://127.0.0.1:{http}/", GOOD, query={"debug": "TRUE"}, ok=True),
    Case("an empty hostname", "http://127.0.0.1:{http}/", GOOD, query={"hostname": ""}, ok=True),
    Case("a target of a space", " ", GOOD, ok=False),
    Case("a target of a zero", "http://127.0.0.1:{http}/\0", GOOD, ok=False),
    Case("a target of one sign", "?", GOOD, ok=False),
    Case("a semicolon in what is asked",
          "http://127.0.0.1:{http}/", GOOD, ok=True, more="&a=b;c=d"),
    Case("an escape that is none in what is asked", "http://127.0.0.1:{http}/", GOOD, ok=True,
         more="&a=%zz"),
    Case("a timeout with spaces", "http://127.0.0.1:{http}/", GOOD, scrape=" 5 ", ok=True),
]  # fmt: skip

ODDITIES = [*LINES, *SENT, *TALKS, *NAMES, *PINGS, *ASKED]
