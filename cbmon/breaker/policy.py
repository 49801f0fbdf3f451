"""What a breaker holds against its target: one frozen, validated policy.

Rule: a policy that cannot do what it says is refused when it is made, with field, value and
bound. Policies are shared: ten thousand breakers may hold the same one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from cbmon.breaker.arguments import refuse_unknown
from cbmon.breaker.validation import check_fields, ignored_fields

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["count", "time", "percentage", "adaptive"]

HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a breaker opens, how long it stays open, and what closes it.

    Durations are seconds, at most 1,000,000,000 (31 years); ratios are in [0, 1]. Every field is
    checked: a ``ValueError`` names the field, the value and the bound; NaN, infinity, booleans and
    wrong types are refused.
    """

    kind: Kind = "count"
    """``count`` consecutive failures, ``time`` rate over the last ``window_seconds``,
    ``percentage`` rate over the last ``window_size`` calls, ``adaptive`` learnt thresholds."""
    failure_threshold: int = 5
    """Kind count: consecutive failures that open, 1 to 1,000,000 as every whole number here."""
    failure_rate_threshold: float = 0.5
    """Kinds time and percentage: failure ratio in (0, 1] that opens, reached or exceeded."""
    minimum_calls: int | None = None
    """No verdict on fewer calls; None is 10, at most ``window_size``."""
    window_size: int = 100
    """Kind percentage: calls in the window, 1 to 1,000,000 (a byte each)."""
    window_seconds: float = 60.0
    """Kinds time and adaptive: length of the window, greater than 0."""
    slow_call_seconds: float | None = None
    """A call strictly longer than this is slow; None measures nothing."""
    slow_call_rate_threshold: float = 1.0
    """Ratio of slow calls in (0, 1] that opens; kind count has no rates."""
    recovery_timeout: float = 60.0
    """Seconds open before the first trial call, greater than 0."""
    recovery_backoff: float = 1.0
    """Factor per opening since the last closed, at least 1."""
    max_recovery_timeout: float | None = None
    """The longest wait; None is one hour or ``recovery_timeout``, whichever is longer."""
    recovery_jitter: float = 0.0
    """Plus or minus this fraction in [0, 1) of the wait, drawn once per opening."""
    half_open_max_calls: int | None = None
    """Trial calls per half-open period; None is ``success_threshold`` or 1."""
    success_threshold: int | None = None
    """Trial calls that must succeed to close; None judges all of them by the closed rates."""
    half_open_max_wait: float | None = None
    """Seconds from the first trial call after which half-open without a verdict reopens."""
    call_timeout: float | None = None
    """Seconds after which an async call is cancelled and is a failure."""
    auto_disable_enabled: bool = False
    """Disable the breaker when its failure cycles reach ``max_failure_cycles``."""
    max_failure_cycles: int = 3
    """Open, half-open, open again is one cycle; at least 1."""
    expected_exceptions: tuple[type, ...] = (Exception,)
    """What counts as a failure; any other exception is the target's success."""
    ignored_exceptions: tuple[type, ...] = ()
    """What counts as nothing; wins over ``expected_exceptions``."""
    is_failure: Callable[[Any], object] | None = None
    """Predicate on a returned value: true is a failure."""
    gradual_return_seconds: float | None = None
    """After a recovery admit a share of the calls that grows to all over this time."""
    adaptive_rules: tuple[str, ...] = ("error_rate",)
    """Kind adaptive: any of ``error_rate``, ``throttling``, ``latency``."""
    adaptive_floor: float = 0.25
    """No adaptive rule on errors acts below this ratio, in (0, 1)."""
    adaptive_ceiling: float = 0.9
    """Every adaptive rule on errors opens at this ratio, in (``adaptive_floor``, 1]."""
    adaptive_smoothing: float = 0.05
    """Weight of the newest call in a moving average, in (0, 1]."""
    adaptive_sensitivity: float = 3.0
    """Standard deviations over the learnt error rate that open, greater than 0."""
    adaptive_memory: int = 1000
    """Calls over which a baseline is learnt, at least 10."""
    adaptive_multiplier: float = 2.0
    """``throttling``: K of the formula, at least 1; lower rejects sooner."""
    adaptive_latency_limit: float = 8.0
    """``latency``: accumulated drift in standard deviations that opens, greater than 0."""
    adaptive_latency_floor: float = 1.5
    """``latency``: no drift below this multiple of the baseline, at least 1."""
    adaptive_latency_ceiling: float = 10.0
    """``latency``: always drift at this multiple of the baseline, above the floor."""

    def __new__(cls, *_: object, **given: object) -> Self:
        """Refuse a field that there is not, with the one that was probably meant."""
        if unknown := given.keys() - cls.__dataclass_fields__.keys():
            refuse_unknown(unknown, cls.__dataclass_fields__, "BreakerPolicy")
        return object.__new__(cls)

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def trial_calls(self) -> int:
        """Trial calls per half-open period, with the default applied."""
        return self.half_open_max_calls or self.success_threshold or 1

    @property
    def required_calls(self) -> int:
        """``minimum_calls`` with the default applied."""
        if self.minimum_calls is not None:
            return self.minimum_calls
        return min(10, self.window_size) if self.kind == "percentage" else 10

    @property
    def longest_wait(self) -> float:
        """``max_recovery_timeout`` with the default applied, in seconds."""
        if self.max_recovery_timeout is not None:
            return self.max_recovery_timeout
        return max(HOUR, self.recovery_timeout)

    @property
    def measures(self) -> bool:
        """Whether a call's duration plays a part."""
        return self.slow_call_seconds is not None or (
            self.kind == "adaptive" and "latency" in self.adaptive_rules
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is set and does nothing, because the kind has no use for it: one text a field."""
        return tuple(
            f"{name}: {getattr(self, name)!r} has no effect, because {why}"
            for name, why in ignored_fields(self.kind).items()
            if getattr(self, name) != self.__dataclass_fields__[name].default
        )

    def replace(self, **changes: Any) -> BreakerPolicy:
        """A policy with some fields changed, validated like a new one."""
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Every field as JSON can hold it: classes and the predicate by name."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__qualname__", type(value).__qualname__)
