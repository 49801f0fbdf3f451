"""What the instances of a group know together of one breaker.

Rule: times are the store's, in Unix seconds, never an instance's own. What a store gives back is
read with suspicion: text that is not a record counts as no record.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any, Final, Self

from cbmon.breaker import State

LONGEST: Final = 16_384
"""Characters of a record that is still read."""
_WORDS: Final = 500
"""Characters of an error that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The group's breaker.

    ``state`` is what all are in; ``half_open`` means that ``holder`` runs the trials and has
    until ``expires`` to come to a verdict or to renew its lease. ``until`` is when an opening
    ends. ``openings`` and ``cycles`` go on from instance to instance, so that the backoff and
    the cycle limit are the group's. ``by`` wrote it at ``at``, because of ``why``.
    """

    state: State
    at: float
    by: str
    until: float = 0.0
    openings: int = 0
    cycles: int = 0
    why: str = ""
    error: str | None = None
    holder: str | None = None
    expires: float = 0.0

    def dump(self) -> str:
        """As JSON."""
        return json.dumps({**asdict(self), "why": self.why[:_WORDS], "error": _cut(self.error)})

    @classmethod
    def load(cls, text: str | bytes) -> Self:
        """From JSON; raises ValueError that says what is wrong."""
        if len(text) > LONGEST:
            raise ValueError(f"{len(text)} characters, at most {LONGEST} are read")
        data = json.loads(text)
        if not isinstance(data, dict) or data.keys() != _NAMES:
            raise ValueError(f"expected an object with {', '.join(sorted(_NAMES))}")
        if wrong := [name for name, kind in _KINDS.items() if not _is(data[name], kind)]:
            raise ValueError(f"{wrong[0]}: {data[wrong[0]]!r} is not allowed")
        for name in ("at", "until", "expires"):
            if not isfinite(data[name]):
                raise ValueError(f"{name}: {data[name]!r} is not a time")
        if data["openings"] < 0 or data["cycles"] < 0:
            raise ValueError("openings and cycles: expected numbers >= 0")
        return cls(**{**data, "state": State(data["state"])})


_NAMES: Final = {field.name for field in fields(Record)}
_KINDS: Final[dict[str, Any]] = {
    "at": int | float,
    "until": int | float,
    "expires": int | float,
    "openings": int,
    "cycles": int,
    "by": str,
    "why": str,
    "error": str | None,
    "holder": str | None,
}


def _is(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _cut(words: str | None) -> str | None:
    return None if words is None else words[:_WORDS]
