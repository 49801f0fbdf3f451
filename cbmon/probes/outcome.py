"""Results of probes whose parts raise.

Rule: the one place where a ProbeError becomes a result.
"""

from __future__ import annotations

from collections.abc import Awaitable

from cbmon.interfaces import Attempt
from cbmon.model import Result
from cbmon.probes.failure import ProbeError


async def outcome(attempt: Attempt, work: Awaitable[None]) -> Result:
    """The result of the work: good unless it raises ProbeError."""
    try:
        await work
    except ProbeError as error:
        return attempt.failed(error.reason, str(error), certificate_expiry=_expiry(attempt))
    return attempt.passed(certificate_expiry=_expiry(attempt))


def _expiry(attempt: Attempt) -> float | None:
    found: float | None = attempt.facts.get("certificate", {}).get("expires")
    return found
