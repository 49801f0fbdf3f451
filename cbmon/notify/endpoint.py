"""A receiver line as the dispatcher takes it.

Rule: two endpoints that are equal deliver in the same way, so a reload leaves the line alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from cbmon.breaker.policy import BreakerPolicy
from cbmon.interfaces import Receiver
from cbmon.model import Message

DEFAULT_TIMEOUT = 10.0
DEFAULT_FALLBACK_AFTER = 600.0

Standing = Callable[[], Sequence[Message]]
"""What a line was told of and goes on, each as a message of its own."""


@runtime_checkable
class Repeating(Protocol):
    """A receiver that forgets what it is not told again and again."""

    every: float
    """Seconds between two repetitions."""
    remembers: float
    """Seconds for which the end of an outage is repeated."""

    def recall(self, message: Message) -> None:
        """An end that was delivered by an earlier process, to be repeated with the rest."""
        ...

    async def repeat(self, standing: Standing) -> None:
        """Tell everything again. Never raises but when it is cancelled."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a line's messages go. ``identity`` is what a reload compares, such as the options."""

    name: str
    identity: Any
    policy: BreakerPolicy
    build: Callable[[], Receiver] = field(compare=False)
    timeout: float = DEFAULT_TIMEOUT
    """Seconds that one delivery may take."""
    time_to_live: float | None = None
    """Seconds after which a message that could not be delivered is given up; None is as usual."""
    fallback: tuple[str, ...] = ()
    """The lines that get what this one does not."""
    fallback_after: float = DEFAULT_FALLBACK_AFTER
    """Seconds until a message that waits is handed to them."""
