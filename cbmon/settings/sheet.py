"""A sheet of settings as the one who edits it sees it, and what can speak against a change.

Rule: its tag changes with anything on it, so that who edits what he has not seen is told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cbmon.errors import CbmonError
from cbmon.settings.fields import as_json
from cbmon.settings.layers import Effective
from cbmon.settings.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The settings of one breaker, or the defaults of all (``name`` None).

    ``fields`` is what is set here and nowhere else. ``refused`` says what is wrong with the row
    in the database when someone edited it to something that cannot be used: the values here are
    then those of before.
    """

    name: str | None
    fields: Mapping[str, Any]
    effective: Effective | None = None
    """What is in force for the breaker; None for the defaults."""
    changed_at: float | None = None
    changed_by: str | None = None
    refused: tuple[Problem, ...] = ()
    waiting: tuple[str, ...] = ()
    """With the defaults: rows of breakers that are not configured."""

    @property
    def tag(self) -> str:
        """Its entity tag, quoted as HTTP wants it."""
        shown: dict[str, Any] = {name: as_json(value) for name, value in self.fields.items()}
        whole = None if self.effective is None else self.effective.policy.as_dict()
        text = json.dumps([self.name, shown, whole], sort_keys=True)
        return f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who changes something, why, and in which HTTP request."""

    actor: str
    reason: str | None = None
    request: str | None = None


class StaleError(CbmonError):
    """The sheet is not what its editor has seen; nothing was changed."""


class UnseenError(CbmonError):
    """A change without a tag would take away settings that it does not name."""

    def __init__(self, lost: tuple[str, ...]) -> None:
        super().__init__(f"this would unset {', '.join(lost)}")
        self.lost = lost


@dataclass(slots=True)
class Allowance:
    """How many changes each person may make: ``burst`` at once, then ``rate`` a second."""

    burst: float = 60.0
    rate: float = 1.0
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, actor: str, now: float) -> float:
        """0 and one less is left, or the seconds to wait until there is one."""
        left, at = self._left.get(actor, (self.burst, now))
        left = min(self.burst, left + (now - at) * self.rate)
        if left < 1:
            return (1 - left) / self.rate
        self._left[actor] = (left - 1, now)
        if len(self._left) > 1000:
            self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        whole = self.burst / self.rate
        self._left = {who: what for who, what in self._left.items() if now - what[1] < whole}


class TooManyChangesError(CbmonError):
    """Nothing was changed; ``retry_after`` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("too many changes of settings in a short time")
        self.retry_after = retry_after
