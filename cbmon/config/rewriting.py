"""Writing breaker settings back into a YAML file, with its comments and its layout.

Rule: only the characters of the values that change are touched. Whether the result means what was
wanted is for the caller to see, by loading it; where it cannot be done, nothing is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

ALIASES: Final = {"recovery_timeout": "timeout_seconds"}
Settings = Mapping[str, Any]


class RewriteError(ValueError):
    """It cannot be done here; the message says where and why."""


class _Edit(NamedTuple):
    """Replace the characters from ``start`` to ``end``."""

    start: int
    end: int
    text: str


def rewritten(
    text: str, changes: Mapping[str, Settings], templates: Mapping[str, Settings] | None = None
) -> str:
    """The file with these settings in the entries of these names, by name of check or export.

    ``templates`` are for those of discovered checks, by name of the discovery. Raises RewriteError
    for a name that has no entry in this file, or a layout that is not known.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    edits: list[_Edit] = []
    for entries, wanted in ((_written(root), changes), (_templates(root), templates or {})):
        for name, settings in wanted.items():
            if name not in entries:
                raise RewriteError(f"there is no entry named {name!r} in this file")
            edits += _entry(text, entries[name], settings)
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def names_in(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names of checks and exports, and of discoveries, that have an entry in this file."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return frozenset(_written(root)), frozenset(_templates(root))


def _written(root: Node | None) -> dict[str, MappingNode]:
    return dict(_entries(root, "checks", "exports"))


def _templates(root: Node | None) -> dict[str, MappingNode]:
    found = {name: _value(entry, "template") for name, entry in _entries(root, "discovery")}
    return {name: node for name, node in found.items() if isinstance(node, MappingNode)}


def _entries(root: Node | None, *sections: str) -> Iterator[tuple[str, MappingNode]]:
    if not isinstance(root, MappingNode):
        return
    for section in sections:
        found = _value(root, section)
        for entry in found.value if isinstance(found, SequenceNode) else ():
            name = _value(entry, "name") if isinstance(entry, MappingNode) else None
            if isinstance(name, ScalarNode):
                yield name.value, entry


def _entry(text: str, entry: MappingNode, settings: Settings) -> list[_Edit]:
    breaker = _value(entry, "breaker")
    if breaker is None:
        return [_beside_name(text, entry, f"breaker: {_flow(settings)}")]
    if isinstance(breaker, ScalarNode):
        start, end = breaker.start_mark.index, breaker.end_mark.index
        template = text[start:end]
        if "\n" in template or "&" in template:
            raise RewriteError(f"line {breaker.start_mark.line + 1}: this breaker is not plain")
        return [_Edit(start, end, _flow(settings, f"template: {template}"))]
    if not isinstance(breaker, MappingNode):
        raise RewriteError(f"line {breaker.start_mark.line + 1}: this breaker is not a mapping")
    return _in_mapping(breaker, settings)


def _in_mapping(breaker: MappingNode, settings: Settings) -> list[_Edit]:
    edits, fresh = [], {}
    for field, value in settings.items():
        known = _value(breaker, field) or _value(breaker, ALIASES.get(field, field))
        if known is None:
            fresh[field] = value
        else:
            edits.append(_Edit(known.start_mark.index, known.end_mark.index, _plain(value)))
    if not fresh:
        return edits
    pairs = [f"{field}: {_plain(value)}" for field, value in fresh.items()]
    if not breaker.value:
        whole = "{" + ", ".join(pairs) + "}"
        return [*edits, _Edit(breaker.start_mark.index, breaker.end_mark.index, whole)]
    first = breaker.value[0][0].start_mark
    between = ", " if breaker.flow_style else "\n" + " " * first.column
    return [*edits, _Edit(first.index, first.index, "".join(pair + between for pair in pairs))]


def _beside_name(text: str, entry: MappingNode, pair: str) -> _Edit:
    """A new pair of an entry, behind that of its name."""
    name = _value(entry, "name")
    if name is None:
        raise RewriteError(f"line {entry.start_mark.line + 1}: this entry has no name")
    if entry.flow_style:
        return _Edit(name.end_mark.index, name.end_mark.index, f", {pair}")
    column = entry.value[0][0].start_mark.column
    end = text.find("\n", name.end_mark.index)
    at = len(text) if end < 0 else end
    return _Edit(at, at, "\n" + " " * column + pair)


def _value(node: MappingNode, key: str) -> Any:
    for name, value in node.value:
        if isinstance(name, ScalarNode) and name.value == key:
            return value
    return None


def _flow(settings: Settings, *first: str) -> str:
    pairs = [*first, *(f"{field}: {_plain(value)}" for field, value in settings.items())]
    return "{" + ", ".join(pairs) + "}"


def _plain(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, str) and value.isidentifier():
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = json.dumps(value)
    # YAML 1.1 takes 1e-07 for a text, 1.0e-07 for a number.
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text
