"""Every chain from a target's certificate to a trusted one, of which OpenSSL verifies but one.

Rule: pure. A step to an issuer counts when its name is the right one and the key identifiers say
that it is the right key; where there are none, only the issuer that OpenSSL has verified counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

LONGEST: Final = 10
"""Certificates of a chain."""
MOST: Final = 500
"""Steps from one to another: a target may present certificates that sign each other."""
_OBJECT, _OCTETS, _SEQUENCE, _TRUE = 0x06, 0x04, 0x30, b"\x01\x01\xff"
_VERSION, _EXTENSIONS, _KEY_ID = 0xA0, 0xA3, 0x80
_UTC_TIME: Final = 0x17
_SUBJECT_KEY, _AUTHORITY_KEY, _CONSTRAINTS = b"\x55\x1d\x0e", b"\x55\x1d\x23", b"\x55\x1d\x13"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What matters of one for finding chains. Times are Unix seconds."""

    subject: bytes
    issuer: bytes
    key: bytes
    begins: float
    ends: float
    key_id: bytes = b""
    issuer_key_id: bytes = b""
    is_authority: bool = False


Store = Mapping[bytes, Sequence[Certificate]]
"""The trusted certificates by their subject."""


def store(trusted: Iterable[bytes]) -> Store:
    """The trusted certificates, from DER; those that cannot be read are left out."""
    found: dict[bytes, list[Certificate]] = {}
    for der in trusted:
        try:
            certificate = parse(der)
        except ValueError:
            continue
        found.setdefault(certificate.subject, []).append(certificate)
    return found


def last_end(
    presented: Sequence[Certificate],
    verified: Sequence[Certificate],
    trusted: Store,
    now: float,
) -> float | None:
    """When the chain that lasts longest has its first end; None when there is no chain.

    ``presented`` begins with the target's own; ``verified`` is the chain that OpenSSL has found.
    """
    known = [min(one.ends for one in verified)] if verified else []
    if presented:
        search = _Search(presented[1:], frozenset(verified), trusted, now)
        known += search.ends((presented[0],))
    return max(known, default=None)


class _Search:
    """Goes from certificate to issuer, and gives up after :data:`MOST` steps."""

    def __init__(
        self,
        presented: Sequence[Certificate],
        verified: frozenset[Certificate],
        trusted: Store,
        now: float,
    ) -> None:
        self._presented = [one for one in presented if one.is_authority]
        self._verified = verified
        self._trusted = trusted
        self._now = now
        self._steps = 0

    def ends(self, chain: tuple[Certificate, ...]) -> Iterator[float]:
        """The first end of each chain that goes on from this beginning of one."""
        last = chain[-1]
        self._steps += 1
        if last in self._trusted.get(last.subject, ()):
            yield min(one.ends for one in chain)
            return
        for parent in self._trusted.get(last.issuer, ()):
            if self._issued(last, parent, chain):
                yield min(parent.ends, *(one.ends for one in chain))
        for parent in self._presented:
            if len(chain) == LONGEST or self._steps >= MOST:
                return
            if parent.subject == last.issuer and self._issued(last, parent, chain):
                yield from self.ends((*chain, parent))

    def _issued(
        self, child: Certificate, parent: Certificate, chain: tuple[Certificate, ...]
    ) -> bool:
        if not parent.begins <= self._now <= parent.ends:
            return False
        if any((one.subject, one.key) == (parent.subject, parent.key) for one in chain):
            return False
        if child.issuer_key_id and parent.key_id:
            return child.issuer_key_id == parent.key_id
        return parent in self._verified


# --- DER ---------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def parse(der: bytes) -> Certificate:
    """What matters of a certificate (RFC 5280, 4.1); ValueError for what is none."""
    inside = _only(_only(der, _SEQUENCE), _SEQUENCE)
    parts = [*_parts(inside)]
    if parts and parts[0][0] == _VERSION:
        del parts[0]
    if len(parts) < 6:
        raise ValueError("no certificate")
    _, _, (_, issuer), (_, validity), (_, subject), (_, key), *rest = parts
    begins, ends = [_time(tag, text) for tag, text in _parts(validity)]
    extensions = dict(_extensions(rest))
    constraints = extensions.get(_CONSTRAINTS, b"")
    return Certificate(
        subject=subject,
        issuer=issuer,
        key=key,
        begins=begins,
        ends=ends,
        key_id=_only(extensions[_SUBJECT_KEY], _OCTETS) if _SUBJECT_KEY in extensions else b"",
        issuer_key_id=_authority_key(extensions.get(_AUTHORITY_KEY, b"")),
        is_authority=constraints[2:5] == _TRUE,
    )


def _extensions(parts: Iterable[tuple[int, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    for tag, content in parts:
        if tag != _EXTENSIONS:
            continue
        for _, extension in _parts(_only(content, _SEQUENCE)):
            found = dict(_parts(extension))
            yield found.get(_OBJECT, b""), found.get(_OCTETS, b"")


def _authority_key(extension: bytes) -> bytes:
    if not extension:
        return b""
    return dict(_parts(_only(extension, _SEQUENCE))).get(_KEY_ID, b"")


def _only(data: bytes, tag: int) -> bytes:
    """What the first value holds, which must have this tag."""
    for found, content in _parts(data):
        if found != tag:
            break
        return content
    raise ValueError("no certificate")


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The values one after the other, each with its tag."""
    at = 0
    while at + 2 <= len(data):
        tag, size, begin = data[at], data[at + 1], at + 2
        if size & 0x80:
            begin += size & 0x7F
            size = int.from_bytes(data[at + 2 : begin], "big")
        at = begin + size
        if at > len(data):
            raise ValueError("a value is cut off")
        yield tag, data[begin:at]


def _time(tag: int, text: bytes) -> float:
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    when = datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC)
    if tag == _UTC_TIME and when.year >= 2050:
        when = when.replace(year=when.year - 100)
    return when.timestamp()
