"""``${NAME}`` in scalars.

Rule: replaced after the YAML is read, so that a value can never change the structure; what a
variable holds is never shown. ``$${`` is a literal ``${``; every other ``$`` is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from cbmon.config.words import Substituted, clipped

MAX_EXPANDED: Final = 1 << 20
"""Characters in one scalar after replacement."""

_REFERENCE: Final = re.compile(
    r"\$(?P<escape>\$(?=\{))"
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\}"
    r"|(?P<broken>\$\{[^}]{0,40}\}?)"
)


class VariableError(ValueError):
    """A reference that cannot be replaced; the message names the variable, never a value."""


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """The text with its references replaced; a :class:`Substituted` if there were any.

    ``${NAME:-default}`` takes the default when NAME is unset or empty. VariableError when NAME is
    unset and has no default, or when the reference is malformed.
    """
    values: list[str] = []

    def value(match: re.Match[str]) -> str:
        if match["escape"]:
            return "$"
        values.append(_value(match, environ))
        return values[-1]

    result = _REFERENCE.sub(value, text)
    if len(result) > MAX_EXPANDED:
        raise VariableError(f"{clipped(text)} is longer than 1 MiB once its variables are replaced")
    if "\0" in result:
        raise VariableError("a variable holds a NUL character")
    return Substituted.of(result, text, values) if values else result


def _value(match: re.Match[str], environ: Mapping[str, str]) -> str:
    name, default = match["name"], match["default"]
    if name is None:
        raise VariableError(
            f'"{clipped(match[0])}" is not a reference such as ${{NAME}} or ${{NAME:-default}}; '
            "write $${ for a literal ${"
        )
    value = environ.get(name)
    if value or (value is not None and default is None):
        return value
    if default is None:
        raise VariableError(
            f"the environment variable {name} is not set; set it or write ${{{name}:-default}}"
        )
    return str(default)
