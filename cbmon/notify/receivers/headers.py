"""Request headers out of a configuration.

Rule: a header can neither break the request nor take the place of one that cbmon sets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from cbmon.config.fields import Secret

OWN_HEADERS: Final = frozenset(
    {"content-length", "content-type", "host", "transfer-encoding", "webhook-id"}
    | {"webhook-timestamp", "webhook-signature"}
)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def sendable(headers: Mapping[str, Secret]) -> Mapping[str, Secret]:
    """The headers as they are; ValueError, without their values, if one cannot be sent."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f'"{name}" is no name of a header')
        if name.lower() in OWN_HEADERS:
            raise ValueError(f'the header "{name}" is set by cbmon')
        if any(char in value.reveal() for char in "\r\n\0"):
            raise ValueError(f'the value of the header "{name}" holds a line break')
    return headers


def revealed(headers: Mapping[str, Secret]) -> dict[str, str]:
    """As they are sent."""
    return {name: value.reveal() for name, value in headers.items()}
