"""The alternative names of a client's certificate, spelled as Go spells them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any


def names_in(certificate: Mapping[str, Any] | None) -> set[str]:
    """DNS names, addresses, e-mail addresses and URIs of what ``getpeercert`` gave."""
    found = (certificate or {}).get("subjectAltName", ())
    return {_spelled(kind, str(value)) for kind, value in found}


def _spelled(kind: str, value: str) -> str:
    if kind != "IP Address":
        return value
    try:
        return str(ipaddress.ip_address(value.strip()))
    except ValueError:
        return value
