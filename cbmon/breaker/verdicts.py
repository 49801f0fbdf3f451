"""What the outcomes say: pure judgements over a machine's numbers.

Rule: a rate trips when it reaches its threshold or exceeds it; it is computed as a quotient,
so that 7 of 100 reaches 0.07. Nothing here changes anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cbmon.breaker.states import Trigger

if TYPE_CHECKING:
    from cbmon.breaker.adaptive import Learner
    from cbmon.breaker.machine import Machine
    from cbmon.breaker.parts import Trials

FAILURE_BIT: Final = 1
SLOW_BIT: Final = 2
RUN_BIT: Final = 4


class Finding(NamedTuple):
    """One threshold that is reached. ``bit`` tells findings of one excursion apart."""

    bit: int
    trigger: Trigger
    text: str
    event: str = ""
    rate: float = 0.0
    threshold: float = 0.0
    calls: int = 0


class Verdict(NamedTuple):
    """What the trial calls say."""

    passed: bool
    text: str
    findings: tuple[Finding, ...] = ()


def closed(machine: Machine) -> list[Finding]:
    """The thresholds that are reached now, the one that decides first."""
    policy, window, learner = machine.policy, machine.window, machine.learner
    if window is None:
        if machine.run < policy.failure_threshold:
            return []
        text = f"{machine.run} failures in a row, threshold {policy.failure_threshold}"
        return [Finding(bit=RUN_BIT, trigger=Trigger.FAILURES_IN_A_ROW, text=text)]
    calls = window.calls
    if calls < policy.required_calls:
        return []
    if learner is None:
        found = _failing(window.failures / calls, policy.failure_rate_threshold, calls)
    else:
        found = _learnt(machine, learner, calls)
    return found + _slow(machine, window.slow, calls)


def success_is_harmless(machine: Machine) -> bool:
    """Whether plain successes, while nothing leaves the window, cannot reach a threshold.

    They lower the rates. But one may complete ``minimum_calls``, and after a reconfiguration a
    rate may be too high without anybody having judged it.
    """
    window, policy, learner = machine.window, machine.policy, machine.learner
    if learner is not None and (
        "latency" in policy.adaptive_rules or learner.trend >= policy.adaptive_floor
    ):
        return False
    if window is None or not (window.failures or window.slow):
        return True
    return window.calls >= policy.required_calls and not closed(machine)


def half_open(machine: Machine, trials: Trials) -> Verdict | None:
    """Whether the trial calls pass; None while that is not decided."""
    policy = machine.policy
    if policy.success_threshold is not None:
        return _counted(trials, policy.trial_calls, policy.success_threshold)
    text = f"{trials.failures} of {trials.done} trial calls failed"
    if policy.kind == "count" and trials.failures:
        return Verdict(passed=False, text=text)
    if trials.done < policy.trial_calls:
        return None
    findings = () if policy.kind == "count" else tuple(_trial_rates(machine, trials))
    if not findings:
        text = f"{trials.done - trials.failures} of {trials.done} trial calls succeeded"
    return Verdict(passed=not findings, text=text, findings=findings)


def _counted(trials: Trials, allowed: int, needed: int) -> Verdict | None:
    text = f"{trials.good} of {trials.done} trial calls good, {needed} of {allowed} needed"
    if trials.good >= needed:
        return Verdict(passed=True, text=text)
    if allowed - (trials.done - trials.good) < needed:
        return Verdict(passed=False, text=text)
    return None


def _trial_rates(machine: Machine, trials: Trials) -> list[Finding]:
    learner, policy = machine.learner, machine.policy
    threshold = policy.failure_rate_threshold if learner is None else learner.limit()
    found = _failing(trials.failures / trials.done, threshold, trials.done)
    if learner is not None and trials.timed and "latency" in policy.adaptive_rules:
        ratio = learner.latency_ratio(trials.logs / trials.timed)
        if ratio is not None and ratio >= policy.adaptive_latency_floor:
            found.append(_drifted(ratio, policy.adaptive_latency_floor, trials.done))
    return found + _slow(machine, trials.slow, trials.done)


def _learnt(machine: Machine, learner: Learner, calls: int) -> list[Finding]:
    policy, rules, found = machine.policy, machine.policy.adaptive_rules, []
    if "error_rate" in rules:
        found = _failing(learner.trend, learner.limit(), calls)
    if "throttling" in rules and machine.shedding is not None and not found:
        share = machine.shedding.probability(machine.window, machine.now)
        if share >= policy.adaptive_ceiling:
            found.append(_throttled(share, policy.adaptive_ceiling, calls))
    if rules != ("latency",) and machine.window is not None and not found:
        found = _failing(machine.window.failures / calls, policy.adaptive_ceiling, calls)
    ratio = learner.latency_ratio()
    if "latency" in rules and ratio is not None and learner.has_drifted():
        found.append(_drifted(ratio, policy.adaptive_latency_floor, calls))
    return found


def _failing(rate: float, threshold: float, calls: int) -> list[Finding]:
    if rate < threshold:
        return []
    return [
        Finding(
            bit=FAILURE_BIT,
            trigger=Trigger.FAILURE_RATE,
            text=f"failure rate {rate:.3g} over {calls} calls, threshold {threshold:.3g}",
            event="failure_rate_exceeded",
            rate=rate,
            threshold=threshold,
            calls=calls,
        )
    ]


def _slow(machine: Machine, slow: int, calls: int) -> list[Finding]:
    threshold = machine.policy.slow_call_rate_threshold
    if machine.policy.slow_call_seconds is None or slow / calls < threshold:
        return []
    return [
        Finding(
            bit=SLOW_BIT,
            trigger=Trigger.SLOW_CALL_RATE,
            text=f"slow-call rate {slow / calls:.3g} over {calls} calls, threshold {threshold:.3g}",
            event="slow_call_rate_exceeded",
            rate=slow / calls,
            threshold=threshold,
            calls=calls,
        )
    ]


def _throttled(share: float, ceiling: float, calls: int) -> Finding:
    return Finding(
        bit=FAILURE_BIT,
        trigger=Trigger.THROTTLING,
        text=f"throttling wants to reject {share:.3g} of the calls, ceiling {ceiling:.3g}",
        event="failure_rate_exceeded",
        rate=share,
        threshold=ceiling,
        calls=calls,
    )


def _drifted(ratio: float, floor: float, calls: int) -> Finding:
    return Finding(
        bit=SLOW_BIT,
        trigger=Trigger.LATENCY_DRIFT,
        text=f"calls take {ratio:.3g} times the learnt duration, floor {floor:.3g}",
        event="slow_call_rate_exceeded",
        rate=ratio,
        threshold=floor,
        calls=calls,
    )
