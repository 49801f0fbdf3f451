"""The sections of a configuration, as a person writes them.

Rule: one model is validator, example and reference at once; what it says of an option is what the
schema, the option tables and the daemon say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from cbmon.config.fields import (
    Cidr,
    Duration,
    HostPort,
    ListenAddress,
    LocalPath,
    Options,
    Ratio,
    Secret,
    SecretFile,
    Url,
    fault,
    secret_from,
)
from cbmon.config.words import shown

MIN_INTERVAL: Final = 0.1
MAX_INTERVAL: Final = 31 * 86_400.0

RESERVED_LABELS: Final = frozenset(
    {"job", "instance", "le", "quantile", "check", "export", "component", "category", "kind"}
    | {"group", "target", "reason", "receiver", "state", "cause", "phase"}
)
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}")
_TAG: Final = re.compile(r"[^\s,]{1,64}")


def _name(value: str) -> str:
    if not value or len(value) > 128:
        raise ValueError(f"expected a name of 1 to 128 characters, got {shown(value)}")
    if value != value.strip() or not value.isprintable() or "/" in value:
        raise ValueError(
            f'expected a name without "/", control characters and outer blanks, got {shown(value)}'
        )
    return value


def _label_name(value: str) -> str:
    if not _LABEL.fullmatch(value) or value.startswith("__"):
        raise ValueError(
            f"expected a label name of letters, digits and _ (not first a digit or __), "
            f"got {shown(value)}"
        )
    if value in RESERVED_LABELS:
        raise ValueError(f"the label {shown(value)} is taken by cbmon or Prometheus; rename it")
    return value


def _tag(value: str) -> str:
    if not _TAG.fullmatch(value) or not value.isprintable():
        raise ValueError(
            f"expected a tag of 1 to 64 characters without blanks and commas, got {shown(value)}"
        )
    return value


def _database_url(value: Secret) -> Secret:
    try:
        scheme = urlsplit(value.reveal()).scheme
    except ValueError:
        scheme = ""
    if scheme not in {"sqlite", "postgresql", "postgres"} or "://" not in value.reveal():
        raise ValueError("expected sqlite:///path or postgresql://user@host/database (not shown)")
    return value


def _interval(value: float) -> float:
    if not MIN_INTERVAL <= value <= MAX_INTERVAL:
        raise ValueError(f"expected an interval from 100ms to 31d, got {value:g}s")
    return value


Name = Annotated[str, AfterValidator(_name)]
LabelName = Annotated[str, AfterValidator(_label_name)]
Labels = dict[LabelName, str]
Tags = tuple[Annotated[str, AfterValidator(_tag)], ...]
Interval = Annotated[Duration, AfterValidator(_interval)]


class GlobalSection(Options):
    """What is true of the whole daemon."""

    external_url: Url | None = Field(
        None, description="Where people reach this daemon; links in messages begin with it."
    )
    labels: Labels = Field(
        default_factory=dict, description="Labels of everything this daemon watches, such as site."
    )


class StorageSection(Options):
    """Where state, history and outgoing messages are kept."""

    location: Annotated[Secret, AfterValidator(_database_url)] = Field(
        Secret("sqlite:///var/lib/cbmon/cbmon.db"),
        alias="url",
        json_schema_extra={"default": "sqlite:///var/lib/cbmon/cbmon.db"},
        description="The database: sqlite:///path or postgresql://user@host/database. "
        "It may hold a password and is never shown.",
    )
    url_file: SecretFile | None = Field(
        None, description="A file that holds the URL, instead of url."
    )
    retention: Duration = Field(
        30 * 86_400.0, description="How long transitions and delivered messages are kept."
    )

    @property
    def url(self) -> str:
        """The URL in clear, read anew when it stands in a file (SecretError)."""
        found = secret_from(self.location, self.url_file)
        return "" if found is None else found.reveal()

    @model_validator(mode="after")
    def _check_url(self) -> StorageSection:
        if {"location", "url_file"} <= self.model_fields_set:
            raise fault("url and url_file exclude each other; keep one of them")
        return self


class TokenEntry(Options):
    """A bearer token for the HTTP API."""

    one_of = (("token",),)

    name: Name = Field(description="Whose token it is; shown in the audit log.")
    role: Literal["viewer", "operator", "admin"] = Field(
        "viewer", description="viewer reads, operator acts on breakers, admin changes settings."
    )
    token: Secret | None = Field(None, description="The token itself; better use token_file.")
    token_file: SecretFile | None = Field(None, description="A file that holds the token.")


class ProbeSection(Options):
    """Whether and for which addresses ``/probe`` looks at targets that a request names."""

    enabled: bool = Field(
        False, description="Allow arbitrary targets on /probe, as blackbox_exporter does."
    )
    allow_cidrs: tuple[Cidr, ...] = Field(
        (), description="Only these networks may be probed; empty means all that are not denied."
    )
    deny_cidrs: tuple[Cidr, ...] = Field(
        (ip_network("169.254.0.0/16"),),
        description="Networks that are never probed; checked on the final address.",
    )
    allow_unix: bool = Field(False, description="Allow unix sockets as targets of /probe.")


class WebSection(Options):
    """The HTTP side: page, API and metrics."""

    listen: tuple[ListenAddress, ...] = Field(
        (HostPort("127.0.0.1", 9813),),
        min_length=1,
        description="Addresses to listen on, as host:port; :9813 is every address.",
    )
    control_socket: LocalPath | None = Field(
        None, description="A unix socket on which local commands reach the daemon."
    )
    tokens: tuple[TokenEntry, ...] = Field((), description="Bearer tokens of the API.")
    probe: ProbeSection = Field(
        default_factory=ProbeSection, description="Arbitrary targets on /probe."
    )


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


class DefaultsSection(Options):
    """What checks and exports take when they say nothing themselves."""

    interval: Interval = Field(30.0, description="Time from the start of a run to the next.")
    timeout: Duration = Field(
        5.0, description="Deadline of a run; an interval that is shorter shortens it."
    )
    breaker: Breaker = Field("conservative", description="A template, or a mapping of settings.")


class ExportEntry(Options):
    """What every export has besides its type."""

    name: Name = Field(description="Unique among checks, exports and receivers; a label value.")
    interval: Interval | None = Field(None, description="Time from one run to the next.")
    timeout: Duration | None = Field(None, description="Deadline of a run; at most the interval.")
    breaker: Breaker | None = Field(None, description="A template, or a mapping of settings.")
    labels: Labels = Field(default_factory=dict, description="Labels for routing and grouping.")


class CheckEntry(ExportEntry):
    """What every check has besides its type."""

    enabled: bool = Field(True, description="false keeps the check here, but does not run it.")
    group: Annotated[str, AfterValidator(_name)] | None = Field(
        None, description="What it belongs to: messages and the page are grouped by it."
    )
    tags: Tags = Field((), description="Words to find it by.")
    depends_on: tuple[str, ...] = Field(
        (),
        description="Checks without which this one cannot work; while one is open this is quiet.",
    )
    receivers: tuple[str, ...] = Field(
        (), description="Who is told besides (or instead of) what the route says."
    )


class ReceiverEntry(Options):
    """What every receiver has besides its integrations."""

    name: Name = Field(description="Unique among checks, exports and receivers; a label value.")
    breaker: Breaker | None = Field(None, description="A template, or a mapping of settings.")
