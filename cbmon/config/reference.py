"""Option tables for the documentation, and the pages that hold them.

Rule: a table stands between ``<!-- options: Name -->`` and ``<!-- end -->`` and is made from the
model; a test compares, so that a page cannot grow old. To write them anew:
``python -m cbmon.config.reference docs/configuration.md``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from cbmon.config.alerting import AlertingSection, AlertSettings, SloEntry
from cbmon.config.breakers import BreakerSettings
from cbmon.config.discovering import DiscoveryEntry
from cbmon.config.notifying import (
    FlappingSection,
    HeartbeatSection,
    IsolationSection,
    MaintenanceEntry,
    NotificationRules,
    StormSection,
)
from cbmon.config.policies import BUILT_IN
from cbmon.config.results import ResultsSection
from cbmon.config.routes import RouteSection
from cbmon.config.schema import Schema, model_schema
from cbmon.config.sections import (
    CheckEntry,
    DefaultsSection,
    ExportEntry,
    GlobalSection,
    ProbeSection,
    ReceiverEntry,
    StorageSection,
    TokenEntry,
    WebSection,
)
from cbmon.config.statuspage import StatusPageSection
from cbmon.config.times import TimeIntervalSpec
from cbmon.config.units import format_duration

MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "global": GlobalSection,
    "storage": StorageSection,
    "results": ResultsSection,
    "web": WebSection,
    "tokens": TokenEntry,
    "probe": ProbeSection,
    "status_page": StatusPageSection,
    "defaults": DefaultsSection,
    "checks": CheckEntry,
    "discovery": DiscoveryEntry,
    "exports": ExportEntry,
    "breaker": BreakerSettings,
    "route": RouteSection,
    "receivers": ReceiverEntry,
    "notifications": NotificationRules,
    "time_intervals": TimeIntervalSpec,
    "maintenance": MaintenanceEntry,
    "flapping": FlappingSection,
    "storm": StormSection,
    "isolation": IsolationSection,
    "heartbeat": HeartbeatSection,
    "alerting": AlertingSection,
    "slos": SloEntry,
    "alerts": AlertSettings,
}

_BLOCK: Final = re.compile(r"(<!-- options: ([\w.-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_WORDS: Final[Mapping[str, str]] = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "mapping",
    "null": "nothing",
}


def refreshed(page: str, models: Mapping[str, type[BaseModel]] = MODELS) -> str:
    """The page with every table in it made anew; KeyError for a name that no model has."""

    def block(match: re.Match[str]) -> str:
        table = templates_table() if match[2] == "templates" else options_table(models[match[2]])
        return f"{match[1]}{table}{match[3]}"

    return _BLOCK.sub(block, page)


def options_table(model: type[BaseModel]) -> str:
    """A Markdown table of a model's options."""
    schema = model_schema(model)
    required = set(schema.get("required", ()))
    rows = ["| option | what | default | meaning |", "|---|---|---|---|"]
    for name, option in schema["properties"].items():
        default = "required" if name in required else _default(option)
        meaning = _cell(model_description(model, name))
        rows.append(
            f"| `{name}` | {_cell(_what(option, schema['$defs']))} | {default} | {meaning} |"
        )
    return "\n".join(rows) + "\n"


def templates_table() -> str:
    """A Markdown table of the breaker templates that are built in."""
    rows = ["| template | settings | for |", "|---|---|---|"]
    for name, (purpose, settings) in BUILT_IN.items():
        words = [f"`{key}: {_setting(key, value)}`" for key, value in settings.items()]
        rows.append(f"| `{name}` | {', '.join(words)} | {purpose} |")
    return "\n".join(rows) + "\n"


def model_description(model: type[BaseModel], key: str) -> str:
    """What the model says of an option, without hints on units."""
    for name, field in model.model_fields.items():
        if key == (field.alias or name):
            return field.description or ""
    raise KeyError(key)


def _setting(key: str, value: Any) -> str:
    is_duration = key.endswith(("_timeout", "_seconds"))
    return format_duration(value) if is_duration else str(value)


def _default(option: Schema) -> str:
    value = option.get("default")
    if value is None or value == [] or isinstance(value, dict):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _what(option: Schema, definitions: Schema) -> str:
    """The type of an option in a few words."""
    if "x-unit" in option:
        return str(option["x-unit"])
    if "enum" in option:
        return ", ".join(f"`{value}`" for value in option["enum"])
    if "$ref" in option:
        return _what(definitions[option["$ref"].rpartition("/")[2]], definitions)
    branches = option.get("anyOf") or option.get("oneOf")
    if branches:
        words = (_what(one, definitions) for one in branches if one.get("type") != "null")
        return " or ".join(dict.fromkeys(words))
    kind = option.get("type", "anything")
    if kind == "array":
        return f"list of {_what(option.get('items', {}), definitions)}"
    return _WORDS.get(kind[0] if isinstance(kind, list) else kind, "anything")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(refreshed(path.read_text()))
