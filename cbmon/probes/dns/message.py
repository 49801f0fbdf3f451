"""DNS messages: a question out, an answer in (RFC 1035, 3596, 2782, 3597, 8659).

Rule: pure, and no answer is trusted: compression only points backwards, lengths are held
against the message, and whatever does not parse raises MalformedError, nothing else.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

TYPES: Final = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "PTR": 12,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SRV": 33,
    "DS": 43,
    "DNSKEY": 48,
    "TLSA": 52,
    "SVCB": 64,
    "HTTPS": 65,
    "ANY": 255,
    "CAA": 257,
}
CLASSES: Final = {"IN": 1, "CH": 3, "HS": 4}
RCODES: Final = {
    "NOERROR": 0,
    "FORMERR": 1,
    "SERVFAIL": 2,
    "NXDOMAIN": 3,
    "NOTIMP": 4,
    "REFUSED": 5,
    "YXDOMAIN": 6,
    "YXRRSET": 7,
    "NXRRSET": 8,
    "NOTAUTH": 9,
    "NOTZONE": 10,
}
_TYPE_NAMES: Final = {number: name for name, number in TYPES.items()}
_CLASS_NAMES: Final = {number: name for name, number in CLASSES.items()}
_RCODE_NAMES: Final = {number: name for name, number in RCODES.items()}
_HEADER: Final = struct.Struct("!6H")
_RECORD: Final = struct.Struct("!HHIH")
_TOKEN: Final = re.compile(r"\\(?:[01][0-9]{2}|2[0-4][0-9]|25[0-5])|\\[^0-9]|[^\\]", re.DOTALL)
_MOST_RECORDS: Final = 4096
_MOST_JUMPS: Final = 126
"""Pointers in one name: it has no more labels."""


class _Wire(bytes):
    """A message. ``names`` are those read in it so far, by where they begin, with their lengths.

    Without them a message of 64 KB could hold thousands of pointers to one long name, each of
    which would be read anew: a second of work.
    """

    names: dict[int, tuple[str, int]]


class MalformedError(ValueError):
    """Not a DNS message, or a damaged one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A resource record; ``data`` is in the zone file's format."""

    name: str
    ttl: int
    klass: str
    kind: str
    data: str

    def __str__(self) -> str:
        return f"{self.name}\t{self.ttl}\t{self.klass}\t{self.kind}\t{self.data}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer."""

    rcode: str
    authoritative: bool
    truncated: bool
    recursion: bool
    """Whether the server offers recursion."""
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]
    pseudo: int = 0
    """Further records of the additional section, which are EDNS's."""


def question(number: int, name: str, kind: str, klass: str, *, recursive: bool) -> bytes:
    """A question with that id; ValueError for a name that cannot be asked for."""
    return (
        _HEADER.pack(number, 0x0100 if recursive else 0, 1, 0, 0, 0)
        + encoded_name(name)
        + struct.pack("!HH", TYPES[kind], CLASSES[klass])
    )


def encoded_name(name: str) -> bytes:
    """The name on the wire; ValueError for one that is too long or has an empty label.

    What it escapes, as in a zone file, is part of a label.
    """
    if "\\" in name:
        labels = _unescaped(name)
    else:
        labels = [_ascii(label) for label in name.rstrip(".").split(".") if name.rstrip(".")]
    wire = b""
    for data in labels:
        if not 0 < len(data) < 64:
            raise ValueError(f"a label of {name} is empty or longer than 63 bytes")
        wire += bytes([len(data)]) + data
    if len(wire) > 254:
        raise ValueError(f"{name} is longer than 253 bytes")
    return wire + b"\0"


def _ascii(label: str) -> bytes:
    return label.encode() if label.isascii() else label.encode("idna")


def _unescaped(name: str) -> list[bytes]:
    """The labels of a name in a zone file's format: with ``\\.`` or ``\\046`` a dot is in one."""
    parts = _TOKEN.findall(name)
    if "".join(parts) != name:
        raise ValueError(f"{name} holds a backslash before nothing that it could escape")
    labels = [b""]
    for part in parts:
        if part == ".":
            labels.append(b"")
        else:
            labels[-1] += bytes([int(part[1:])]) if len(part) == 4 else part[-1:].encode()
    return labels if labels[-1] else labels[:-1]


def answers(asked: bytes, data: bytes) -> bool:
    """Whether ``data`` is an answer to the question ``asked``: same id, same question if any."""
    if len(data) < 12 or data[:2] != asked[:2] or not data[2] & 0x80:
        return False
    said, wanted = data[12 : len(asked)], asked[12:]
    return said == wanted or data[4:6] == b"\0\0" or said.lower() == wanted.lower()


def parse(data: bytes) -> Reply:
    """The answer in ``data``; MalformedError for anything else."""
    wire = _Wire(data)
    wire.names = {}
    try:
        return _parsed(wire)
    except (struct.error, IndexError, ValueError) as error:
        raise MalformedError("not a whole DNS message") from error


def serial_of(record: Record) -> int:
    """The serial number in a SOA record; counted from its end, as names may hold spaces."""
    return int(record.data.rsplit(" ", 5)[1])


