"""What holds for one breaker: its layers, the policy they make, and where each value comes from.

Rule: an upper layer wins field by field. The engine judges the whole, and every problem is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cbmon.breaker import BreakerPolicy
from cbmon.settings.fields import FIELDS
from cbmon.settings.problems import Problem


class Source(StrEnum):
    """Where a value comes from; the lowest layer first."""

    YAML = "yaml"
    DATABASE = "database"
    """The defaults for all breakers, in the database."""
    OVERRIDE = "override"
    """This breaker's own settings, in the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """What is in force for one breaker. ``sources`` names the fields that are not YAML's."""

    name: str
    policy: BreakerPolicy
    yaml: BreakerPolicy
    override: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)

    def source(self, name: str) -> Source:
        """Where the value of a field comes from."""
        return self.sources.get(name, Source.YAML)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value in force that is not what the configuration's YAML says."""

    name: str
    field: str
    value: Any
    yaml: Any
    source: Source


def sources_of(defaults: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Source]:
    """Where each value comes from that is not YAML's."""
    return {
        **dict.fromkeys(defaults, Source.DATABASE),
        **dict.fromkeys(override, Source.OVERRIDE),
    }


def problems_of(
    base: BreakerPolicy, given: Mapping[str, Any], *, breaker: str | None = None
) -> list[Problem]:
    """Everything that the engine refuses of ``given`` on top of ``base``.

    It tells one thing at a time, so what it refused is taken out and it is asked again.
    """
    left = dict(given)
    found: list[Problem] = []
    while True:
        try:
            base.replace(**left)
        except ValueError as error:
            problem = _refusal(error, base, left, breaker)
            found.append(problem)
            if problem.field not in left:
                return found  # it is the base that does not go with what is given
            del left[problem.field]
        else:
            return found


def differences(what: Effective) -> list[Difference]:
    """The fields whose value is not YAML's, in the order of the policy."""
    return [
        Difference(
            name=what.name,
            field=name,
            value=getattr(what.policy, name),
            yaml=getattr(what.yaml, name),
            source=what.sources[name],
        )
        for name in FIELDS
        if name in what.sources and getattr(what.policy, name) != getattr(what.yaml, name)
    ]


def _refusal(
    error: ValueError, base: BreakerPolicy, given: Mapping[str, Any], breaker: str | None
) -> Problem:
    name, _, said = str(error).partition(": ")
    expected = said.rpartition("; expected ")[2].replace(" or None", " or null")
    value = given[name] if name in given else getattr(base, name, None)
    return Problem(field=name, value=value, expected=expected, breaker=breaker)
