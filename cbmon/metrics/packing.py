"""gzip for a scrape: with isal where it is installed, five times as fast, else with zlib.

Rule: the lowest level; a scrape is read once and thrown away.
"""

from __future__ import annotations

import zlib
from typing import Final, Protocol

_LEVEL: Final = 1
_WINDOW: Final = 31
"""The largest window, with a gzip header (zlib's manual)."""


class Packer(Protocol):
    """Compresses what comes, piece by piece."""

    def compress(self, data: bytes, /) -> bytes:
        """What can be given out so far."""
        ...

    def flush(self) -> bytes:
        """The rest."""
        ...


def packer() -> Packer:
    """A new one for one scrape."""
    try:
        from isal import isal_zlib  # noqa: PLC0415 - an extra
    except ImportError:
        return zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW)
    packing: Packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _WINDOW)
    return packing
