"""Components by a setting, so that a rule needs one branch for each value and not for each name.

Rule: every component falls into exactly one class; those that are not in the configuration
(applications', or added since) fall into the last one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cbmon.rules.quoting import among

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86_400.0
_ROUND: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)


@dataclass(frozen=True, slots=True)
class Class:
    """Components that share ``value``. With ``others`` it is all but those named."""

    value: float
    names: tuple[str, ...]
    others: bool = False

    def match(self, label: str) -> str:
        """The matcher that selects them; empty when it is everything."""
        if self.others and not self.names:
            return ""
        return among(label, self.names, but=self.others)


def class_of(found: Sequence[Class], name: str) -> Class:
    """The class that a name falls into."""
    return next(one for one in found if (name in one.names) is not one.others)


def classes(values: Mapping[str, float], default: float | None = None) -> tuple[Class, ...]:
    """The classes by rising value, then that of all others with ``default``.

    Without a default it is the value most components have, the smallest of several; there must
    be a component then.
    """
    if default is None:
        counts = Counter(values.values())
        default = min(counts, key=lambda value: (-counts[value], value))
    named: dict[float, list[str]] = {}
    for name, value in sorted(values.items()):
        if value != default:
            named.setdefault(value, []).append(name)
    listed = tuple(name for names in named.values() for name in names)
    found = [Class(value, tuple(named[value])) for value in sorted(named)]
    return (*found, Class(default, listed, others=True))


def rounded(seconds: float) -> float:
    """The next round duration: minutes up to a day, then whole days."""
    for minutes in _ROUND:
        if seconds <= minutes * MINUTE:
            return minutes * MINUTE
    return math.ceil(seconds / DAY) * DAY
