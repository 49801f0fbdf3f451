"""What is wrong with settings, field by field.

Rule: every problem at once, each with its field, the value that was given and the bound.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cbmon.config.words import shown
from cbmon.errors import CbmonError

LONGEST_ECHO: Final = 200
"""Characters of a refused value that are given back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One refusal: ``expected`` is the bound, ``breaker`` set when it arises only there."""

    field: str
    value: Any
    expected: str
    breaker: str | None = None

    def __str__(self) -> str:
        where = "" if self.breaker is None else f"{self.breaker}: "
        return f"{where}{self.field}: {shown(self.value)} is not allowed; expected {self.expected}"

    def as_json(self) -> dict[str, Any]:
        """It as JSON can hold it: numbers that JSON does not know, and long values, as text."""
        return {
            "field": self.field,
            "value": _echo(self.value),
            "expected": self.expected,
            "breaker": self.breaker,
            "message": str(self),
        }


class SettingsError(CbmonError):
    """Settings that cannot be used; nothing was changed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def as_given(problems: Sequence[Problem], given: Mapping[str, Any]) -> list[Problem]:
    """The problems with the values as they were written, not as they were understood."""
    return [
        replace(problem, value=given[problem.field]) if problem.field in given else problem
        for problem in problems
    ]


def _echo(value: Any) -> Any:
    try:
        fits = len(json.dumps(value, allow_nan=False)) <= LONGEST_ECHO
    except (TypeError, ValueError, RecursionError):
        fits = False
    return value if fits else shown(value)
