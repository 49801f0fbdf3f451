"""What the notify room tells its surroundings; metrics are made of this.

Rule: called on the event loop, never with anything secret; an implementation only counts.
"""

from __future__ import annotations

from typing import Protocol

from cbmon.breaker.breaker import CircuitBreaker


class NotifyHooks(Protocol):
    """Told of every receiver line, such as ``oncall/slack``, and of what happens to it."""

    def line_added(self, receiver: str, breaker: CircuitBreaker) -> None:
        """A line came into force: its series exist from now on, at 0."""
        ...

    def line_removed(self, receiver: str) -> None:
        """A line is gone, and its series with it."""
        ...

    def delivered(self, receiver: str, latency: float) -> None:
        """A message arrived, ``latency`` seconds after it was made."""
        ...

    def failed(self, receiver: str, reason: str) -> None:
        """An attempt failed, or a message was given up (reason ``expired``)."""
        ...

    def suppressed(self, receiver: str, reason: str) -> None:
        """A message was not made or not sent; ``reason`` is one of ``policy.Why``."""
        ...

    def backlog(self, receiver: str, waiting: int, oldest: float | None, dead: int) -> None:
        """How many messages wait, since when (Unix seconds), and how many are dead letters."""
        ...


class SilentHooks:
    """Hooks that do nothing."""

    def line_added(self, receiver: str, breaker: CircuitBreaker) -> None:
        """Nothing."""

    def line_removed(self, receiver: str) -> None:
        """Nothing."""

    def delivered(self, receiver: str, latency: float) -> None:
        """Nothing."""

    def failed(self, receiver: str, reason: str) -> None:
        """Nothing."""

    def suppressed(self, receiver: str, reason: str) -> None:
        """Nothing."""

    def backlog(self, receiver: str, waiting: int, oldest: float | None, dead: int) -> None:
        """Nothing."""
