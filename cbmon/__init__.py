"""cbmon: circuit breakers, and the monitoring daemon built around them."""

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
from cbmon.resilience.bulkhead import Bulkhead
from cbmon.resilience.errors import BulkheadFullError
from cbmon.resilience.retrying import retry

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
