"""One run of a probe: its deadline, and a result whatever happens.

Rule: the caller gets a result or the cancellation it asked for, nothing else, and no later than
the deadline.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from cbmon.interfaces import Attempt, Clock, Probe
from cbmon.model import Phase, Reason, Result
from cbmon.probes.failure import seconds

log = logging.getLogger(__name__)

_DOING: Final[dict[Phase | None, str]] = {
    Phase.RESOLVE: "resolving {host}",
    Phase.CONNECT: "connecting to {address}",
    Phase.TLS: "in the TLS handshake with {address}",
    Phase.PROCESSING: "waiting for the first byte from {address}",
    Phase.TRANSFER: "receiving the answer of {address}",
    None: "before it began",
}


async def run_once(probe: Probe, timeout: float, clock: Clock) -> Result:
    """Run the probe for at most ``timeout`` seconds.

    A run that is cut off fails with reason ``timeout``, or ``dns`` when it was still waiting for
    the name server, and an error that says what it was waiting for. An exception, which no probe
    should raise, is logged with its traceback and fails with reason ``internal``. CancelledError
    is the only thing that is raised.
    """
    attempt = Attempt(clock.monotonic, timeout)
    deadline = asyncio.timeout(timeout)
    try:
        async with deadline:
            return await probe.run(attempt)
    except Exception as error:
        if isinstance(error, TimeoutError) and deadline.expired():
            return cut_off(attempt)
        log.exception("run raised, which is a defect of cbmon runner=%s", type(probe).__name__)
        text = f"internal error, see the log: {type(error).__name__}"
        return attempt.failed(Reason.INTERNAL, text)


def cut_off(attempt: Attempt) -> Result:
    """The result of a run that is not over at its deadline, from what the attempt shows."""
    phase = attempt.phase
    target = attempt.facts.get("program", "the target")
    facts = {"host": "the name", "address": target, **attempt.facts}
    doing = _DOING[phase].format_map(facts)
    reason = Reason.DNS if phase is Phase.RESOLVE else Reason.TIMEOUT
    expiry = attempt.facts.get("certificate", {}).get("expires")
    text = f"no answer within {seconds(attempt.timeout)}, {doing}"
    return attempt.failed(reason, text, certificate_expiry=expiry)
