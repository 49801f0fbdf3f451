"""The settings of a breaker, as a person writes them.

Rule: field for field those of :class:`~cbmon.breaker.BreakerPolicy` with the same defaults; what
they may hold is the policy's business, not this file's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from cbmon.breaker import BreakerPolicy
from cbmon.config.fields import Duration, Options, Ratio, fault

_POLICY: Final = BreakerPolicy()


class PolicyFields(Options):
    """The settings of a breaker; every one replaces the template's."""

    kind: Literal["count", "time", "percentage", "adaptive"] = Field(
        _POLICY.kind,
        description="What opens it: count consecutive failures, time the rate over a time window, "
        "percentage the rate over the last calls, adaptive what it has learnt.",
    )
    failure_threshold: int = Field(
        _POLICY.failure_threshold, description="count: consecutive failures that open."
    )
    failure_rate_threshold: Ratio = Field(
        _POLICY.failure_rate_threshold,
        description="time, percentage: failure ratio that opens, reached or exceeded.",
    )
    minimum_calls: int | None = Field(
        _POLICY.minimum_calls,
        description="time, percentage, adaptive: no verdict on fewer calls; null is 10, at most "
        "window_size.",
    )
    window_size: int = Field(
        _POLICY.window_size, description="percentage: how many calls are looked at."
    )
    window_seconds: Duration = Field(
        _POLICY.window_seconds, description="time: how far back calls are looked at."
    )
    slow_call_seconds: Duration | None = Field(
        _POLICY.slow_call_seconds,
        description="A run that takes longer is slow; null means none is.",
    )
    slow_call_rate_threshold: Ratio = Field(
        _POLICY.slow_call_rate_threshold, description="Ratio of slow runs that opens."
    )
    recovery_timeout: Duration = Field(
        _POLICY.recovery_timeout, description="How long it stays open before the first trial."
    )
    timeout_seconds: Duration | None = Field(None, description="Another name for recovery_timeout.")
    recovery_backoff: float = Field(
        _POLICY.recovery_backoff,
        description="Factor on recovery_timeout for each reopening, at least 1.",
    )
    max_recovery_timeout: Duration | None = Field(
        _POLICY.max_recovery_timeout,
        description="Longest wait with backoff; null is one hour or recovery_timeout.",
    )
    recovery_jitter: Ratio = Field(
        _POLICY.recovery_jitter,
        description="Random part of the wait, as a ratio below 1, drawn once per opening.",
    )
    half_open_max_calls: int | None = Field(
        _POLICY.half_open_max_calls,
        description="Trial runs per half-open period; null is what success_threshold needs.",
    )
    success_threshold: int | None = Field(
        _POLICY.success_threshold,
        description="Trials that must succeed to close; null judges all trials by the rates.",
    )
    half_open_max_wait: Duration | None = Field(
        _POLICY.half_open_max_wait,
        description="How long it may be half-open without a verdict before it reopens.",
    )
    call_timeout: Duration | None = Field(
        _POLICY.call_timeout, description="A call that takes longer is cancelled and is a failure."
    )
    auto_disable_enabled: bool = Field(
        _POLICY.auto_disable_enabled, description="Take it out of service after max_failure_cycles."
    )
    max_failure_cycles: int = Field(
        _POLICY.max_failure_cycles,
        description="Cycles open, half_open, open after which it is disabled.",
    )

    gradual_return_seconds: Duration | None = Field(
        _POLICY.gradual_return_seconds,
        description="After a recovery admit a share of the calls that grows over this time.",
    )
    adaptive_rules: tuple[Literal["error_rate", "throttling", "latency"], ...] = Field(
        ("error_rate",), description="adaptive: the rules that may open it."
    )
    adaptive_floor: Ratio = Field(
        _POLICY.adaptive_floor,
        description="adaptive: no rule on errors acts below this failure ratio.",
    )
    adaptive_ceiling: Ratio = Field(
        _POLICY.adaptive_ceiling,
        description="adaptive: every rule on errors opens at this failure ratio.",
    )
    adaptive_smoothing: Ratio = Field(
        _POLICY.adaptive_smoothing,
        description="adaptive: weight of the newest call in a moving average.",
    )
    adaptive_sensitivity: float = Field(
        _POLICY.adaptive_sensitivity,
        description="adaptive: standard deviations over the learnt failure ratio that open.",
    )
    adaptive_memory: int = Field(
        _POLICY.adaptive_memory,
        description="adaptive: calls over which a baseline is learnt, at least 10.",
    )
    adaptive_multiplier: float = Field(
        _POLICY.adaptive_multiplier,
        description="throttling: K of the formula, at least 1; lower rejects sooner.",
    )
    adaptive_latency_limit: float = Field(
        _POLICY.adaptive_latency_limit,
        description="latency: accumulated drift in standard deviations that opens.",
    )
    adaptive_latency_floor: float = Field(
        _POLICY.adaptive_latency_floor,
        description="latency: no drift below this multiple of the baseline.",
    )
    adaptive_latency_ceiling: float = Field(
        _POLICY.adaptive_latency_ceiling,
        description="latency: always drift at this multiple of the baseline.",
    )

    @model_validator(mode="after")
    def _check_alias(self) -> PolicyFields:
        if {"timeout_seconds", "recovery_timeout"} <= self.model_fields_set:
            raise fault("the same as recovery_timeout; keep one of them", "timeout_seconds")
        return self

    def given(self) -> dict[str, Any]:
        """The policy fields that are written here, by the policy's own names."""
        names = self.model_fields_set - {"base", "template"}
        return {
            "recovery_timeout" if name == "timeout_seconds" else name: getattr(self, name)
            for name in names
        }


class TemplateSettings(PolicyFields):
    """A template of one's own."""

    base: str = Field("conservative", description="The template that it starts from.")


class BreakerSettings(PolicyFields):
    """A template and what is different from it."""

    template: str | None = Field(
        None, description="The template that it starts from; without it, the default breaker."
    )


def _breaker_form(value: object) -> str | None:
    if isinstance(value, str):
        return "name"
    return "settings" if isinstance(value, Mapping | BreakerSettings) else None


Breaker = Annotated[
    Annotated[str, Tag("name")] | Annotated[BreakerSettings, Tag("settings")],
    Discriminator(
        _breaker_form,
        custom_error_type="cbmon",
        custom_error_message="expected the name of a template or a mapping of settings",
    ),
]
