"""The kinds of receivers: one module each, found by name.

Rule: a new kind is one module that defines ``TYPE``, one line in :data:`RECEIVERS` and a test.
Nothing is imported before a receiver of its kind is configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from cbmon.config import NotificationsConfig
from cbmon.errors import ConfigurationError
from cbmon.notify.endpoint import Endpoint
from cbmon.notify.routing import line_name

if TYPE_CHECKING:
    from cbmon.config.fields import Options
    from cbmon.interfaces import Receiver
    from cbmon.notify.receivers.kind import AnyReceiverType, ReceiverEnvironment

RECEIVERS: Final[Mapping[str, str]] = {
    "alertmanager": "cbmon.notify.receivers.alertmanager",
    "apprise": "cbmon.notify.receivers.apprise",
    "discord": "cbmon.notify.receivers.discord",
    "email": "cbmon.notify.receivers.email",
    "ntfy": "cbmon.notify.receivers.ntfy",
    "pagerduty": "cbmon.notify.receivers.pagerduty",
    "slack": "cbmon.notify.receivers.slack",
    "teams": "cbmon.notify.receivers.teams",
    "telegram": "cbmon.notify.receivers.telegram",
    "webhook": "cbmon.notify.receivers.webhook",
}
"""The module that holds each kind."""


def receiver_type(name: str) -> AnyReceiverType:
    """The kind of that name; ConfigurationError for one that does not exist."""
    if name not in RECEIVERS:
        known = ", ".join(RECEIVERS)
        raise ConfigurationError(f'unknown kind of receiver "{name}"; known are {known}')
    found: AnyReceiverType = import_module(RECEIVERS[name]).TYPE
    return found


def ungrouped_kinds(config: NotificationsConfig) -> frozenset[str]:
    """The configured kinds that put alerts together themselves and want each by itself."""
    kinds = {kind for receiver in config.receivers for kind, _ in receiver.integrations}
    return frozenset(kind for kind in kinds if not receiver_type(kind).grouped)


def endpoints(config: NotificationsConfig, environment: ReceiverEnvironment) -> list[Endpoint]:
    """One endpoint for each integration of each receiver."""
    lines = {
        receiver.name: tuple(line_name(receiver.name, kind) for kind, _ in receiver.integrations)
        for receiver in config.receivers
    }
    return [
        Endpoint(
            name=line_name(receiver.name, kind),
            identity=(kind, options),
            policy=receiver.policy,
            time_to_live=receiver.time_to_live,
            fallback=lines.get(receiver.fallback or "", ()),
            fallback_after=receiver.fallback_after,
            timeout=receiver_type(kind).timeout(options),
            build=partial(_build, kind, options, environment),
        )
        for receiver in config.receivers
        for kind, options in receiver.integrations
    ]


def _build(kind: str, options: Options, environment: ReceiverEnvironment) -> Receiver:
    built: Any = receiver_type(kind).build(options, environment)
    return built  # type: ignore[no-any-return]
