"""What a policy's fields may hold.

Rule: one line per field here; every refusal is a ``ValueError`` that says field, value, bound.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from cbmon.breaker.arguments import is_coroutine_function, shown

if TYPE_CHECKING:
    from cbmon.breaker.policy import BreakerPolicy

KINDS: Final = ("count", "time", "percentage", "adaptive")
RULES: Final = ("error_rate", "throttling", "latency")
LARGEST_WINDOW: Final = 1_000_000
LONGEST: Final = 1_000_000_000.0
"""Seconds of any duration: 31 years, which calendars, timers and locks can still count."""


class Bound(NamedTuple):
    """A numeric field: its type, its bounds, and whether None is a value."""

    type: type
    low: float
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    optional: bool = False

    def __str__(self) -> str:
        return self.described(whole=self.high != LONGEST)

    def described(self, *, whole: bool) -> str:
        """The bound in words; not ``whole``: without what is above."""
        noun = "a whole number" if self.type is int else "a finite number"
        low = f" {'>' if self.open_low else '>='} {self.low:g}"
        sign = "<" if self.open_high else "<="
        high = f" and {sign} {self.high:.10g}" if whole and self.high is not None else ""
        return f"{noun}{low}{high}{' or None' if self.optional else ''}"

    def holds(self, value: float) -> bool:
        """Whether the number is finite and inside."""
        if not isfinite(value) or not (value > self.low if self.open_low else value >= self.low):
            return False
        if self.high is None:
            return True
        return value < self.high if self.open_high else value <= self.high


def _count(high: float | None = LARGEST_WINDOW, *, optional: bool = False, low: int = 1) -> Bound:
    return Bound(int, low, high, optional=optional)


def _seconds(*, optional: bool = False) -> Bound:
    return Bound(float, 0, LONGEST, open_low=True, optional=optional)


def _positive() -> Bound:
    return Bound(float, 0, open_low=True)


def _ratio(*, open_high: bool = False) -> Bound:
    return Bound(float, 0, 1, open_low=True, open_high=open_high)


BOUNDS: Final[dict[str, Bound]] = {
    "failure_threshold": _count(),
    "failure_rate_threshold": _ratio(),
    "minimum_calls": _count(optional=True),
    "window_size": _count(LARGEST_WINDOW),
    "window_seconds": _seconds(),
    "slow_call_seconds": _seconds(optional=True),
    "slow_call_rate_threshold": _ratio(),
    "recovery_timeout": _seconds(),
    "recovery_backoff": Bound(float, 1),
    "max_recovery_timeout": _seconds(optional=True),
    "recovery_jitter": Bound(float, 0, 1, open_high=True),
    "half_open_max_calls": _count(optional=True),
    "success_threshold": _count(optional=True),
    "half_open_max_wait": _seconds(optional=True),
    "call_timeout": _seconds(optional=True),
    "max_failure_cycles": _count(),
    "gradual_return_seconds": _seconds(optional=True),
    "adaptive_floor": _ratio(open_high=True),
    "adaptive_ceiling": _ratio(),
    "adaptive_smoothing": _ratio(),
    "adaptive_sensitivity": _positive(),
    "adaptive_memory": _count(low=10),
    "adaptive_multiplier": Bound(float, 1),
    "adaptive_latency_limit": _positive(),
    "adaptive_latency_floor": Bound(float, 1),
    "adaptive_latency_ceiling": Bound(float, 1),
}


_RATES: Final = ("failure_rate_threshold", "minimum_calls", "slow_call_rate_threshold")
_LEARNT: Final = tuple(name for name in BOUNDS if name.startswith("adaptive_"))
_NO_EFFECT: Final[dict[str, tuple[str, ...]]] = {
    "count": (*_RATES, "window_size", "window_seconds", "adaptive_rules", *_LEARNT),
    "time": ("failure_threshold", "window_size", "adaptive_rules", *_LEARNT),
    "percentage": ("failure_threshold", "window_seconds", "adaptive_rules", *_LEARNT),
    "adaptive": ("failure_threshold", "failure_rate_threshold", "window_size"),
}
_BECAUSE: Final = {
    "count": "kind 'count' counts consecutive failures and has no rates and no window",
    "time": "kind 'time' judges rates over window_seconds",
    "percentage": "kind 'percentage' judges rates over window_size calls",
    "adaptive": "kind 'adaptive' learns its thresholds over window_seconds",
}


def ignored_fields(kind: str) -> dict[str, str]:
    """The fields that a kind has no use for, and why."""
    return dict.fromkeys(_NO_EFFECT[kind], _BECAUSE[kind])


def check_fields(policy: BreakerPolicy) -> None:
    """Refuse what is wrong, and bring ints to floats and single classes to tuples."""
    kind: object = policy.kind
    if not isinstance(kind, str) or kind not in KINDS:
        _refuse("kind", kind, f"one of {', '.join(KINDS)}")
    for name, bound in BOUNDS.items():
        _set(policy, name, _number(name, getattr(policy, name), bound))
    if not isinstance(policy.auto_disable_enabled, bool):
        _refuse("auto_disable_enabled", policy.auto_disable_enabled, "True or False")
    if policy.is_failure is not None and not callable(policy.is_failure):
        _refuse("is_failure", policy.is_failure, "a callable or None")
    if is_coroutine_function(policy.is_failure):
        text = "a plain function: what a coroutine function gives is always true"
        _refuse("is_failure", policy.is_failure, text)
    for name in ("expected_exceptions", "ignored_exceptions"):
        _set(policy, name, _classes(name, getattr(policy, name)))
    others = (policy.is_failure, policy.slow_call_seconds, policy.call_timeout)
    if not policy.expected_exceptions and others == (None, None, None):
        text = "at least one exception class, or nothing is ever a failure"
        _refuse("expected_exceptions", policy.expected_exceptions, text)
    _set(policy, "adaptive_rules", _rules(policy.adaptive_rules))
    _check_pairs(policy)


def _check_pairs(policy: BreakerPolicy) -> None:
    minimum, trials, needed = (
        policy.minimum_calls,
        policy.half_open_max_calls,
        policy.success_threshold,
    )
    if policy.kind == "percentage" and minimum is not None and minimum > policy.window_size:
        _refuse("minimum_calls", minimum, f"<= window_size {policy.window_size}, or it never trips")
    if trials is not None and needed is not None and needed > trials:
        _refuse("success_threshold", needed, f"<= half_open_max_calls {trials}, or it never closes")
    longest = policy.max_recovery_timeout
    if longest is not None and longest < policy.recovery_timeout:
        _refuse("max_recovery_timeout", longest, f">= recovery_timeout {policy.recovery_timeout}")
    if policy.adaptive_ceiling <= policy.adaptive_floor:
        _refuse(
            "adaptive_ceiling", policy.adaptive_ceiling, f"> adaptive_floor {policy.adaptive_floor}"
        )
    if policy.adaptive_latency_ceiling <= policy.adaptive_latency_floor:
        _refuse(
            "adaptive_latency_ceiling",
            policy.adaptive_latency_ceiling,
            f"> adaptive_latency_floor {policy.adaptive_latency_floor}",
        )


def _number(name: str, value: object, bound: Bound) -> float | int | None:
    if value is None and bound.optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(name, value, bound)
    if bound.type is int and not isinstance(value, int):
        _refuse(name, value, bound)
    try:
        number = float(value)
    except OverflowError:
        _refuse(name, value, bound)
    if not bound.holds(number):
        _refuse(name, value, bound.described(whole=True) if number > LONGEST else bound)
    return value if bound.type is int else number


def _classes(name: str, value: object) -> tuple[type, ...]:
    classes = (value,) if isinstance(value, type) else value
    if not isinstance(classes, tuple | list | set | frozenset):
        _refuse(name, value, "a tuple of exception classes")
    for item in classes:
        if not isinstance(item, type):
            _refuse(name, item, "an exception class")
    return tuple(classes)


def _rules(value: object) -> tuple[str, ...]:
    if not isinstance(value, tuple | list) or not value:
        _refuse("adaptive_rules", value, f"a tuple of some of {', '.join(RULES)}")
    for item in value:
        if item not in RULES:
            _refuse("adaptive_rules", item, f"one of {', '.join(RULES)}")
    return tuple(value)


def _set(policy: BreakerPolicy, name: str, value: Any) -> None:
    object.__setattr__(policy, name, value)


def _refuse(name: str, value: object, expected: object) -> NoReturn:
    raise ValueError(f"{name}: {shown(value)} is not allowed; expected {expected}")
