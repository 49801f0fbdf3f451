"""A configuration as the daemon uses it.

Rule: frozen, complete and resolved: no templates, defaults or references are left to look up, and
two parts that are equal mean the same, which is what a reload compares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from cbmon.breaker import BreakerPolicy
from cbmon.config.notifying import NotificationRules
from cbmon.config.problems import Problem
from cbmon.config.routes import Route

if TYPE_CHECKING:
    from cbmon.config.alerting import AlertingSection
    from cbmon.config.discovering import Expander
    from cbmon.config.fields import Options
    from cbmon.config.sections import StorageSection, WebSection

OptionsSource = Union["type[Options]", "Callable[[], type[Options]]"]
"""An option model, or a function that imports and returns it when it is first needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigTypes:
    """The option models by the key that a configuration names them with."""

    checks: Mapping[str, OptionsSource]
    exports: Mapping[str, OptionsSource]
    receivers: Mapping[str, OptionsSource]
    discovery: Mapping[str, OptionsSource] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """An export. ``interval`` and ``timeout`` in seconds, timeout at most the interval."""

    name: str
    type: str
    options: Options
    interval: float
    timeout: float
    policy: BreakerPolicy
    labels: Mapping[str, str] = field(default_factory=dict)
    mark: bytes | None = field(default=None, init=False, compare=False, repr=False)
    """Its part in the digest of the configuration, once that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckConfig(ExportConfig):
    """A check. ``group`` is empty when it has none; ``receivers`` are known ones."""

    depends_on: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    group: str = ""
    receivers: tuple[str, ...] = ()
    enabled: bool = True
    confirmations: int = 0
    """How often a failed look is repeated at once, ``confirmation_delay`` seconds after it."""
    confirmation_delay: float = 0.0
    other_address: bool = False
    every_address: bool = False
    discovered: str = ""
    """The discovery that it comes from; empty for one that is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverConfig:
    """A receiver: one or more places where its messages go, each as type and options."""

    name: str
    integrations: tuple[tuple[str, Options], ...]
    policy: BreakerPolicy
    send_resolved: bool = True
    time_to_live: float = 72 * 3600.0
    fallback: str | None = None
    """A known receiver for what this one does not get after ``fallback_after`` seconds."""
    fallback_after: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationsConfig:
    """Who is told. Without receivers there is no route and nobody is."""

    route: Route | None = None
    receivers: tuple[ReceiverConfig, ...] = ()
    rules: NotificationRules = field(default_factory=NotificationRules)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryConfig:
    """Where targets come from, and the check that each becomes."""

    name: str
    type: str
    options: Options
    max_targets: int
    template: Mapping[str, Any]
    interval: float | None = None
    """That of its checks in seconds; None when it differs from target to target."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything the daemon needs to know. Compare two with ``==``: secrets count, files do not."""

    source: Path = field(compare=False)
    files: tuple[Path, ...] = field(compare=False)
    """The absolute path of every file that was read, that of ``source`` first."""
    warnings: tuple[Problem, ...] = field(default=(), compare=False)
    """What works, but probably not as meant."""
    exposed: tuple[Problem, ...] = field(default=(), compare=False)
    """Addresses that other machines reach without a token; problems, unless a web-config file
    authenticates."""
    external_url: str | None
    labels: Mapping[str, str]
    exec_allow: tuple[str, ...] = ()
    retry_disabled: float | None = None
    """Seconds after which a breaker that disabled itself gets one more trial."""
    storage: StorageSection
    web: WebSection
    checks: tuple[CheckConfig, ...]
    exports: tuple[ExportConfig, ...]
    notifications: NotificationsConfig
    alerting: AlertingSection
    discovery: tuple[DiscoveryConfig, ...] = ()
    expander: Expander | None = field(default=None, compare=False, repr=False)
    """Makes checks of targets; None when nothing is to be discovered."""

    @cached_property
    def hash(self) -> str:
        """12 hex digits that change with the meaning, and are the same on every machine.

        Secret values stay out of it, so that it may be published: a rotated secret makes two
        configurations unequal, but leaves their hash.
        """
        from cbmon.config.digest import digest  # noqa: PLC0415 - it knows this module

        return digest(self)
