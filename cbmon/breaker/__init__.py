"""The engine: a sans-IO machine and the shell with clock, lock and listeners around it.

Rule: nothing in here knows a library of the daemon; importing it costs the standard library only.
"""

from cbmon.breaker.breaker import CircuitBreaker
from cbmon.breaker.clock import Clock, SystemClock
from cbmon.breaker.decorator import circuit_breaker
from cbmon.breaker.errors import (
    BreakerWarning,
    CircuitOpenError,
    InvalidTransitionError,
    NeutralError,
    RegistryFullError,
)
from cbmon.breaker.events import (
    BreakerEvent,
    CallEvent,
    RateEvent,
    ReconfiguredEvent,
    ResetEvent,
    TransitionEvent,
)
from cbmon.breaker.policy import BreakerPolicy
from cbmon.breaker.states import State, Trigger

__all__ = [
    "BreakerEvent",
    "BreakerPolicy",
    "BreakerWarning",
    "CallEvent",
    "CircuitBreaker",
    "CircuitOpenError",
    "Clock",
    "InvalidTransitionError",
    "NeutralError",
    "RateEvent",
    "ReconfiguredEvent",
    "RegistryFullError",
    "ResetEvent",
    "State",
    "SystemClock",
    "TransitionEvent",
    "Trigger",
    "circuit_breaker",
]
