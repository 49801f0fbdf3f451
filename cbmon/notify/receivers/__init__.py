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
    "email": "cbmon.notify.receivers.email",
    "slack": "cbmon.notify.receivers.slack",
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
    return [
        Endpoint(
            name=line_name(receiver.name, kind),
            identity=(kind, options),
            policy=receiver.policy,
            timeout=receiver_type(kind).timeout(options),
            build=partial(_build, kind, options, environment),
        )
        for receiver in config.receivers
        for kind, options in receiver.integrations
    ]


def _build(kind: str, options: Options, environment: ReceiverEnvironment) -> Receiver:
    built: Any = receiver_type(kind).build(options, environment)
    return built  # type: ignore[no-any-return]