def _parsed(data: _Wire) -> Reply:
    _, flags, questions, *counts = _HEADER.unpack_from(data)
    if sum(counts) > _MOST_RECORDS:
        raise MalformedError("more records than fit into a message")
    at = _HEADER.size
    for _ in range(questions):
        at = _name(data, at)[1] + 4
    sections: list[tuple[Record, ...]] = []
    upper = 0
    for count in counts:
        records = []
        for _ in range(count):
            record, at = _record(data, at)
            if isinstance(record, Record):
                records.append(record)
            else:
                upper = record
        sections.append(tuple(records))
    code = upper << 4 | flags & 0xF
    return Reply(
        rcode=_RCODE_NAMES.get(code, f"RCODE{code}"),
        authoritative=bool(flags & 0x0400),
        truncated=bool(flags & 0x0200),
        recursion=bool(flags & 0x0080),
        answer=sections[0],
        authority=sections[1],
        additional=sections[2],
        pseudo=counts[2] - len(sections[2]),
    )


def _record(data: _Wire, at: int) -> tuple[Record | int, int]:
    """The record at ``at`` and where the next one begins.

    Of EDNS's pseudo record it is what that adds to the response code (RFC 6891).
    """
    name, at = _name(data, at)
    kind, klass, ttl, length = _RECORD.unpack_from(data, at)
    begin = at + _RECORD.size
    end = begin + length
    if end > len(data):
        raise MalformedError("a record reaches beyond the message")
    if kind == 41:
        _check_options(data, begin, end)
        return ttl >> 24, end
    record = Record(
        name=name,
        ttl=ttl,
        klass=_CLASS_NAMES.get(klass, f"CLASS{klass}"),
        kind=_TYPE_NAMES.get(kind, f"TYPE{kind}"),
        data=_FORMATS.get(kind, _unknown)(data, begin, end),
    )
    return record, end


def _check_options(data: _Wire, begin: int, end: int) -> None:
    while begin < end:
        begin += 4 + struct.unpack_from("!H", data, begin + 2)[0]
    if begin > end:
        raise MalformedError("an option of EDNS reaches beyond its record")


def _name(data: _Wire, at: int) -> tuple[str, int]:
    """The name at ``at`` with its final dot, and where it ends there."""
    begun = [(at, 0, 0)]  # where, and how many labels and bytes were read before
    labels: list[str] = []
    after = size = 0
    rest = "", 0
    while length := data[at]:
        if length >= 0xC0:
            after = after or at + 2
            at = (length & 0x3F) << 8 | data[at + 1]
            if at >= begun[-1][0]:  # pointing only backwards ends every loop
                raise MalformedError("a name points forwards")
            if len(begun) > _MOST_JUMPS:
                raise MalformedError("a name jumps too often")
            if at in data.names:
                rest = data.names[at]
                break
            begun.append((at, len(labels), size))
            continue
        size += length + 1
        if length > 63 or size > 254 or at + 1 + length > len(data):
            raise MalformedError("a name is too long")
        labels.append(_escaped(data[at + 1 : at + 1 + length], b".\\\"();@' ") + ".")
        at += 1 + length
    if size + rest[1] > 254:
        raise MalformedError("a name is too long")
    for where, count, before in begun:
        data.names[where] = "".join(labels[count:]) + rest[0], size - before + rest[1]
    return data.names[begun[0][0]][0] or ".", after or at + 1


def _escaped(data: bytes, special: bytes) -> str:
    return "".join(
        f"\\{chr(byte)}" if byte in special else chr(byte) if 32 < byte < 127 else f"\\{byte:03d}"
        for byte in data
    )


def _quoted(data: bytes) -> str:
    text = "".join(
        f"\\{chr(byte)}" if byte in b'"\\' else chr(byte) if 32 <= byte < 127 else f"\\{byte:03d}"
        for byte in data
    )
    return f'"{text}"'


def _ipv4(data: bytes, begin: int, end: int) -> str:
    return str(ipaddress.IPv4Address(data[begin:end]))


def _ipv6(data: bytes, begin: int, end: int) -> str:
    return str(ipaddress.IPv6Address(data[begin:end]))


def _one_name(data: _Wire, begin: int, _: int) -> str:
    return _name(data, begin)[0]


def _mx(data: _Wire, begin: int, _: int) -> str:
    (preference,) = struct.unpack_from("!H", data, begin)
    return f"{preference} {_name(data, begin + 2)[0]}"


def _srv(data: _Wire, begin: int, _: int) -> str:
    priority, weight, port = struct.unpack_from("!3H", data, begin)
    return f"{priority} {weight} {port} {_name(data, begin + 6)[0]}"


def _soa(data: _Wire, begin: int, _: int) -> str:
    primary, at = _name(data, begin)
    mail, at = _name(data, at)
    return " ".join([primary, mail, *map(str, struct.unpack_from("!5I", data, at))])


def _txt(data: bytes, begin: int, end: int) -> str:
    texts = []
    while begin < end:
        length = data[begin]
        if begin + 1 + length > end:
            raise MalformedError("a text reaches beyond its record")
        texts.append(_quoted(data[begin + 1 : begin + 1 + length]))
        begin += 1 + length
    return " ".join(texts)


def _caa(data: bytes, begin: int, end: int) -> str:
    length = data[begin + 1]
    tag = _escaped(data[begin + 2 : begin + 2 + length], b"")
    return f"{data[begin]} {tag} {_quoted(data[begin + 2 + length : end])}"


def _unknown(data: bytes, begin: int, end: int) -> str:
    return f"\\# {end - begin} {data[begin:end].hex()}".rstrip()


_FORMATS: Final[dict[int, Callable[[_Wire, int, int], str]]] = {
    1: _ipv4,
    2: _one_name,
    5: _one_name,
    6: _soa,
    12: _one_name,
    15: _mx,
    16: _txt,
    28: _ipv6,
    33: _srv,
    257: _caa,
}
