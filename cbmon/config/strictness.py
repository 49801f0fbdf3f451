"""Strict scalars inside lenient containers, for option models.

Rule: a YAML number is not a text and a text is not a number, but a list may fill a tuple and a
text an enum. Text that came out of ``${NAME}`` has no type of its own and takes the field's.
"""

from __future__ import annotations

from typing import Any, Final, cast

from pydantic_core import CoreSchema, core_schema

from cbmon.config.scalars import resolve
from cbmon.config.words import Substituted

_NAMED: Final = frozenset({"fields", "choices"})
"""Where the keys are an option's or a branch's name, which may be any word."""
_SKIPPED: Final = frozenset({"metadata", "serialization", "default", "config"})


def strict_leaves(schema: CoreSchema) -> CoreSchema:
    """The schema of a model with every number and boolean in it made strict; text is by itself."""
    node = cast("dict[str, Any]", schema)
    while node["type"] != "model":
        if "schema" not in node:
            return schema
        node = node["schema"]
    node["schema"] = _walk(node["schema"])
    return schema


def _walk(node: Any) -> Any:
    if isinstance(node, list):
        return [_walk(item) for item in node]
    if not isinstance(node, dict) or _is_done(node):
        return node
    if node.get("type") in {"int", "float", "bool"}:
        return core_schema.no_info_before_validator_function(
            _typed, cast("CoreSchema", {**node, "strict": True})
        )
    return {key: _walk_part(key, value) for key, value in node.items()}


def _walk_part(key: str, value: Any) -> Any:
    if key in _SKIPPED or not isinstance(value, dict | list):
        return value
    if key in _NAMED and isinstance(value, dict):
        return {name: _walk(part) for name, part in value.items()}
    return _walk(value)


def _is_done(node: dict[str, Any]) -> bool:
    """A model takes care of itself, and a schema may pass by more than once."""
    function = node.get("function")
    return node.get("type") == "model" or (
        isinstance(function, dict) and function.get("function") is _typed
    )


def _typed(value: object) -> object:
    return resolve(value) if isinstance(value, Substituted) else value
