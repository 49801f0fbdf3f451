"""``{{ … }}`` in the template of discovered checks: replaced by what is known of a target.

Rule: replaced in values after the YAML is read, so that nothing a source says can change the
structure, name an option or stand for a variable. A target that lacks what the template asks for is
no check.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cbmon.config.nodes import Block, Items, Node, value_place
from cbmon.config.problems import Place
from cbmon.config.words import Substituted, clipped

MAX_FILLED: Final = 8192
"""Characters of one value after replacement."""

_PLACEHOLDER: Final = re.compile(
    r"\{\{\s*(?:(?P<own>address|host|port|id)|labels\.(?P<label>[A-Za-z_][A-Za-z0-9_]*))"
    r'\s*(?:\|\s*default\("(?P<default>[^"{}]*)"\)\s*)?\}\}'
    r"|(?P<broken>\{\{.{0,40})"
)
_ADDRESS: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:/\s]*):(?P<port>\d{1,5})")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://")
_NOT_IN_IDS: Final = re.compile(r"[^\w.:-]+")


class PlaceholderError(ValueError):
    """A placeholder that cannot be replaced."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a source says of one target."""

    address: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def value(self, own: str) -> str | None:
        """Its ``address``, ``host``, ``port`` or ``id``; None for what an address does not have."""
        if own == "address":
            return self.address
        bare = _SCHEME.sub("", self.address, count=1)
        if own == "id":
            return _NOT_IN_IDS.sub("_", bare)[:128].strip("_")
        found = _ADDRESS.fullmatch(bare.partition("/")[0])
        if found is not None:
            return found[own].strip("[]")
        return bare.partition("/")[0] if own == "host" else None


def has_placeholder(text: object) -> bool:
    """Whether a value differs from target to target."""
    return isinstance(text, str) and _PLACEHOLDER.search(text) is not None


def filled(text: str, target: Target) -> str:
    """The text with its placeholders replaced; PlaceholderError when one cannot be."""
    values: list[str] = []

    def value(match: re.Match[str]) -> str:
        if match["broken"]:
            raise PlaceholderError(
                f'"{clipped(match["broken"])}" is no placeholder; there are {{{{ address }}}}, '
                f"{{{{ host }}}}, {{{{ port }}}}, {{{{ id }}}}, {{{{ labels.NAME }}}} and "
                f'{{{{ labels.NAME | default("…") }}}}'
            )
        own, label = match["own"], match["label"]
        found = target.value(own) if own else target.labels.get(label)
        if not found:
            found = match["default"]
        if found is None:
            what = f"label {label}" if label else own
            raise PlaceholderError(f"the target has no {what}, which the template asks for")
        values.append(found)
        return found

    result = _PLACEHOLDER.sub(value, text)
    if not values:
        return text
    if len(result) > MAX_FILLED or "\0" in result:
        raise PlaceholderError("a value is too long or holds a NUL character")
    return Substituted.of(result, text, values)


def expanded(node: Node, target: Target, touched: set[Place] | None = None) -> Any:
    """A copy with the placeholders in its values replaced; places stay those of the template.

    ``touched`` gets the places of the values in which there were any.
    """
    made: Node
    if isinstance(node, Block):
        made = Block(node.file, node.mark)
        made.places = node.places
        for key, value in node.items():
            made[key] = _expanded(node, key, value, target, touched)
        return made
    made = Items(node.file, node.mark)
    made.places = node.places
    made.extend(_expanded(node, index, value, target, touched) for index, value in enumerate(node))
    return made


def _expanded(
    node: Node, step: str | int, value: Any, target: Target, touched: set[Place] | None
) -> Any:
    if isinstance(value, Block | Items):
        return expanded(value, target, touched)
    if not isinstance(value, str) or "{{" not in value:
        return value
    if touched is not None:
        touched.add(value_place(node, step))
    return filled(value, target)
