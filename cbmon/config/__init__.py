"""The daemon's configuration: read, checked and resolved into one frozen value.

Rule: all or nothing. Either every option of every file is right, or every problem is told with
its place and nothing changes.
"""

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
