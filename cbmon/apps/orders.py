"""Orders for breakers inside applications: asked for here, carried out there.

Rule: an order is kept until the application says that it has it, or until it is too old to be
meant still. Asking for the same again replaces the one that waits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from cbmon.breaker import InvalidTransitionError

KEPT: Final = 600.0
"""Seconds after which an order that nobody took up is given up."""
MOST: Final = 100
"""Orders that wait for one process."""


class NoOrdersError(InvalidTransitionError):
    """The application does not take orders, or this one; the message says what to do."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingOrder:
    """One action that an application is to carry out on a breaker of its own."""

    id: str
    breaker: str
    """The breaker's name inside the application."""
    action: str
    """A method of a breaker: ``open``, ``force_open``, ``reset``, …."""
    actor: str
    reason: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """As the application gets it."""
        return {
            "id": self.id,
            "breaker": self.breaker,
            "action": self.action,
            "actor": self.actor,
            "reason": self.reason,
            "options": dict(self.options),
        }


class OrderBook:
    """The orders that wait for one process."""

    def __init__(self) -> None:
        self._waiting: dict[str, PendingOrder] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, order: PendingOrder) -> None:
        """Keep an order; what waited for the same breaker is no longer wanted."""
        for known in [it.id for it in self._waiting.values() if it.breaker == order.breaker]:
            del self._waiting[known]
        if len(self._waiting) >= MOST:
            raise NoOrdersError(f"{MOST} orders wait for this application already")
        self._waiting[order.id] = order

    def done(self, order_id: str) -> None:
        """The application has it; an unknown one is no error."""
        self._waiting.pop(order_id, None)

    def waiting(self, now: float) -> list[PendingOrder]:
        """Those that are to be carried out, oldest first, at the Unix time ``now``."""
        for order in [it for it in self._waiting.values() if now - it.at > KEPT]:
            del self._waiting[order.id]
        return list(self._waiting.values())

    def for_breaker(self, name: str) -> PendingOrder | None:
        """The one that waits for a breaker."""
        return next((it for it in self._waiting.values() if it.breaker == name), None)
