"""The breakers of an application in YAML: templates, environments, tags, updates at run time.

Rule: read with the daemon's reader, templates and units, and none of its models: PyYAML is all
that is imported besides the standard library. Why: docs/decisions.
"""

from cbmon.appconfig.manager import (
    BreakerConfigs,
    breaker_config,
    bulkhead_of,
    load_breakers,
    parse_breakers,
    validate,
)
from cbmon.appconfig.model import BreakerConfig, BulkheadConfig, HealthCheckConfig, RetryConfig
from cbmon.config.problems import ConfigError, Problem

__all__ = [
    "BreakerConfig",
    "BreakerConfigs",
    "BulkheadConfig",
    "ConfigError",
    "HealthCheckConfig",
    "Problem",
    "RetryConfig",
    "breaker_config",
    "bulkhead_of",
    "load_breakers",
    "parse_breakers",
    "validate",
]
