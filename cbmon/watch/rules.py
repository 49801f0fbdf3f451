"""What is watched, and when that is an alert: plain records, checked when they are made.

Rule: a rule that could never say anything, or could not be told, is refused where it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from string import Formatter
from typing import Final

from cbmon.breaker import State
from cbmon.breaker.arguments import check_called, check_name, refuse_type, several, shown
from cbmon.resilience.checks import not_negative


class Severity(StrEnum):
    """How urgent an alert is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerMetrics:
    """What a condition looks at: one breaker at one moment."""

    name: str
    category: str
    """What the breaker protects, in the program's words."""
    state: State
    calls: int
    successes: int
    failures: int
    rejections: int
    trips: int
    consecutive_failures: int
    failure_rate: float
    """Failures of all outcomes so far, 0.0 before the first; of the window where it has one."""
    in_flight: int
    retry_after: float | None
    seconds_in_state: float | None
    """Since the last move; None for a breaker that has not moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """When to raise an alert. ``cooldown`` is in seconds, per breaker.

    Raises TypeError for a condition that cannot be called or would have to be awaited and for a
    message that is no string, ValueError for a cooldown below 0, an unknown severity, and a
    message that cannot be filled in.
    """

    name: str
    condition: Callable[[BreakerMetrics], object]
    severity: Severity = Severity.WARNING
    cooldown: float = 300.0
    message: str = "{rule}: {breaker} is {state}, failure rate {failure_rate:.0%}"
    """What an alert says: ``rule``, ``breaker``, ``category`` and fields of BreakerMetrics."""

    def __post_init__(self) -> None:
        check_name(self.name)
        check_called(self.condition, "condition", "condition(metrics)")
        object.__setattr__(self, "severity", severity_of(self.severity, "severity"))
        not_negative("cooldown", self.cooldown)
        if not isinstance(self.message, str):
            refuse_type("message", self.message, "a string")
        _check_message(self.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A rule that holds for a breaker, or holds no more (``resolved``). ``at`` is Unix time."""

    rule: str
    severity: Severity
    breaker: str
    message: str
    at: float
    metrics: BreakerMetrics
    resolved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One remembered move. ``at`` is Unix time."""

    breaker: str
    from_state: State
    to_state: State
    at: float
    text: str = ""


def by_name(rules: object) -> dict[str, AlertRule]:
    """Rules under their names. TypeError for what is none, ValueError for two of one name."""
    found: dict[str, AlertRule] = {}
    for rule in several(rules, "rules", "AlertRules"):
        check_rule(rule, "rules")
        if rule.name in found:
            raise ValueError(f"rules: two of them are named {rule.name!r}")
        found[rule.name] = rule
    return found


def check_rule(rule: object, field: str) -> None:
    """TypeError for what is no AlertRule."""
    if not isinstance(rule, AlertRule):
        refuse_type(field, rule, "an AlertRule")


def severity_of(value: object, field: str) -> Severity:
    """A severity by itself or by its name; ValueError."""
    try:
        return Severity(value)  # type: ignore[arg-type]
    except ValueError:
        choices = ", ".join(Severity)
        raise ValueError(
            f"{field}: {shown(value)} is not allowed; expected one of {choices}"
        ) from None


def _check_message(message: str) -> None:
    """ValueError for braces that cannot be read or that name nothing."""
    try:
        asked = [name for _, name, _, _ in Formatter().parse(message) if name is not None]
    except ValueError as error:
        raise ValueError(f"message: {shown(message)} is not allowed; {error}") from None
    known = {"rule", "breaker", *(each.name for each in fields(BreakerMetrics))}
    for name in asked:
        if re.split(r"[.\[]", name)[0] not in known:
            text = f"message: {{{name}}} is not allowed; expected one of {', '.join(sorted(known))}"
            raise ValueError(text)


OPEN: Final = AlertRule(
    name="breaker_open",
    condition=lambda its: its.state in {State.OPEN, State.FORCED_OPEN, State.DISABLED},
    severity=Severity.CRITICAL,
    message="{breaker} is {state}: its calls are rejected",
)
REPEATED_FAILURES: Final = AlertRule(
    name="repeated_failures",
    condition=lambda its: its.calls >= 10 and its.failure_rate > 0.5,
    severity=Severity.WARNING,
)
HALF_OPEN: Final = AlertRule(
    name="breaker_half_open",
    condition=lambda its: its.state is State.HALF_OPEN,
    severity=Severity.INFO,
    message="{breaker} is being tried again",
)
DEFAULT_RULES: Final = (OPEN, REPEATED_FAILURES, HALF_OPEN)
