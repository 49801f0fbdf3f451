"""Watching the breakers of one program from inside: alert rules in Python, a dashboard, history.

Rule: conditions are plain functions of a breaker's numbers. One that raises, and a handler that
raises, is logged and harms nobody; an alert is told once per cooldown and once when it is over.
"""

from cbmon.watch.monitor import HEALTHY, AlertHandler, BreakerMonitor, TransitionHandler
from cbmon.watch.rules import (
    DEFAULT_RULES,
    HALF_OPEN,
    OPEN,
    REPEATED_FAILURES,
    Alert,
    AlertRule,
    BreakerMetrics,
    Severity,
    Transition,
)

__all__ = [
    "DEFAULT_RULES",
    "HALF_OPEN",
    "HEALTHY",
    "OPEN",
    "REPEATED_FAILURES",
    "Alert",
    "AlertHandler",
    "AlertRule",
    "BreakerMetrics",
    "BreakerMonitor",
    "Severity",
    "Transition",
    "TransitionHandler",
]
