"""The book of settings: what the YAML says of each breaker, and what was set on top.

Rule: nothing gets in that would make one breaker's policy impossible; whoever asks first gets
every problem and changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from cbmon.breaker import BreakerPolicy
from cbmon.config.units import format_duration
from cbmon.settings.fields import FIELDS
from cbmon.settings.layers import (
    Difference,
    Effective,
    differences,
    problems_of,
    sources_of,
)
from cbmon.settings.problems import Problem

MOST_PROBLEMS: Final = 50
"""Told at once: one wrong default may be wrong for thousands of breakers."""
NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What the YAML says of one breaker; ``interval`` is that of its runs, in seconds."""

    policy: BreakerPolicy
    interval: float


class Book:
    """Base, defaults and overrides; settings of breakers that are not configured wait in it."""

    def __init__(self) -> None:
        self._bases: Mapping[str, Base] = {}
        self._defaults: Mapping[str, Any] = {}
        self._overrides: dict[str, Mapping[str, Any]] = {}
        self._made: dict[tuple[Any, ...], BreakerPolicy] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._bases

    def __iter__(self) -> Iterator[str]:
        return iter(self._bases)

    @property
    def bases(self) -> Mapping[str, Base]:
        """What the YAML says of each breaker."""
        return self._bases

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What is set for all breakers."""
        return self._defaults

    @property
    def overrides(self) -> Mapping[str, Mapping[str, Any]]:
        """What is set for single breakers, those not configured included."""
        return self._overrides

    def of(self, name: str) -> Effective:
        """What is in force for a breaker; KeyError for one that is not configured.

        Where the layers do not go together, which only a start finds, YAML alone holds.
        """
        base = self._bases[name]
        try:
            return self._put_together(name, base, self._defaults, self._overrides.get(name, {}))
        except ValueError:
            return Effective(name=name, policy=base.policy, yaml=base.policy)

    def differences(self) -> list[Difference]:
        """Every value in force that is not YAML's."""
        touched = self._bases if self._defaults else self._overrides
        return [
            found for name in touched if name in self._bases for found in differences(self.of(name))
        ]

    # --- what would be wrong -------------------------------------------------------------

    def problems_with_override(self, name: str, fields: Mapping[str, Any]) -> list[Problem]:
        """What speaks against these settings of one breaker."""
        base = self._bases.get(name)
        if base is None:
            return problems_of(BreakerPolicy(), fields)
        found = self._problems(name, base, self._defaults, fields)
        return [replace(problem, breaker=None) for problem in found]

    def problems_with_defaults(self, fields: Mapping[str, Any]) -> list[Problem]:
        """What speaks against these settings for all, at the first breakers it is wrong for."""
        alone = problems_of(BreakerPolicy(), fields)
        certain = [problem for problem in alone if _is_wrong_by_itself(problem, fields)]
        return certain or self._problems_of_all(self._bases, fields)

    def problems_with_bases(self, bases: Mapping[str, Base]) -> list[Problem]:
        """What of the present settings would not go with another configuration."""
        return self._problems_of_all(bases, self._defaults)

    # --- changing it ---------------------------------------------------------------------

    def copy(self) -> Book:
        """Another book of the same content, to try something on."""
        other = Book()
        other._bases, other._defaults = self._bases, self._defaults
        other._overrides = dict(self._overrides)
        return other

    def rebase(self, bases: Mapping[str, Base]) -> None:
        """Another configuration holds from now on."""
        if bases is not self._bases:
            self._bases = dict(bases)
            self._made.clear()

    def set_defaults(self, fields: Mapping[str, Any]) -> None:
        """Other settings for all."""
        self._defaults = dict(fields)
        self._made.clear()

    def set_override(self, name: str, fields: Mapping[str, Any] | None) -> None:
        """Other settings of one breaker; none: back to the layers below."""
        if fields:
            self._overrides[name] = dict(fields)
        else:
            self._overrides.pop(name, None)

    # --- inside --------------------------------------------------------------------------

    def _problems_of_all(
        self, bases: Mapping[str, Base], defaults: Mapping[str, Any]
    ) -> list[Problem]:
        touched: Iterable[str] = bases if defaults else self._overrides.keys() & bases.keys()
        found: list[Problem] = []
        known: dict[tuple[Any, ...], list[Problem]] = {}
        for name in touched:
            override = self._overrides.get(name, NOTHING)
            key = (bases[name], *sorted(override.items()))
            if key not in known:
                known[key] = self._problems(name, bases[name], defaults, override)
                found += known[key]
            if len(found) >= MOST_PROBLEMS:
                break
        return found

    def _problems(
        self, name: str, base: Base, defaults: Mapping[str, Any], override: Mapping[str, Any]
    ) -> list[Problem]:
        try:
            made = self._put_together(name, base, defaults, override)
        except (ValueError, TypeError):  # a list or an object is no key for what is shared
            return problems_of(base.policy, {**defaults, **override}, breaker=name)
        return _never_opens(name, made.policy, base)

    def _put_together(
        self, name: str, base: Base, defaults: Mapping[str, Any], override: Mapping[str, Any]
    ) -> Effective:
        """The layers as one; ValueError where they make no policy.

        Equal layers share one policy, however many breakers have them.
        """
        values = {**defaults, **override}
        policy = base.policy
        if values:
            key = (policy, *sorted(values.items()))
            if key not in self._made:
                self._made[key] = policy.replace(**values)
            policy = self._made[key]
        return Effective(
            name=name,
            policy=policy,
            yaml=base.policy,
            override=override,
            sources=sources_of(defaults, override),
        )


def _never_opens(name: str, policy: BreakerPolicy, base: Base) -> list[Problem]:
    """A time window that is too short for the interval makes a breaker that never opens."""
    if policy.kind != "time" or policy == base.policy:
        return []
    runs = math.ceil(policy.window_seconds / base.interval)
    if runs >= policy.required_calls:
        return []
    needed = policy.required_calls * base.interval
    expected = (
        f"at least {format_duration(needed)}, or it never opens: minimum_calls "
        f"{policy.required_calls} at an interval of {format_duration(base.interval)}"
    )
    value = policy.window_seconds
    return [Problem(field="window_seconds", value=value, expected=expected, breaker=name)]


def _is_wrong_by_itself(problem: Problem, fields: Mapping[str, Any]) -> bool:
    """Whether a breaker's own layers could not make it right: a bound may be another field."""
    words = problem.expected.split()
    partner = words[1] if len(words) > 1 else ""
    return partner not in FIELDS or partner in fields
