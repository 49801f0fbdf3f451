"""Silences and maintenance windows: who is not told of what for how long. Pure.

Rule: a silence holds messages back, it never loses one: what is still news at its end is told
then. Every matcher must hold, as in Alertmanager.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cbmon.config.routes import Matcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A timed mute, made by a person. Times are Unix seconds."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: float
    ends_at: float
    author: str
    reason: str
    created_at: float

    def covers(self, labels: Mapping[str, str], now: float) -> bool:
        """Whether something with these labels is silenced now."""
        return self.starts_at <= now < self.ends_at and all(
            matcher.matches(labels) for matcher in self.matchers
        )

    def state(self, now: float) -> str:
        """``pending``, ``active`` or ``expired``."""
        if now < self.starts_at:
            return "pending"
        return "active" if now < self.ends_at else "expired"

    def as_row(self) -> dict[str, Any]:
        """As the store keeps it."""
        return {
            "id": self.id,
            "matchers": [str(matcher) for matcher in self.matchers],
            "starts_at": self.starts_at,
            "ends_at": self.ends_at,
            "author": self.author,
            "reason": self.reason,
            "created_at": self.created_at,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Silence:
        """Back from the store; ValueError for a matcher that cannot be read."""
        matchers = tuple(Matcher.parse(text) for text in row["matchers"])
        return cls(**{**row, "matchers": matchers})


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A maintenance window out of the configuration; ``during`` are names of time intervals."""

    name: str
    matchers: tuple[Matcher, ...] = ()
    during: tuple[str, ...] = ()
    skip_runs: bool = False
    """Whether checks are not run either."""

    def covers(self, labels: Mapping[str, str]) -> bool:
        """Whether something with these labels is under maintenance while it lasts."""
        return all(matcher.matches(labels) for matcher in self.matchers)
