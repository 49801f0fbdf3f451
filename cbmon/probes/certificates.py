"""What a person wants to know of the certificates that a target presented.

Rule: works for certificates that were not verified too, and for the whole chain, because the one
that expires first may be in the middle.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_REMEMBERED: Final = 1024
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Facts of a presented chain. Times are Unix seconds."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: float
    not_after: float
    """When the target's own certificate expires."""
    expiry: float
    """When the first certificate of the chain expires."""

    def days_left(self, now: float) -> float:
        """Days until the first certificate expires; negative when it has."""
        return (self.expiry - now) / _DAY

    def facts(self, now: float) -> dict[str, Any]:
        """For a result's facts."""
        return {
            "subject": self.subject,
            "issuer": self.issuer,
            "names": list(self.names),
            "not_before": self.not_before,
            "not_after": self.not_after,
            "expires": self.expiry,
            "days_left": round(self.days_left(now), 2),
        }


class Chains:
    """Reads chains and remembers what it read: decoding costs more than a plain probe."""

    def __init__(self) -> None:
        self._read: OrderedDict[tuple[bytes, ...], Chain] = OrderedDict()

    def presented(self, connection: ssl.SSLObject) -> Chain | None:
        """The chain of a finished handshake, None if there was no certificate."""
        # The chain is public API from Python 3.13 on; the object behind has had it since 3.10.
        certificates = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
        if not certificates:
            return None
        key = tuple(certificate.public_bytes(_DER) for certificate in certificates)
        found = self._read.pop(key, None) or _read([one.get_info() for one in certificates])
        self._read[key] = found
        if len(self._read) > _REMEMBERED:
            self._read.popitem(last=False)
        return found


_DER: Final = 2  # _ssl.ENCODING_DER


def _read(chain: list[Mapping[str, Any]]) -> Chain:
    first = chain[0]
    ends = [ssl.cert_time_to_seconds(one["notAfter"]) for one in chain]
    return Chain(
        subject=_name(first["subject"]),
        issuer=_name(first["issuer"]),
        names=tuple(value for _, value in first.get("subjectAltName", ())),
        not_before=ssl.cert_time_to_seconds(first["notBefore"]),
        not_after=ends[0],
        expiry=min(ends),
    )


def _name(parts: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    short = {"commonName": "CN", "organizationName": "O", "countryName": "C"}
    pairs = (pair for part in parts for pair in part)
    return ", ".join(f"{short.get(key, key)}={value}" for key, value in pairs)
