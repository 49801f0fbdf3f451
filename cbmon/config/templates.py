"""The breaker templates that are built in, for the daemon's configuration and for applications'.

Rule: only what differs from the defaults of :class:`~cbmon.breaker.BreakerPolicy`, and no import
that an application would have to pay for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

BUILT_IN: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "conservative": (
        "The default: five failures in a row open it for a minute.",
        {"failure_threshold": 5, "recovery_timeout": 60.0, "half_open_max_calls": 1},
    ),
    "aggressive": (
        "Opens soon and tries again soon, with two trials: for what must not be waited for.",
        {"failure_threshold": 3, "recovery_timeout": 30.0, "half_open_max_calls": 2},
    ),
    "lenient": (
        "Takes ten failures and waits two minutes, with three trials: for what is often shaky.",
        {"failure_threshold": 10, "recovery_timeout": 120.0, "half_open_max_calls": 3},
    ),
    "ai_provider": (
        "Learns what is normal, because answer times vary; overload is given growing time.",
        {
            "kind": "adaptive",
            "failure_threshold": 2,
            "failure_rate_threshold": 0.3,
            "minimum_calls": 10,
            "recovery_timeout": 30.0,
            "recovery_backoff": 2.0,
            "max_recovery_timeout": 600.0,
            "recovery_jitter": 0.1,
        },
    ),
    "database": (
        "Half of the last 20 runs must fail; retried soon, because a fail-over is quick.",
        {
            "kind": "percentage",
            "failure_rate_threshold": 0.5,
            "window_size": 20,
            "minimum_calls": 5,
            "recovery_timeout": 15.0,
            "half_open_max_calls": 2,
        },
    ),
    "mcp_server": (
        "Three failures in a row: tool servers fail in a way that is easy to see.",
        {
            "kind": "count",
            "failure_threshold": 3,
            "recovery_timeout": 30.0,
            "recovery_backoff": 1.5,
            "max_recovery_timeout": 300.0,
        },
    ),
    "external_api": (
        "Half of the runs of ten minutes must fail; waits longer and less evenly each time.",
        {
            "kind": "time",
            "failure_rate_threshold": 0.5,
            "window_seconds": 600.0,
            "minimum_calls": 5,
            "recovery_timeout": 60.0,
            "recovery_backoff": 2.0,
            "max_recovery_timeout": 900.0,
            "recovery_jitter": 0.2,
        },
    ),
}
"""Name → what it is for, and what differs from the defaults of BreakerPolicy."""
