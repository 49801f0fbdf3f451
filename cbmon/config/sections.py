"""The sections of a configuration, as a person writes them.

Rule: one model is validator, example and reference at once; what it says of an option is what the
schema, the option tables and the daemon say.
"""

from __future__ import annotations

import re
from datetime import datetime
from ipaddress import ip_network
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from cbmon.breaker import BreakerPolicy
from cbmon.config.breakers import Breaker
from cbmon.config.fields import (
    Cidr,
    Duration,
    HostPort,
    ListenAddress,
    LocalPath,
    Options,
    Secret,
    SecretFile,
    Url,
    ZeroOrMore,
    fault,
    secret_from,
)
from cbmon.config.policies import BUILT_IN
from cbmon.config.programs import checked_pattern
from cbmon.config.results import ResultsSection
from cbmon.config.statuspage import StatusPageSection
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
    if value in {".", ".."}:
        raise ValueError(f"expected a name that can stand in an address, got {shown(value)}")
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


def _moment(value: str) -> str:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ValueError(
            f"expected a moment with its zone, such as 2027-01-31T12:00:00Z, got {shown(value)}"
        )
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


ProgramPattern = Annotated[str, AfterValidator(checked_pattern)]


class GlobalSection(Options):
    """What is true of the whole daemon."""

    external_url: Url | None = Field(
        None, description="Where people reach this daemon; links in messages begin with it."
    )
    labels: Labels = Field(
        default_factory=dict, description="Labels of everything this daemon watches, such as site."
    )
    exec_allow: tuple[ProgramPattern, ...] = Field(
        (),
        description="Programs that checks may start, as absolute paths with * for a part of a "
        "name, such as /usr/lib/nagios/plugins/*; none if empty.",
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
    results: ResultsSection = Field(
        default_factory=ResultsSection, description="How long results of runs are kept."
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
    role: Literal["reporter", "viewer", "operator", "admin"] = Field(
        "viewer",
        description="viewer reads, operator acts on breakers, admin changes settings; reporter "
        "only reports the breakers of an application.",
    )
    token: Secret | None = Field(None, description="The token itself; better use token_file.")
    token_file: SecretFile | None = Field(None, description="A file that holds the token.")
    expires_at: Annotated[str, AfterValidator(_moment)] | None = Field(
        None,
        description="From when on it is worth nothing, as 2027-01-31T12:00:00Z; never without it. "
        "Two entries with the same name are a rotation: both are valid until one expires.",
    )

    @property
    def expires(self) -> float | None:
        """``expires_at`` in Unix seconds."""
        return (
            None if self.expires_at is None else datetime.fromisoformat(self.expires_at).timestamp()
        )


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
    breaker: Breaker | None = Field(
        None,
        description="A breaker for each target of /probe: a built-in template, or a mapping of "
        "settings; none without it.",
    )

    @property
    def policy(self) -> BreakerPolicy | None:
        """The policy of those breakers; None without them. ValueError for an impossible one."""
        if self.breaker is None:
            return None
        if isinstance(self.breaker, str):
            name, given = self.breaker, {}
        else:
            name, given = self.breaker.template or "conservative", self.breaker.given()
        if name not in BUILT_IN:
            raise ValueError(f"expected a built-in template, got {shown(name)}")
        return BreakerPolicy(**{**BUILT_IN[name][1], **given})

    @model_validator(mode="after")
    def _check_breaker(self) -> ProbeSection:
        try:
            self.policy  # noqa: B018 - made to see whether it can be
        except ValueError as error:
            raise fault(str(error), "breaker") from None
        return self


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
    config_file: LocalPath | None = Field(
        None,
        description="A web-config file of Prometheus' exporters: TLS, client certificates, users, "
        "headers, rate limit. --web.config.file names another.",
    )
    certificate_role: Literal["viewer", "operator", "admin"] = Field(
        "viewer", description="What the owner of a verified client certificate may do."
    )
    tokens: tuple[TokenEntry, ...] = Field((), description="Bearer tokens of the API.")
    probe: ProbeSection = Field(
        default_factory=ProbeSection, description="Arbitrary targets on /probe."
    )
    status_page: StatusPageSection = Field(
        default_factory=StatusPageSection, description="A public page of names and states."
    )

    @model_validator(mode="after")
    def _check_rotation(self) -> WebSection:
        known: dict[str, list[TokenEntry]] = {}
        for index, entry in enumerate(self.tokens):
            same = known.setdefault(entry.name, [])
            same.append(entry)
            if len(same) > 2:
                message = f"a third token of {shown(entry.name)}; a rotation has two"
                raise fault(message, "tokens", index, "name")
            if same[0].role != entry.role:
                message = f"the other token of {shown(entry.name)} has role {same[0].role}"
                raise fault(message, "tokens", index, "role")
        return self


class DefaultsSection(Options):
    """What checks and exports take when they say nothing themselves."""

    interval: Interval = Field(30.0, description="Time from the start of a run to the next.")
    timeout: Duration = Field(
        5.0, description="Deadline of a run; an interval that is shorter shortens it."
    )
    breaker: Breaker = Field("conservative", description="A template, or a mapping of settings.")
    retry_disabled: Duration | None = Field(
        None,
        description="How long after a breaker has disabled itself it gets one more trial, again "
        "and again; null leaves it to a person.",
    )


class ExportEntry(Options):
    """What every export has besides its type."""

    name: Name = Field(description="Unique among checks, exports and receivers; a label value.")
    interval: Interval | None = Field(None, description="Time from one run to the next.")
    timeout: Duration | None = Field(None, description="Deadline of a run; at most the interval.")
    breaker: Breaker | None = Field(None, description="A template, or a mapping of settings.")
    labels: Labels = Field(default_factory=dict, description="Labels for routing and grouping.")


class ConfirmSettings(Options):
    """Looking again at once after a failed look, before it counts."""

    attempts: int = Field(
        1, description="How often to look again; the first good look is the result.", ge=1, le=10
    )
    delay: ZeroOrMore = Field(0.0, description="Time before each of these looks.")
    other_address: bool = Field(
        False, description="Prefer an address of the name that has not failed in this run."
    )


class CheckEntry(ExportEntry):
    """What every check has besides its type."""

    enabled: bool = Field(True, description="false keeps the check here, but does not run it.")
    group: Annotated[str, AfterValidator(_name)] | None = Field(
        None, description="What it belongs to: messages and the page are grouped by it."
    )
    tags: Tags = Field((), description="Words to find it by.")
    confirm: ConfirmSettings | None = Field(
        None, description="Look again at once after a failed look, before it counts as a failure."
    )
    addresses: Literal["one", "all"] = Field(
        "one", description="all looks at every address of the name; one that fails is a failure."
    )
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
    send_resolved: bool = Field(True, description="Whether it is told of the end of outages.")
    time_to_live: Duration = Field(
        72 * 3600.0, description="What could not be delivered for so long is given up."
    )
    fallback: str | None = Field(
        None, description="The receiver that is told of what this one does not take."
    )
    fallback_after: Duration = Field(
        600.0, description="How long a message waits before the fallback is told of it."
    )
