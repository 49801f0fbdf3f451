"""A receiver line as the dispatcher takes it.

Rule: two endpoints that are equal deliver in the same way, so a reload leaves the line alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cbmon.breaker.policy import BreakerPolicy
from cbmon.interfaces import Receiver

DEFAULT_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a line's messages go. ``identity`` is what a reload compares, such as the options."""

    name: str
    identity: Any
    policy: BreakerPolicy
    build: Callable[[], Receiver] = field(compare=False)
    timeout: float = DEFAULT_TIMEOUT
    """Seconds that one delivery may take."""
