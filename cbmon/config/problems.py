"""What is wrong with a configuration, and where.

Rule: all of it at once, sorted by place, each line good for a person and for an editor that jumps
to ``file:line:col``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cbmon.config.words import suggestion
from cbmon.errors import ConfigurationError

MAX_PROBLEMS = 200
"""More than this many help nobody; the rest is counted."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong. ``path`` is like ``checks[0].http.url``, empty for a whole file."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        path = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in self.path)
        return f"{where}: {path}: {self.message}" if path else f"{where}: {self.message}"


class ConfigError(ConfigurationError):
    """The configuration is refused as a whole; ``problems`` says why, ``str()`` one a line."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        shown = [str(problem) for problem in problems[:MAX_PROBLEMS]]
        if len(problems) > MAX_PROBLEMS:
            shown.append(f"… and {len(problems) - MAX_PROBLEMS} more problems")
        super().__init__("\n".join(shown))
        self.problems = problems

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class Problems:
    """Collects problems while the work goes on.

    A place at which reading already failed is spoilt: what is said of its value afterwards would
    only be a consequence, and is dropped.
    """

    def __init__(self) -> None:
        self._found: set[Problem] = set()
        self._spoilt: set[Place] = set()

    def add(self, place: Place, path: str, message: str) -> None:
        """Remember a problem, unless the place is spoilt."""
        if place not in self._spoilt:
            self._found.add(Problem(place.file, place.line, place.column, path, message))

    def spoil(self, place: Place, path: str, message: str) -> None:
        """Remember a problem of reading, and that nothing else counts at this place."""
        self.add(place, path, message)
        self._spoilt.add(place)

    def take(self) -> list[Problem]:
        """What was found, sorted by place; forgotten afterwards, for another use."""
        found, self._found, self._spoilt = sorted(self._found), set(), set()
        return found

    @property
    def count(self) -> int:
        """How many were found so far."""
        return len(self._found)

    def suggest(self, word: str, known: Iterable[str]) -> str:
        """``; did you mean "x"?``, as long as there are not more problems than anybody reads."""
        return suggestion(word, known) if len(self._found) < MAX_PROBLEMS else ""

    def check(self, files: Sequence[str] = ()) -> None:
        """Raise ConfigError if there is anything to tell, in the order of the files."""
        if self._found:
            order = {file: number for number, file in enumerate(files)}
            found = sorted(self._found, key=lambda one: (order.get(one.file, len(order)), one))
            raise ConfigError(tuple(found))
