"""DNS messages: a question out, an answer in (RFC 1035, 3596, 2782, 3597, 8659).

Rule: pure, and no answer is trusted: compression only points backwards, lengths are held
against the message, and whatever does not parse raises MalformedError, nothing else.
"""

from __future__ import annotations

import ipaddress
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
_MOST_RECORDS: Final = 4096


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
    """The name on the wire; ValueError for one that is too long or has an empty label."""
    labels = name.rstrip(".").split(".") if name.rstrip(".") else []
    wire = b""
    for label in labels:
        data = label.encode() if label.isascii() else label.encode("idna")
        if not 0 < len(data) < 64:
            raise ValueError(f"a label of {name} is empty or longer than 63 bytes")
        wire += bytes([len(data)]) + data
    if len(wire) > 254:
        raise ValueError(f"{name} is longer than 253 bytes")
    return wire + b"\0"


def answers(asked: bytes, data: bytes) -> bool:
    """Whether ``data`` is an answer to the question ``asked``: same id, same question if any."""
    if len(data) < 12 or data[:2] != asked[:2] or not data[2] & 0x80:
        return False
    said = data[12 : len(asked)]
    return data[4:6] == b"\0\0" or said.lower() == asked[12:].lower()


def parse(data: bytes) -> Reply:
    """The answer in ``data``; MalformedError for anything else."""
    try:
        return _parsed(data)
    except (struct.error, IndexError, ValueError) as error:
        raise MalformedError("not a whole DNS message") from error


def _parsed(data: bytes) -> Reply:
    _, flags, questions, *counts = _HEADER.unpack_from(data)
    if sum(counts) > _MOST_RECORDS:
        raise MalformedError("more records than fit into a message")
    at = _HEADER.size
    for _ in range(questions):
        at = _name(data, at)[1] + 4
    sections: list[tuple[Record, ...]] = []
    for count in counts:
        records = []
        for _ in range(count):
            record, at = _record(data, at)
            if record is not None:
                records.append(record)
        sections.append(tuple(records))
    code = flags & 0xF
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


def _record(data: bytes, at: int) -> tuple[Record | None, int]:
    """The record at ``at``, None for EDNS's pseudo record, and where the next one begins."""
    name, at = _name(data, at)
    kind, klass, ttl, length = _RECORD.unpack_from(data, at)
    begin = at + _RECORD.size
    end = begin + length
    if end > len(data):
        raise MalformedError("a record reaches beyond the message")
    if kind == 41:
        return None, end
    record = Record(
        name=name,
        ttl=ttl,
        klass=_CLASS_NAMES.get(klass, f"CLASS{klass}"),
        kind=_TYPE_NAMES.get(kind, f"TYPE{kind}"),
        data=_FORMATS.get(kind, _unknown)(data, begin, end),
    )
    return record, end


def _name(data: bytes, at: int) -> tuple[str, int]:
    """The name at ``at`` with its final dot, and where it ends there."""
    labels: list[str] = []
    after = 0
    lowest, size = at, 0
    while length := data[at]:
        if length >= 0xC0:
            after = after or at + 2
            at = (length & 0x3F) << 8 | data[at + 1]
            if at >= lowest:  # pointing only backwards ends every loop
                raise MalformedError("a name points forwards")
            lowest = at
            continue
        size += length + 1
        if length > 63 or size > 254 or at + 1 + length > len(data):
            raise MalformedError("a name is too long")
        labels.append(_escaped(data[at + 1 : at + 1 + length], b".\\\"();@' "))
        at += 1 + length
    return ".".join(labels) + ".", after or at + 1


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


def _address(data: bytes, begin: int, end: int) -> str:
    return str(ipaddress.ip_address(data[begin:end]))


def _one_name(data: bytes, begin: int, _: int) -> str:
    return _name(data, begin)[0]


def _mx(data: bytes, begin: int, _: int) -> str:
    (preference,) = struct.unpack_from("!H", data, begin)
    return f"{preference} {_name(data, begin + 2)[0]}"


def _srv(data: bytes, begin: int, _: int) -> str:
    priority, weight, port = struct.unpack_from("!3H", data, begin)
    return f"{priority} {weight} {port} {_name(data, begin + 6)[0]}"


def _soa(data: bytes, begin: int, _: int) -> str:
    primary, at = _name(data, begin)
    mail, at = _name(data, at)
    return " ".join([primary, mail, *map(str, struct.unpack_from("!5I", data, at))])


def _txt(data: bytes, begin: int, end: int) -> str:
    texts = []
    while begin < end:
        length = data[begin]
        texts.append(_quoted(data[begin + 1 : min(begin + 1 + length, end)]))
        begin += 1 + length
    return " ".join(texts)


def _caa(data: bytes, begin: int, end: int) -> str:
    length = data[begin + 1]
    tag = _escaped(data[begin + 2 : begin + 2 + length], b"")
    return f"{data[begin]} {tag} {_quoted(data[begin + 2 + length : end])}"


def _unknown(data: bytes, begin: int, end: int) -> str:
    return f"\\# {end - begin} {data[begin:end].hex()}".rstrip()


_FORMATS: Final[dict[int, Callable[[bytes, int, int], str]]] = {
    1: _address,
    2: _one_name,
    5: _one_name,
    6: _soa,
    12: _one_name,
    15: _mx,
    16: _txt,
    28: _address,
    33: _srv,
    257: _caa,
}
