"""Distinguished names as Go writes them (RFC 2253, the last part first).

Rule: parts that have a name in Go come in its order; the others are written with their number and
their value in DER, as Go does it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Name = tuple[tuple[tuple[str, str], ...], ...]
"""What the ssl module gives: sets of pairs."""

_ORDER: Final = {
    "countryName": "C", "organizationName": "O", "organizationalUnitName": "OU",
    "localityName": "L", "stateOrProvinceName": "ST", "streetAddress": "STREET",
    "postalCode": "POSTALCODE", "commonName": "CN", "serialNumber": "SERIALNUMBER",
}  # fmt: skip
_SINGLE: Final = frozenset({"commonName", "serialNumber"})
_NUMBERS: Final = {
    "emailAddress": "1.2.840.113549.1.9.1", "domainComponent": "0.9.2342.19200300.100.1.25",
    "userId": "0.9.2342.19200300.100.1.1", "givenName": "2.5.4.42", "surname": "2.5.4.4",
    "title": "2.5.4.12", "initials": "2.5.4.43", "description": "2.5.4.13", "name": "2.5.4.41",
    "pseudonym": "2.5.4.65", "dnQualifier": "2.5.4.46", "generationQualifier": "2.5.4.44",
    "organizationIdentifier": "2.5.4.97", "businessCategory": "2.5.4.15",
    "jurisdictionCountryName": "1.3.6.1.4.1.311.60.2.1.3",
    "jurisdictionStateOrProvinceName": "1.3.6.1.4.1.311.60.2.1.2",
    "jurisdictionLocalityName": "1.3.6.1.4.1.311.60.2.1.1",
}  # fmt: skip
_PRINTABLE: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?*&"
)


def written(name: Name) -> str:
    """The name in one line."""
    pairs = [pair for group in name for pair in group]
    parts = [_numbered(key, value) for key, value in pairs if key not in _ORDER]
    for key, short in _ORDER.items():
        values = [value for found, value in pairs if found == key]
        if key in _SINGLE:
            values = values[-1:]
        if values:
            parts.append("+".join(f"{short}={_escaped(value)}" for value in values))
    return ",".join(reversed(parts))


def _numbered(key: str, value: str) -> str:
    """Go's string of an attribute it has no name for."""
    data = value.encode()
    tag = 0x13 if _PRINTABLE.issuperset(value) else 0x0C
    return f"{_NUMBERS.get(key, key)}=#{_der(tag, data).hex()}"


def _der(tag: int, data: bytes) -> bytes:
    size = len(data)
    if size < 0x80:
        return bytes([tag, size]) + data
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + data


def _escaped(value: str) -> str:
    return "".join(_characters(value))


def _characters(value: str) -> Iterable[str]:
    last = len(value) - 1
    for index, char in enumerate(value):
        outer = (char == " " and index in {0, last}) or (char == "#" and index == 0)
        yield f"\\{char}" if outer or char in ',+"\\<>;' else char
