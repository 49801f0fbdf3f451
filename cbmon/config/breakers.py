"""The settings of a breaker, as a person writes them.

Rule: field for field those of :class:`~cbmon.breaker.BreakerPolicy` with the same defaults; what
they may hold is the policy's business, not this file's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from cbmon.config.fields import Duration, Options, Ratio, fault


class PolicyFields(Options):
    """The settings of a breaker; every one replaces the template's."""

    kind: Literal["count", "time", "percentage", "adaptive"] = Field(
        "count",
        description="What opens it: count consecutive failures, time the rate over a time window, "
        "percentage the rate over the last calls, adaptive what it has learnt.",
    )
    failure_threshold: int = Field(5, description="count: consecutive failures that open.")
    failure_rate_threshold: Ratio = Field(
        0.5, description="time, percentage: failure ratio that opens, reached or exceeded."
    )
    minimum_calls: int | None = Field(
        None,
        description="time, percentage, adaptive: no verdict on fewer calls; null is 10, at most "
        "window_size.",
    )
    window_size: int = Field(100, description="percentage: how many calls are looked at.")
    window_seconds: Duration = Field(60.0, description="time: how far back calls are looked at.")
    slow_call_seconds: Duration | None = Field(
        None, description="A run that takes longer is slow; null means none is."
    )
    slow_call_rate_threshold: Ratio = Field(1.0, description="Ratio of slow runs that opens.")
    recovery_timeout: Duration = Field(
        60.0, description="How long it stays open before the first trial."
    )
    timeout_seconds: Duration | None = Field(None, description="Another name for recovery_timeout.")
    recovery_backoff: float = Field(
        1.0, description="Factor on recovery_timeout for each reopening, at least 1."
    )
    max_recovery_timeout: Duration | None = Field(
        None, description="Longest wait with backoff; null is one hour or recovery_timeout."
    )
    recovery_jitter: Ratio = Field(
        0.0, description="Random part of the wait, as a ratio below 1, drawn once per opening."
    )
    half_open_max_calls: int | None = Field(
        None, description="Trial runs per half-open period; null is what success_threshold needs."
    )
    success_threshold: int | None = Field(
        None, description="Trials that must succeed to close; null judges all trials by the rates."
    )
    half_open_max_wait: Duration | None = Field(
        None, description="How long it may be half-open without a verdict before it reopens."
    )
    call_timeout: Duration | None = Field(
        None, description="A call that takes longer is cancelled and is a failure."
    )
    auto_disable_enabled: bool = Field(
        False, description="Take it out of service after max_failure_cycles."
    )
    max_failure_cycles: int = Field(
        3, description="Cycles open, half_open, open after which it is disabled."
    )

    gradual_return_seconds: Duration | None = Field(
        None, description="After a recovery admit a share of the calls that grows over this time."
    )
    adaptive_rules: tuple[Literal["error_rate", "throttling", "latency"], ...] = Field(
        ("error_rate",), description="adaptive: the rules that may open it."
    )
    adaptive_floor: Ratio = Field(
        0.1, description="adaptive: no rule on errors acts below this failure ratio."
    )
    adaptive_ceiling: Ratio = Field(
        0.9, description="adaptive: every rule on errors opens at this failure ratio."
    )
    adaptive_smoothing: Ratio = Field(
        0.1, description="adaptive: weight of the newest call in a moving average."
    )
    adaptive_sensitivity: float = Field(
        3.0, description="adaptive: standard deviations over the learnt failure ratio that open."
    )
    adaptive_memory: int = Field(
        1000, description="adaptive: calls over which a baseline is learnt, at least 10."
    )
    adaptive_multiplier: float = Field(
        2.0, description="throttling: K of the formula, at least 1; lower rejects sooner."
    )
    adaptive_latency_limit: float = Field(
        8.0, description="latency: accumulated drift in standard deviations that opens."
    )
    adaptive_latency_floor: float = Field(
        1.5, description="latency: no drift below this multiple of the baseline."
    )
    adaptive_latency_ceiling: float = Field(
        10.0, description="latency: always drift at this multiple of the baseline."
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
