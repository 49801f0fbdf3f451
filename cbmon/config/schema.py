"""The JSON Schema of a configuration: for editors, for documentation and for tools.

Rule: made from the models that validate, so that it cannot say anything else. It is draft 2020-12
with nothing in it that editors which only know draft 7 would stumble over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from cbmon.config.alerting import AlertingSection
from cbmon.config.breakers import TemplateSettings
from cbmon.config.discovering import DiscoveryEntry
from cbmon.config.fields import HostPort, Options
from cbmon.config.model import ConfigTypes, OptionsSource
from cbmon.config.notifying import NotificationRules
from cbmon.config.policies import BUILT_IN
from cbmon.config.routes import RouteSection
from cbmon.config.sections import (
    CheckEntry,
    DefaultsSection,
    ExportEntry,
    GlobalSection,
    ReceiverEntry,
    StorageSection,
    WebSection,
)
from cbmon.config.units import format_duration, format_size
from cbmon.errors import MissingExtraError

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_VARIABLE: Final = r"\$\{"
_SECTIONS: Final[Mapping[str, type[Options]]] = {
    "global": GlobalSection,
    "storage": StorageSection,
    "web": WebSection,
    "defaults": DefaultsSection,
    "alerting": AlertingSection,
}
_HINTS: Final[Mapping[str, str]] = {
    "duration": "A duration: 500ms, 30s, 5m, 1h30m, 7d, or a number of seconds.",
    "size": "A size: 1KiB is 1024 bytes, 1KB is 1000 bytes, a number is bytes.",
    "ratio": "A ratio: 0.4 or 40%.",
}

Schema = dict[str, Any]


def json_schema(types: ConfigTypes) -> Schema:
    """The schema of a whole file. Types whose package is not installed are left open."""
    checks, exports, receivers, sources = (
        loaded(kinds) for kinds in (types.checks, types.exports, types.receivers, types.discovery)
    )
    models: list[type[BaseModel]] = [*_SECTIONS.values(), TemplateSettings, RouteSection]
    models += [NotificationRules, CheckEntry, ExportEntry, ReceiverEntry, DiscoveryEntry]
    for kinds in (checks, exports, receivers, sources):
        models += [model for model in kinds.values() if model is not None]
    refs, definitions = _definitions(models)
    properties: Schema = {key: refs[model] for key, model in _SECTIONS.items()}
    properties["templates"] = {
        "type": "object",
        "description": "Breaker templates of one's own, by name.",
        "additionalProperties": refs[TemplateSettings],
    }
    properties["include"] = {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "description": "Files or patterns, relative to this file, that are read too.",
    }
    properties["checks"] = _entries(definitions, refs, CheckEntry, checks)
    properties["discovery"] = _entries(definitions, refs, DiscoveryEntry, sources)
    properties["exports"] = _entries(definitions, refs, ExportEntry, exports)
    properties["notifications"] = {
        "type": ["object", "null"],
        "description": "Who is told, and where.",
        "additionalProperties": False,
        "properties": {
            "route": refs[RouteSection],
            "receivers": _entries(definitions, refs, ReceiverEntry, receivers),
            **_rules(definitions, refs),
        },
    }
    return {
        "$schema": DIALECT,
        "title": "cbmon configuration",
        "type": "object",
        "additionalProperties": False,
        "patternProperties": {"^x-": {"description": "Left alone: a place for anchors."}},
        "properties": {key: _or_nothing(value) for key, value in properties.items()},
        "$defs": definitions,
    }


def model_schema(model: type[BaseModel]) -> Schema:
    """The schema of one model, in which ``$defs`` has the models that it refers to."""
    refs, definitions = _definitions([model])
    name = str(refs[model]["$ref"]).rpartition("/")[2]
    return {**definitions[name], "$defs": definitions}


def loaded(sources: Mapping[str, OptionsSource]) -> dict[str, type[Options] | None]:
    """The option models, sorted by key; None for one whose package is not installed."""
    return {key: _loaded(sources[key]) for key in sorted(sources)}


def _loaded(source: OptionsSource) -> type[Options] | None:
    if isinstance(source, type):
        return source
    try:
        return source()
    except MissingExtraError:
        return None


def _definitions(
    models: Iterable[type[BaseModel]],
) -> tuple[dict[type[BaseModel], Schema], Schema]:
    unique = list(dict.fromkeys(models))
    found, schema = models_json_schema(
        [(model, "validation") for model in unique], schema_generator=_Generator
    )
    refs = {model: dict(found[model, "validation"]) for model in unique}
    return refs, {name: _tidied(one) for name, one in schema["$defs"].items()}


class _Generator(GenerateJsonSchema):
    """Writes defaults as they would be written in a file."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, HostPort):
            return str(dft)
        if isinstance(dft, tuple | list) and dft:
            return [self.encode_default(item) for item in dft]
        return super().encode_default(dft)


def _entries(
    definitions: Schema,
    refs: Mapping[type[BaseModel], Schema],
    entry: type[Options],
    kinds: Mapping[str, type[Options] | None],
) -> Schema:
    """A list of entries, each with the keys of its model and a key that names its type."""
    name = str(refs[entry]["$ref"]).rpartition("/")[2]
    typed = definitions[name]
    for kind, model in kinds.items():
        options = {"type": "object"} if model is None else refs[model]
        typed["properties"][kind] = options
    choice = "anyOf" if entry is ReceiverEntry else "oneOf"
    if kinds:
        typed[choice] = [{"required": [kind]} for kind in kinds]
    return {"type": "array", "items": refs[entry], "description": typed["description"]}


def _rules(definitions: Schema, refs: Mapping[type[BaseModel], Schema]) -> Schema:
    """The keys of ``notifications`` besides routes and receivers."""
    name = str(refs[NotificationRules]["$ref"]).rpartition("/")[2]
    rules: Schema = definitions[name]["properties"]
    return rules


def _or_nothing(schema: Schema) -> Schema:
    """A section whose lines are all commented out is nothing."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    kind = schema["type"]
    return {**schema, "type": kind if isinstance(kind, list) else [kind, "null"]}


def _tidied(node: Any) -> Any:
    """Without generated titles, with defaults and hints in the unit, and open to variables."""
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _tidied_part(key, value) for key, value in node.items() if key != "title"}
    unit = _unit(made)
    if unit and isinstance(made.get("default"), int | float):
        made["default"] = _in_unit(unit, made["default"])
    if unit and "description" in made:
        made["description"] = f"{made['description']} {_HINTS[unit]}"
    if made.get("type") in {"integer", "number", "boolean"} and "enum" not in made:
        made["type"] = [made["type"], "string"]
        made["pattern"] = _VARIABLE
    if made.get("description", "").startswith("A template, or"):
        made["examples"] = list(BUILT_IN)
    return made


def _tidied_part(key: str, value: Any) -> Any:
    if key in {"default", "examples", "enum", "const"}:
        return value
    if key == "properties":
        return {name: _tidied(option) for name, option in value.items()}
    return _tidied(value)


def _unit(node: Schema) -> str | None:
    inner = [node, *(one for one in node.get("anyOf", []) if isinstance(one, dict))]
    return next((str(one["x-unit"]) for one in inner if "x-unit" in one), None)


def _in_unit(unit: str, value: float) -> str | float:
    if unit == "duration":
        return format_duration(value)
    return format_size(int(value)) if unit == "size" else value
