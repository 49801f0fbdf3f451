"""A name server that answers from a table, and lies where a case wants it to.

Rule: written by hand, byte for byte, so that it can be wrong on purpose.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Mapping
from typing import Final

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT, CAA = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 257
CH, UNKNOWN = 3, 65280
_QR, _AA, _TC, _RA = 0x8000, 0x0400, 0x0200, 0x0080

Records = list[tuple[str, int, bytes]]


def name(text: str) -> bytes:
    labels = [label for label in text.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def a(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def soa(serial: int) -> bytes:
    return name("ns.example") + name("host.example") + struct.pack("!5I", serial, 1, 2, 3, 4)


def mx(preference: int, host: str) -> bytes:
    return struct.pack("!H", preference) + name(host)


def txt(*texts: bytes) -> bytes:
    return b"".join(bytes([len(one)]) + one for one in texts)


ZONE: Final[Mapping[tuple[str, int], tuple[int, Records, Records, Records]]] = {
    ("www.example.", A): (
        0,
        [("www.example.", A, a("192.0.2.1")), ("www.example.", A, a("192.0.2.2"))],
        [("example.", NS, name("ns.example"))],
        [("ns.example.", A, a("192.0.2.53"))],
    ),
    ("www.example.", AAAA): (0, [("www.example.", AAAA, a("2001:db8::1"))], [], []),
    ("www.example.", 255): (0, [("www.example.", A, a("192.0.2.1"))], [], []),
    ("alias.example.", A): (
        0,
        [("alias.example.", CNAME, name("www.example")), ("www.example.", A, a("192.0.2.1"))],
        [],
        [],
    ),
    ("example.", SOA): (0, [("example.", SOA, soa(7)), ("example.", SOA, soa(2024010101))], [], []),
    ("example.", MX): (0, [("example.", MX, mx(10, "mail.example"))], [], []),
    ("example.", TXT): (0, [("example.", TXT, txt(b"v=spf1 -all", b'say "hi"'))], [], []),
    ("example.", NS): (
        0,
        [("example.", NS, name("ns1.example")), ("example.", NS, name("ns2.example"))],
        [],
        [],
    ),
    ("example.", 255): (
        0,
        [("example.", NS, name("ns1.example")), ("example.", SOA, soa(7))],
        [],
        [],
    ),
    (".", NS): (0, [(".", NS, name("a.root-servers.net"))], [], []),
    ("1.2.0.192.in-addr.arpa.", PTR): (
        0,
        [("1.2.0.192.in-addr.arpa.", PTR, name("www.example"))],
        [],
        [],
    ),
    ("_sip._tcp.example.", SRV): (
        0,
        [("_sip._tcp.example.", SRV, struct.pack("!3H", 10, 20, 5060) + name("sip.example"))],
        [],
        [],
    ),
    ("example.", CAA): (0, [("example.", CAA, b"\0\5issueca.example")], [], []),
    ("odd.example.", TXT): (0, [("odd.example.", TXT, txt(b'a"b\\c\xff', b""))], [], []),
    ("alias-odd.example.", CNAME): (
        0,
        [("alias-odd.example.", CNAME, b"\7a.b@c d\7example\0")],
        [],
        [],
    ),
    ("unknown.example.", A): (0, [("unknown.example.", UNKNOWN, b"abc")], [], []),
    ("version.bind.", TXT): (0, [("version.bind.", TXT, txt(b"9.x"))], [], []),
    ("recursive.example.", A): (0, [("recursive.example.", A, a("192.0.2.3"))], [], []),
    ("notimp.example.", A): (4, [], [], []),
    ("formerr.example.", A): (1, [], [], []),
    ("edns.example.", A): (
        0,
        [("edns.example.", A, a("192.0.2.4"))],
        [],
        [("", OPT, b"")],
    ),
    ("trailing.example.", A): (0, [("trailing.example.", A, a("192.0.2.5"))], [], []),
    ("unasked.example.", A): (0, [("unasked.example.", A, a("192.0.2.6"))], [], []),
    ("short.example.", A): (0, [("\0", A, a("192.0.2.8"))], [], []),
    ("round.example.", A): (0, [("\1", A, a("192.0.2.9"))], [], []),
    ("large.example.", TXT): (
        0,
        [("large.example.", TXT, txt(b"x" * 200)) for _ in range(4)],
        [],
        [],
    ),
    ("empty.example.", A): (0, [], [("example.", SOA, soa(7))], []),
    ("gone.example.", A): (3, [], [("example.", SOA, soa(7))], []),
    ("refused.example.", A): (5, [], [], []),
    ("broken.example.", A): (2, [], [], []),
}


def reply(query: bytes) -> bytes:
    asked, kind, end = _question(query)
    asked = asked.lower()
    if asked.endswith(".hex.example."):
        spelt = bytes.fromhex(asked.removesuffix(".hex.example.").replace(".", ""))
        return query[:2] + spelt[:10] + query[12:end] + spelt[10:]
    code, *sections = ZONE.get(
        (asked.removeprefix("cut-").removeprefix("liar-"), kind), (3, [], [], [])
    )
    wants_recursion = struct.unpack_from("!H", query, 2)[0] & 0x0100
    if asked.startswith("recursive") and not wants_recursion:
        code, sections = 5, [[], [], []]
    flags = _QR | _AA | _RA | wants_recursion | code
    if asked.startswith("cut-"):
        flags |= _TC
    counts = [len(section) for section in sections]
    asks = not asked.startswith("unasked.")
    head = query[:2] + struct.pack("!HHHHH", flags, asks, *counts)
    if asks:
        head += query[12:end]
    klass = CH if asked == "version.bind." else 1
    records = b"".join(_record(*one, klass) for each in sections for one in each)
    return head + records + b"\0\0\0\0\0" * asked.startswith("trailing.")


def datagrams(query: bytes) -> list[bytes]:
    """What is sent back over UDP; a liar sends an answer with another id first."""
    asked, _, _ = _question(query)
    if asked.startswith("silent"):
        return []
    if asked.startswith("garbled"):
        return [query[:2] + b"\x80\x00\x00\x01"]
    said = reply(query)
    if asked.startswith("liar-"):
        return [bytes([said[0] ^ 0x55]) + said[1:], said]
    return [said]


def stream(connection: socket.socket) -> None:
    """One question and its answer over TCP."""
    size = int.from_bytes(_exactly(connection, 2), "big")
    query = _exactly(connection, size)
    if _question(query)[0].startswith("silent"):
        connection.recv(1)
        return
    said = reply(query)
    connection.sendall(len(said).to_bytes(2, "big") + said)
    connection.recv(1)


def _record(owner: str, kind: int, data: bytes, klass: int) -> bytes:
    """``"\\0"`` stands for a pointer to the question's name, ``"\\1"`` for one to itself."""
    owners = {"\0": b"\xc0\x0c", "\1": b"\x01a\xc0\x1f"}
    ttl, klass = (0, 1232) if kind == OPT else (300, klass)
    encoded = owners.get(owner) or name(owner)
    return encoded + struct.pack("!HHIH", kind, klass, ttl, len(data)) + data


def _question(query: bytes) -> tuple[str, int, int]:
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    kind = struct.unpack_from("!H", query, at + 1)[0]
    return ".".join(labels) + ".", kind, at + 5


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ValueError("no question")
        data += piece
    return data
