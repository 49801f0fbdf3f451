"""Expectations that several kinds of checks have in common.

Rule: a message says what was found and what was expected, in that order.
"""

from __future__ import annotations

from cbmon.interfaces import Attempt, Clock
from cbmon.model import Reason
from cbmon.probes.certificates import Chain
from cbmon.probes.failure import ProbeError, seconds


def check_duration(attempt: Attempt, longest: float | None) -> None:
    """ProbeError (``latency``) when the run took longer than ``longest`` seconds so far."""
    if longest is None:
        return
    took = attempt.timeout - attempt.remaining
    if took > longest:
        text = f"took {seconds(took)}, expected at most {seconds(longest)}"
        raise ProbeError(Reason.LATENCY, text)


def check_certificate(chain: Chain | None, days: float | None, clock: Clock) -> None:
    """ProbeError when a certificate of the chain is valid for fewer than ``days`` from now."""
    if days is None:
        return
    if chain is None:
        raise ProbeError(Reason.TLS, "got no certificate, expected one (no TLS was spoken)")
    left = chain.days_left(clock.time())
    if left < days:
        found = f"expires in {left:.1f} days" if left >= 0 else f"expired {-left:.1f} days ago"
        text = f"a certificate of {chain.subject} {found}, expected at least {days:g} days"
        raise ProbeError(Reason.CERTIFICATE, text)
