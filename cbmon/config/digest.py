"""A configuration as plain data, and the short digest of it.

Rule: secrets are ``<secret>`` in both; the order of checks counts for neither.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import Any

from cbmon.config.model import Config, ExportConfig, ReceiverConfig
from cbmon.config.routes import Route


def as_json(config: Config) -> dict[str, Any]:
    """The resolved configuration as JSON can hold it, without secrets."""
    route = config.notifications.route
    return {
        "external_url": config.external_url,
        "labels": dict(config.labels),
        "storage": config.storage.model_dump(mode="json", by_alias=True),
        "web": config.web.model_dump(mode="json", by_alias=True),
        "checks": _entries(config.checks),
        "exports": _entries(config.exports),
        "notifications": {
            "route": None if route is None else _route(route),
            "receivers": [_receiver(receiver) for receiver in config.notifications.receivers],
        },
    }


def digest(config: Config) -> str:
    """12 hex digits of SHA-256 over the resolved configuration."""
    text = json.dumps(as_json(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _entries(entries: tuple[ExportConfig, ...]) -> list[dict[str, Any]]:
    return [_entry(entry) for entry in sorted(entries, key=lambda entry: entry.name)]


def _entry(entry: ExportConfig) -> dict[str, Any]:
    data = {field.name: getattr(entry, field.name) for field in fields(entry)}
    data["labels"] = dict(entry.labels)
    data["policy"] = entry.policy.as_dict()
    data[entry.type] = data.pop("options").model_dump(mode="json", by_alias=True)
    return data


def _receiver(receiver: ReceiverConfig) -> dict[str, Any]:
    data: dict[str, Any] = {
        kind: options.model_dump(mode="json", by_alias=True)
        for kind, options in receiver.integrations
    }
    return {**data, "name": receiver.name, "policy": receiver.policy.as_dict()}


def _route(route: Route) -> dict[str, Any]:
    data = {field.name.rstrip("_"): getattr(route, field.name) for field in fields(route)}
    data["matchers"] = [str(matcher) for matcher in route.matchers]
    data["routes"] = [_route(child) for child in route.routes]
    return data
