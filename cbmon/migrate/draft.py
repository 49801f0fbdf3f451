"""A configuration that is being written: checks with names of their own, and notes.

Rule: a ``$`` in a text stays one: cbmon replaces ``${NAME}``, the others do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cbmon.errors import ConfigurationError

_UNNAMEABLE = re.compile(r"[/\x00-\x1f\x7f]+")
Json = dict[str, Any]


@dataclass(slots=True)
class Draft:
    """What was carried over so far."""

    source: str
    checks: list[Json] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a person has to look at, a line each."""

    def add(self, check: Json) -> None:
        """One more check; its name is made unique and possible."""
        wanted = _UNNAMEABLE.sub("-", str(check["name"])).strip()[:120] or "unnamed"
        taken = {one["name"] for one in self.checks}
        name, number = wanted, 2
        while name in taken:
            name, number = f"{wanted}-{number}", number + 1
        self.checks.append(cleaned({**check, "name": name}))

    def note(self, name: str, text: str) -> None:
        """Something that could not be carried over."""
        self.notes.append(f"{name}: {text}")

    def text(self) -> str:
        """The configuration."""
        lines = [f"# Made from {self.source} by cbmon import; look through it before you use it."]
        lines += [f"# {' '.join(note.split())}" for note in self.notes]
        body = yaml.safe_dump(
            {"checks": self.checks}, sort_keys=False, allow_unicode=True, width=100
        )
        return "\n".join([*lines, body])


def cleaned(value: Any) -> Any:
    """Without what is empty, and with every ``${`` written as cbmon wants it."""
    if isinstance(value, dict):
        pairs = ((key, cleaned(one)) for key, one in value.items())
        return {key: one for key, one in pairs if one not in (None, {}, [], "")}
    if isinstance(value, list | tuple):
        return [cleaned(one) for one in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def read_document(path: Path) -> Json:
    """Another program's YAML file as plain data; ConfigurationError names it."""
    try:
        data = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigurationError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path} does not hold a mapping")
    return data
