"""One run of a probe: its deadline, and a result whatever happens.

Rule: the caller gets a result or the cancellation it asked for, nothing else, and no later than
the deadline. A failed run may be confirmed at once, so that one lost packet is no failure.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from cbmon.interfaces import Attempt, Clock, Probe
from cbmon.model import Phase, Phases, Reason, Result
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
    return await _run(probe, Attempt(clock.monotonic, timeout))


async def _run(probe: Probe, attempt: Attempt) -> Result:
    deadline = asyncio.timeout(attempt.timeout)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How often a run looks before it counts.

    ``confirmations``: looks after a failed one, at once but for ``delay`` seconds each, the first
    good one of which is the result; at ``other_address`` of the name if it has one. With
    ``every_address`` each look is one at all addresses of the name, and the first bad one its
    result.
    """

    confirmations: int = 0
    delay: float = 0.0
    other_address: bool = False
    every_address: bool = False


ONCE: Final = Plan()


class Elsewhere(ABC):
    """A probe that looks in another process, where its deadline and its plan are kept."""

    __slots__ = ()

    @abstractmethod
    def begin(
        self, timeout: float, plan: Plan, done: Callable[[Result | None], object]
    ) -> asyncio.Future[None]:
        """Begin a run as planned; each look has ``timeout`` seconds.

        ``done`` is told the result, None when the run was cancelled, after this has returned and
        before anybody who waits for it.
        """


_FINAL: Final = frozenset({Reason.CONFIG, Reason.POLICY, Reason.INTERNAL, Reason.DEPENDENCY})
"""Reasons that looking again cannot change."""


async def run_planned(probe: Probe, timeout: float, clock: Clock, plan: Plan = ONCE) -> Result:
    """Run the probe as planned; each look has ``timeout`` seconds.

    The facts of the result say how many looks it took (``attempts``) and what the first one found
    (``first_failure``), if it was more than one.
    """
    if not plan.confirmations and not plan.every_address:
        return await run_once(probe, timeout, clock)
    result, tried = await _look(probe, timeout, clock, plan, frozenset())
    first, avoid = result, tried
    for number in range(2, plan.confirmations + 2):
        if result.ok or result.reason in _FINAL:
            break
        await asyncio.sleep(plan.delay)
        chosen = avoid if plan.other_address else frozenset()
        result, tried = await _look(probe, timeout, clock, plan, chosen)
        avoid |= tried
        failure = f"{first.reason}: {first.error}"
        result = replace(
            result, facts={**result.facts, "attempts": number, "first_failure": failure}
        )
    return result


async def _look(
    probe: Probe, timeout: float, clock: Clock, plan: Plan, avoid: frozenset[str]
) -> tuple[Result, frozenset[str]]:
    """One look, at one address or at all; the result, and the addresses that it tried."""
    attempt = Attempt(clock.monotonic, timeout, avoid=avoid)
    result = await _run(probe, attempt)
    tried = frozenset(filter(None, [attempt.taken]))
    if not plan.every_address:
        return result, tried
    looks = [result]
    while looks[-1].ok and set(attempt.offered) - tried:
        beyond = Attempt(clock.monotonic, attempt.remaining, avoid=tried)
        looks.append(await _run(probe, beyond))
        if beyond.taken is None or beyond.taken in tried:
            break
        tried |= {beyond.taken}
    return _together(looks, clock.monotonic() - attempt.started), tried


def _together(looks: list[Result], duration: float) -> Result:
    """The last of the looks as the result of all: the others were good."""
    if len(looks) == 1:
        return looks[0]
    phases = Phases(*map(sum, zip(*(one.phases for one in looks), strict=True)))
    expiries = [one.certificate_expiry for one in looks if one.certificate_expiry is not None]
    return replace(
        looks[-1],
        duration=duration,
        phases=phases,
        certificate_expiry=min(expiries, default=None),
        facts={**looks[-1].facts, "addresses": [one.facts.get("address") for one in looks]},
    )
