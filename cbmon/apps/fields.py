"""Reading of a report's fields: every one has a type and a bound.

Rule: a refusal names the path, what was expected and what was got; unknown fields are left alone,
so that a newer library can talk to an older daemon.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

LONGEST_NAME: Final = 128
LONGEST_TEXT: Final = 500
LATEST: Final = 1e11
"""Unix seconds: the year 5138; what is later is nonsense and would overflow dates."""
MOST: Final = 2**53
"""The largest count that JSON carries exactly."""


class ReportError(ValueError):
    """A report that cannot be believed; ``path`` is where, ``code`` what kind of refusal."""

    def __init__(self, path: str, message: str, code: str = "bad_request") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.code = code


class Fields:
    """An object of a report, and where it stands."""

    def __init__(self, data: object, path: str) -> None:
        if not isinstance(data, dict):
            raise ReportError(path or "the body", f"expected an object, got {_kind(data)}")
        self._data: Mapping[str, Any] = data
        self._path = path

    def at(self, name: str) -> str:
        """The path of a field."""
        return f"{self._path}.{name}" if self._path else name

    def __contains__(self, name: str) -> bool:
        return self._data.get(name) is not None

    def raw(self, name: str) -> Any:
        """The value as it came; None when there is none."""
        return self._data.get(name)

    def refuse(self, name: str, message: str) -> ReportError:
        """What to raise about a field."""
        return ReportError(self.at(name), message)

    def text(self, name: str, longest: int = LONGEST_TEXT) -> str | None:
        """One line of text, cut off where it is too long; None when there is none."""
        value = self._data.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.refuse(name, f"expected text, got {_kind(value)}")
        line = "".join(char if char.isprintable() else " " for char in value[: longest + 1])
        return line if len(line) <= longest else f"{line[: longest - 1]}…"

    def name(self, name: str, *, default: str | None = None) -> str:
        """A name: 1 to 128 printable characters without outer blanks, and not a dot or two."""
        value = self._data.get(name)
        if default is not None and (value is None or value == default):
            return default
        good = isinstance(value, str) and value == value.strip() and value not in {".", ".."}
        if not good or not 0 < len(value) <= LONGEST_NAME or not value.isprintable():  # type: ignore[arg-type,union-attr]
            raise self.refuse(name, f"expected a name of 1 to {LONGEST_NAME} printable characters")
        return str(value)

    def flag(self, name: str) -> bool:
        """True or false; false when there is none."""
        value = self._data.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.refuse(name, f"expected true or false, got {_kind(value)}")
        return bool(value)

    def count(self, name: str) -> int:
        """A whole number from 0; 0 when there is none."""
        value = self._data.get(name, 0)
        if type(value) is not int or not 0 <= value <= MOST:
            raise self.refuse(name, "expected a whole number from 0")
        return value

    def number(self, name: str, least: float, most: float) -> float | None:
        """A finite number within bounds; None when there is none."""
        value = self._data.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refuse(name, f"expected a number, got {_kind(value)}")
        if not math.isfinite(value) or not least <= value <= most:
            raise self.refuse(name, f"expected a number from {least:g} to {most:g}")
        return float(value)

    def moment(self, name: str) -> float | None:
        """A Unix time; None when there is none."""
        return self.number(name, 0.0, LATEST)

    def ratio(self, name: str) -> float | None:
        """A number from 0 to 1; None when there is none."""
        return self.number(name, 0.0, 1.0)

    def objects(self, name: str, most: int) -> list[Fields]:
        """A list of objects; empty when there is none."""
        values = self.many(name, most)
        return [Fields(value, f"{self.at(name)}[{n}]") for n, value in enumerate(values)]

    def many(self, name: str, most: int) -> list[Any]:
        """A list of at most so many things; empty when there is none."""
        value = self._data.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.refuse(name, f"expected a list, got {_kind(value)}")
        if len(value) > most:
            message = f"expected at most {most} items, got {len(value)}"
            raise ReportError(self.at(name), message, "too_many")
        return value

    def words(self, name: str, most: int) -> tuple[str, ...]:
        """A list of short texts."""
        values = self.many(name, most)
        for value in values:
            if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
                raise self.refuse(name, f"expected texts of 1 to {LONGEST_NAME} characters")
        return tuple(dict.fromkeys(values))


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "nothing" if value is None else names.get(type(value), "a number")
