"""What the outcomes say: pure judgements over a machine's numbers.

Rule: a rate trips when it reaches its threshold or exceeds it; it is computed as a quotient,
so that 7 of 100 reaches 0.07. Nothing here changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cbmon.breaker.states import Trigger

if TYPE_CHECKING:
    from cbmon.breaker.machine import Machine

FAILURE_BIT: Final = 1
SLOW_BIT: Final = 2
RUN_BIT: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One threshold that is reached. ``bit`` tells findings of one excursion apart."""

    bit: int
    trigger: Trigger
    text: str
    event: str = ""
    rate: float = 0.0
    threshold: float = 0.0
    calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the trial calls say."""

    passed: bool
    text: str
    findings: tuple[Finding, ...] = ()


def closed(machine: Machine) -> list[Finding]:
    """The thresholds that are reached now, the one that decides first."""
    policy, window = machine.policy, machine.window
    if window is None:
        if machine.run < policy.failure_threshold:
            return []
        text = f"{machine.run} failures in a row, threshold {policy.failure_threshold}"
        return [Finding(bit=RUN_BIT, trigger=Trigger.FAILURES_IN_A_ROW, text=text)]
    if window.calls < policy.required_calls:
        return []
    return rates(machine, window.calls, window.failures, window.slow)


def success_is_harmless(machine: Machine) -> bool:
    """Whether plain successes, while nothing leaves the window, cannot reach a threshold.

    They lower the rates. But one may complete ``minimum_calls``, and after a reconfiguration a
    rate may be too high without anybody having judged it.
    """
    window, policy = machine.window, machine.policy
    if window is None or not (window.failures or window.slow):
        return True
    return (
        window.calls >= policy.required_calls
        and window.failures / window.calls < policy.failure_rate_threshold
        and window.slow / window.calls < policy.slow_call_rate_threshold
    )


def half_open(machine: Machine) -> Verdict | None:
    """Whether the trial calls pass; None while that is not decided."""
    policy, trials = machine.policy, machine.trials
    if trials is None:
        return None
    allowed, needed = policy.trial_calls, policy.success_threshold
    if needed is not None:
        text = f"{trials.good} of {trials.done} trial calls good, {needed} of {allowed} needed"
        if trials.good >= needed:
            return Verdict(passed=True, text=text)
        if allowed - (trials.done - trials.good) < needed:
            return Verdict(passed=False, text=text)
        return None
    text = f"{trials.failures} of {trials.done} trial calls failed"
    if policy.kind == "count" and trials.failures:
        return Verdict(passed=False, text=text)
    if trials.done < allowed:
        return None
    if policy.kind == "count":
        return Verdict(passed=True, text=text)
    findings = rates(machine, trials.done, trials.failures, trials.slow)
    return Verdict(passed=not findings, text=text, findings=tuple(findings))


def rates(machine: Machine, calls: int, failures: int, slow: int) -> list[Finding]:
    """The failure rate and the slow-call rate against their thresholds."""
    policy = machine.policy
    found = []
    if failures / calls >= policy.failure_rate_threshold:
        found.append(
            _rate(FAILURE_BIT, Trigger.FAILURE_RATE, failures, calls, policy.failure_rate_threshold)
        )
    if policy.slow_call_seconds is not None and slow / calls >= policy.slow_call_rate_threshold:
        found.append(
            _rate(SLOW_BIT, Trigger.SLOW_CALL_RATE, slow, calls, policy.slow_call_rate_threshold)
        )
    return found


def _rate(bit: int, trigger: Trigger, part: int, calls: int, threshold: float) -> Finding:
    noun = "failed" if bit == FAILURE_BIT else "were slow"
    return Finding(
        bit=bit,
        trigger=trigger,
        text=f"{part} of {calls} calls {noun}, threshold {threshold:g}",
        event=f"{trigger.value}_exceeded",
        rate=part / calls,
        threshold=threshold,
        calls=calls,
    )
