"""cbmon: circuit breakers, and the monitoring daemon built around them."""

from cbmon.breaker.breaker import CircuitBreaker
from cbmon.breaker.clock import Clock, SystemClock
from cbmon.breaker.decorator import circuit_breaker
from cbmon.breaker.errors import CircuitOpenError, InvalidTransitionError, RegistryFullError
from cbmon.breaker.policy import BreakerPolicy
from cbmon.breaker.states import State

__version__ = "0.1.0"

__all__ = [
    "BreakerPolicy",
    "CircuitBreaker",
    "CircuitOpenError",
    "Clock",
    "InvalidTransitionError",
    "RegistryFullError",
    "State",
    "SystemClock",
    "circuit_breaker",
]
