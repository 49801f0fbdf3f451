"""How values are named to a person in a message.

Rule: short, one line, and never a secret: a value that came from the environment is shown as the
expression that was written in the file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LIMIT = 60


class Substituted(str):
    """Text in which ``${NAME}`` was replaced; it remembers how it was written."""

    __slots__ = ("expression", "values")

    expression: str
    values: tuple[str, ...]

    @classmethod
    def of(cls, text: str, expression: str, values: Iterable[str] = ()) -> Substituted:
        """``text`` as it is used, ``expression`` as written, ``values`` what was put in."""
        made = cls(text)
        made.expression = expression
        made.values = tuple(values)
        return made


def shown(value: object) -> str:
    """The value as it may stand in a message."""
    if isinstance(value, Substituted):
        return f'what "{clipped(value.expression)}" stands for'
    if isinstance(value, str):
        return f'"{clipped(value)}"' if value else "an empty text"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return clipped(str(value))
    return kind(value)


def kind(value: object) -> str:
    """What sort of value it is, in YAML's words."""
    if value is None or isinstance(value, bool):
        return shown(value)
    if isinstance(value, int | float):
        return f"the number {shown(value)}"
    if isinstance(value, str):
        plain = value and not isinstance(value, Substituted)
        return f"the text {shown(value)}" if plain else shown(value)
    return "a mapping" if isinstance(value, dict) else "a list"


def clipped(text: str) -> str:
    """At most 60 characters on one line, with control characters escaped."""
    line = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
    return line if len(line) <= _LIMIT else f"{line[: _LIMIT - 1]}…"


def suggestion(word: str, known: Iterable[str]) -> str:
    """``; did you mean "x"?`` with the known word that is nearest, or nothing."""
    near = nearest(word, known)
    return f'; did you mean "{near}"?' if near else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, if one is near enough."""
    words = _candidates(word, known)
    normal = {name.lower().replace("-", "_"): name for name in reversed(words)}
    candidate = word.lower().replace("-", "_")[:100]
    if candidate in normal:
        return normal[candidate]
    close = difflib.get_close_matches(candidate, list(normal), n=1, cutoff=0.6)
    return normal[close[0]] if close else None


def _candidates(word: str, known: Iterable[str]) -> list[str]:
    """All that are known, or of very many those that begin alike, so that a typo stays cheap."""
    words = list(known)
    if len(words) > 200:
        words = [one for one in words if one[:2] == word[:2] and abs(len(one) - len(word)) <= 2]
    return words[:200]


def choices(values: Iterable[object]) -> str:
    """``"a", "b" or "c"``."""
    words = [shown(value) for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
