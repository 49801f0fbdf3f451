"""A policy in words: the settings that matter for its kind, and how each is written.

Rule: one table says which field matters when; the breaker's page and the editor share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cbmon.breaker import BreakerPolicy
from cbmon.web import words

BY_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    "count": ("failure_threshold",),
    "time": ("failure_rate_threshold", "window_seconds", "minimum_calls"),
    "percentage": ("failure_rate_threshold", "window_size", "minimum_calls"),
    "adaptive": ("adaptive_rules", "adaptive_floor", "adaptive_ceiling", "minimum_calls"),
}
RATED: Final = ("slow_call_seconds", "slow_call_rate_threshold")
RECOVERY: Final = (
    "recovery_timeout",
    "recovery_backoff",
    "max_recovery_timeout",
    "recovery_jitter",
    "half_open_max_calls",
    "success_threshold",
    "half_open_max_wait",
)
DISABLING: Final = ("auto_disable_enabled", "max_failure_cycles")
SECONDS: Final = frozenset(
    {
        "recovery_timeout",
        "max_recovery_timeout",
        "window_seconds",
        "slow_call_seconds",
        "half_open_max_wait",
    }
)
EFFECTIVE: Final[Mapping[str, str]] = {
    "minimum_calls": "required_calls",
    "max_recovery_timeout": "longest_wait",
    "half_open_max_calls": "trial_calls",
}
"""Fields whose None stands for a value that another attribute gives."""
ALWAYS: Final = frozenset({"recovery_timeout", "half_open_max_calls"})


def fields_of(kind: str) -> list[str]:
    """The fields that matter for a breaker of this kind, in the order of reading."""
    names = ["kind", *BY_KIND[kind]]
    if kind in {"time", "percentage"}:
        names += RATED
    return [*names, *RECOVERY, *DISABLING]


def in_words(policy: BreakerPolicy) -> dict[str, str]:
    """The same with their values, without those that are switched off."""
    plain = BreakerPolicy()
    shown = {}
    for name in fields_of(policy.kind):
        value = getattr(policy, name)
        off = name not in ALWAYS and name in {*RATED, *RECOVERY} and value == getattr(plain, name)
        if off or (name == "max_failure_cycles" and not policy.auto_disable_enabled):
            continue
        effective = getattr(policy, EFFECTIVE.get(name, name))
        shown[name] = spelled(name, effective)
    return shown


def spelled(name: str, value: Any) -> str:
    """A value of a field for a reader."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    if name in SECONDS:
        return words.duration(value)
    if name == "recovery_backoff":
        return f"\N{MULTIPLICATION SIGN} {value:g}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def label(name: str) -> str:
    """A field's name as words."""
    return name.replace("_", " ")
