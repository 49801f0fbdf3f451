"""What a call says of its target.

Rule: an answer that the target meant to give is a success, also when the caller dislikes it; a
caller's own mistake, a full pool and a cancellation are nothing; the rest is a failure with a
reason from the closed set (``dns connect tls timeout status body header latency dependency
internal``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Verdict:
    """A failure for ``reason``, or one of :data:`ANSWERED` and :data:`NEUTRAL`."""

    reason: str | None


ANSWERED: Final = Verdict("answered")
"""The target did what it is for."""
NEUTRAL: Final = Verdict(None)
"""Nothing is said of the target."""
CONNECT: Final = Verdict("connect")
DNS: Final = Verdict("dns")
TLS: Final = Verdict("tls")
TIMEOUT: Final = Verdict("timeout")
STATUS: Final = Verdict("status")
BODY: Final = Verdict("body")
INTERNAL: Final = Verdict("internal")


Table = Sequence[tuple[tuple[type[BaseException], ...], Verdict]]
"""Exception classes and what they say, the most special first."""


def first_match(error: BaseException, table: Table) -> Verdict:
    """What the first fitting row says; NEUTRAL if none fits, for the error is the caller's own."""
    for classes, verdict in table:
        if isinstance(error, classes):
            return verdict
    return NEUTRAL
