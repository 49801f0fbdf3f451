"""What the breaker raises.

Rule: lower case, no full stop, the breaker's name and what to do next. A rejection is a fresh
instance each time, since a shared one would collect tracebacks.
"""

from __future__ import annotations

from math import isfinite

from cbmon.breaker.states import State, Trigger


class CircuitOpenError(Exception):
    """The breaker rejected the call; the protected function did not run.

    Made from ``name``, ``state`` and ``retry_after`` in this order; None or infinity is no time.
    There is no ``__init__`` in Python on purpose: rejecting must stay cheaper than calling.
    """

    @property
    def name(self) -> str:
        """The breaker's name."""
        return str(self.args[0])

    @property
    def state(self) -> State:
        """The state that rejected: closed, too, when the breaker sheds a share of the load."""
        return State(self.args[1])

    @property
    def retry_after(self) -> float | None:
        """Seconds until the first trial call; None when only a person can end it."""
        seconds = self.args[2]
        return float(seconds) if seconds is not None and isfinite(seconds) else None

    def __str__(self) -> str:
        if len(self.args) != 3:
            return super().__str__()
        text = f"circuit breaker {self.name!r} is {self.state}"
        seconds = self.retry_after
        return text if seconds is None else f"{text}; retry after {seconds:.3f} s"


class CallTimeoutError(TimeoutError):
    """The policy's ``call_timeout`` ran out: a built-in TimeoutError that says whose it was."""

    def __init__(self, name: str, seconds: float | None) -> None:
        # not super(): beside it may stand a client's class with a constructor of its own
        OSError.__init__(self, f"no answer within the {seconds} s of circuit breaker {name!r}")
        self.name = name
        """The breaker's name."""
        self.seconds = seconds
        """The limit."""

    def __reduce__(self) -> tuple[type[CallTimeoutError], tuple[str, float | None]]:
        return type(self), (self.name, self.seconds)


class BreakerWarning(UserWarning):
    """A setting does nothing where it was given; the text says why and what to do instead."""


class InvalidTransitionError(Exception):
    """A move that the table of moves does not know; nothing has changed."""

    def __init__(self, name: str, state: State, trigger: Trigger) -> None:
        super().__init__(name, state, trigger)
        self.name = name
        self.state = state
        self.trigger = trigger

    def __str__(self) -> str:
        hint = "enable or reset it first" if self.state is State.DISABLED else "open it first"
        return f"circuit breaker {self.name!r} is {self.state}: cannot {self.trigger}; {hint}"


class NeutralError(Exception):
    """The call says nothing of the target: a full bulkhead, a local limit, a caller's mistake.

    Raise a subclass of it inside a protected call, and every breaker around counts it as
    ignored, whatever its policy expects.
    """


class RegistryFullError(Exception):
    """A registry holds as many breakers as it may, and none of them can be given up."""

    def __init__(self, key: str, max_keys: int) -> None:
        super().__init__(key, max_keys)
        self.key = key
        self.max_keys = max_keys

    def __str__(self) -> str:
        return (
            f"no room for breaker {self.key!r}: all {self.max_keys} are open or in use; "
            "raise max_keys"
        )
