"""The errors of the layers.

Rule: what says nothing of the target is a :class:`~cbmon.breaker.NeutralError`, so that a breaker
around it counts neither a success nor a failure.
"""

from __future__ import annotations

from cbmon.breaker import NeutralError


class BulkheadFullError(NeutralError):
    """The bulkhead had no free place, at once or within its queue timeout."""

    def __init__(self, name: str, limit: int, waited: float) -> None:
        self.name = name
        """The bulkhead's name."""
        self.limit = limit
        """How many calls it runs at once."""
        self.waited = waited
        """Seconds that this call was allowed to wait for a place; 0.0 if it was turned away."""
        within = f" within {waited:g} s" if waited else ""
        super().__init__(
            f"bulkhead {name!r} is full: {limit} calls are running, none ended{within}"
        )

    def __reduce__(self) -> tuple[type[BulkheadFullError], tuple[str, int, float]]:
        return type(self), (self.name, self.limit, self.waited)
