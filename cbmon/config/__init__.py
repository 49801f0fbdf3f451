"""The daemon's configuration: read, checked and resolved into one frozen value.

Rule: all or nothing. Either every option of every file is right, or every problem is told with
its place and nothing changes.

What is named here is imported when it is first asked for: an application that reads its breakers
from a file uses the reader of this room, and not the models of the daemon.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cbmon.config.load import load_config
    from cbmon.config.model import (
        CheckConfig,
        Config,
        ConfigTypes,
        ExportConfig,
        NotificationsConfig,
        ReceiverConfig,
    )
    from cbmon.config.problems import ConfigError, Problem
    from cbmon.config.routes import Matcher, Route

__all__ = [
    "CheckConfig",
    "Config",
    "ConfigError",
    "ConfigTypes",
    "ExportConfig",
    "Matcher",
    "NotificationsConfig",
    "Problem",
    "ReceiverConfig",
    "Route",
    "load_config",
]

_HOMES: Final = {
    "load_config": "load",
    "CheckConfig": "model",
    "Config": "model",
    "ConfigTypes": "model",
    "ExportConfig": "model",
    "NotificationsConfig": "model",
    "ReceiverConfig": "model",
    "ConfigError": "problems",
    "Problem": "problems",
    "Matcher": "routes",
    "Route": "routes",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'cbmon.config' has no attribute {name!r}")
    value: object = getattr(import_module(f"cbmon.config.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
