"""The engine: a sans-IO machine and the shell with clock, lock and listeners around it.

Rule: nothing in here knows a library of the daemon; importing it costs the standard library only.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from cbmon.breaker.breaker import CircuitBreaker
from cbmon.breaker.clock import Clock, SystemClock
from cbmon.breaker.decorator import circuit_breaker
from cbmon.breaker.errors import (
    BreakerWarning,
    CallTimeoutError,
    CircuitOpenError,
    InvalidTransitionError,
    NeutralError,
    RegistryFullError,
)
from cbmon.breaker.policy import BreakerPolicy
from cbmon.breaker.states import State, Trigger

if TYPE_CHECKING:
    from cbmon.breaker.events import (
        BreakerEvent,
        CallEvent,
        RateEvent,
        ReconfiguredEvent,
        ResetEvent,
        TransitionEvent,
    )

__all__ = [
    "BreakerEvent",
    "BreakerPolicy",
    "BreakerWarning",
    "CallEvent",
    "CallTimeoutError",
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


def __getattr__(name: str) -> object:
    """The events, which are imported when somebody names one or listens."""
    if name not in __all__:
        raise AttributeError(f"module 'cbmon.breaker' has no attribute {name!r}")
    value: object = getattr(import_module("cbmon.breaker.events"), name)
    globals()[name] = value
    return value
