"""cbmon: circuit breakers, and the monitoring daemon built around them."""

from importlib import import_module
from typing import TYPE_CHECKING

from cbmon.breaker import (
    BreakerPolicy,
    CircuitBreaker,
    CircuitOpenError,
    Clock,
    InvalidTransitionError,
    RegistryFullError,
    State,
    SystemClock,
    circuit_breaker,
)
from cbmon.breaker.registry import BreakerRegistry

if TYPE_CHECKING:
    from cbmon.resilience import Bulkhead, BulkheadFullError, retry

__version__ = "0.1.0"

__all__ = [
    "BreakerPolicy",
    "BreakerRegistry",
    "Bulkhead",
    "BulkheadFullError",
    "CircuitBreaker",
    "CircuitOpenError",
    "Clock",
    "InvalidTransitionError",
    "RegistryFullError",
    "State",
    "SystemClock",
    "circuit_breaker",
    "retry",
]

_LAZY = frozenset({"Bulkhead", "BulkheadFullError", "retry"})
"""Names of rooms that import asyncio, which costs more than all the rest."""


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'cbmon' has no attribute {name!r}")
    value: object = getattr(import_module("cbmon.resilience"), name)
    globals()[name] = value
    return value
