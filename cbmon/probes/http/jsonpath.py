"""Paths into a JSON body, and what must stand there.

Rule: a path names one place: ``$`` then ``.name``, ``['name']`` or ``[index]`` (from the end if
negative). Values are compared as JSON: 1 equals 1.0, but not "1" and not true.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from cbmon.config.fields import Options, Regex, fault
from cbmon.probes.failure import shown

_STEP: Final = re.compile(
    r"""\.(?P<name>[^.\[\]'"\s]+)|\[(?P<index>-?[0-9]{1,9})\]"""
    r"""|\['(?P<single>[^']*)'\]|\["(?P<double>[^"]*)"\]"""
)
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Path:
    """A place in a JSON document."""

    text: str
    steps: tuple[str | int, ...]

    def __str__(self) -> str:
        return self.text

    def find(self, document: Any) -> Any:
        """What stands there; :data:`MISSING` when there is nothing."""
        for step in self.steps:
            try:
                found = document[step] if _leads(document, step) else _MISSING
            except (KeyError, IndexError):
                found = _MISSING
            if found is _MISSING:
                return _MISSING
            document = found
        return document


def parse_path(value: object) -> Path:
    """The path that is written in ``value``; ValueError for what is not one."""
    if isinstance(value, Path):
        return value
    text = str(value) if isinstance(value, str) else ""
    steps: list[str | int] = []
    at = 1
    while match := _STEP.match(text, at):
        index = match["index"]
        names = (match["name"], match["single"], match["double"])
        steps.append(int(index) if index else next(name for name in names if name is not None))
        at = match.end()
    if not text.startswith("$") or at != len(text):
        raise ValueError("expected a path such as $.db, $['a name'] or $.items[0].id")
    return Path(text, tuple(steps))


JsonPath = Annotated[
    Any,
    BeforeValidator(parse_path),
    PlainSerializer(str, str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\$"}),
]
"""The text of a path; a :class:`Path`."""


class JsonConditions(Options):
    """What must hold for the value at a path; all that are given must."""

    equals: Any = Field(None, description="the value itself, of any JSON type")
    not_equals: Any = Field(None, description="a value that it must not be")
    matches: Regex | None = Field(None, description="pattern that must match the text")
    not_matches: Regex | None = Field(None, description="pattern that may not match the text")
    above: float | None = Field(None, description="number that it must be greater than")
    below: float | None = Field(None, description="number that it must be less than")
    one_of_values: tuple[Any, ...] | None = Field(
        None, alias="one_of", description="values one of which it must be"
    )
    exists: bool | None = Field(None, description="whether there must be anything at the path")

    @model_validator(mode="after")
    def _check_some(self) -> JsonConditions:
        if not self.model_fields_set:
            raise fault("expected at least one condition")
        if self.exists is False and len(self.model_fields_set) > 1:
            raise fault("exists: false leaves nothing for other conditions", "exists")
        return self

    def trouble(self, found: Any) -> str | None:
        """What is wrong with the value, such as ``got 3, expected above 5``; None if nothing."""
        if self.exists is False:
            return None if found is _MISSING else f"got {_text(found)}, expected nothing there"
        if found is _MISSING:
            return "got nothing there"
        for name in self.model_fields_set - {"exists"}:
            wanted = getattr(self, name)
            if not _CONDITIONS[name](found, wanted):
                return f"got {_text(found)}, expected {_WORDS[name]}{_text(wanted)}"
        return None


def _conditions(value: object) -> object:
    return value if isinstance(value, dict | JsonConditions) else {"equals": value}


JsonMatcher = Annotated[
    JsonConditions,
    BeforeValidator(_conditions),
    WithJsonSchema({"description": "a value to be equal to, or a mapping of conditions"}),
]
"""A plain value to be equal to, or conditions; a :class:`JsonConditions`."""


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same JSON."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def _leads(document: Any, step: str | int) -> bool:
    return isinstance(document, dict if isinstance(step, str) else list)


def _number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)


_CONDITIONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "equals": same,
    "not_equals": lambda found, wanted: not same(found, wanted),
    "matches": lambda found, wanted: isinstance(found, str) and wanted.search(found) is not None,
    "not_matches": lambda found, wanted: not isinstance(found, str) or wanted.search(found) is None,
    "above": lambda found, wanted: _number(found) and found > wanted,
    "below": lambda found, wanted: _number(found) and found < wanted,
    "one_of_values": lambda found, wanted: any(same(found, one) for one in wanted),
}
_WORDS: Final = {
    "equals": "",
    "not_equals": "anything but ",
    "matches": "a text that matches ",
    "not_matches": "no match for ",
    "above": "more than ",
    "below": "less than ",
    "one_of_values": "one of ",
}


def _text(value: Any) -> str:
    if isinstance(value, Regex):
        return repr(value.pattern)
    return shown(json.dumps(value, default=str))[1:-1]
