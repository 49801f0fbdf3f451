"""How a probe's inner parts say that the run has failed.

Rule: it never leaves the probe: its ``run`` turns it into a result.
"""

from __future__ import annotations

import os
from typing import Final

from cbmon.model import Reason

_SHOWN: Final = 120


class ProbeError(Exception):
    """The run has failed for ``reason``; ``str()`` is for a person and holds no secret."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def words(error: OSError) -> str:
    """What went wrong, in the system's words: ``connection refused``."""
    number = error.errno or 0  # those of getaddrinfo are below zero
    known = os.strerror(number) if number > 0 else error.strerror
    text = known or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


def shown(data: bytes | str) -> str:
    """What a target sent, fit for a message: one short line, odd characters escaped."""
    text = data[: 4 * _SHOWN].decode(errors="backslashreplace") if isinstance(data, bytes) else data
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f'"{line}"' if len(line) <= _SHOWN else f'"{line[:_SHOWN]}…"'


def seconds(value: float) -> str:
    """A duration as a person writes it: ``5s``, ``1.5s``, ``20ms``."""
    return f"{value:.4g}s" if value >= 1 else f"{value * 1000:.3g}ms"
