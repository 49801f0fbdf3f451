"""A configuration as plain data, and the short digest of it.

Rule: secrets are ``<secret>``, files below the configuration's directory are relative to it, and
entries are sorted by name, so that the same configuration gives the same digest everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from cbmon.config.model import Config, DiscoveryConfig, ExportConfig, ReceiverConfig
from cbmon.config.routes import Route


def as_json(config: Config) -> dict[str, Any]:
    """The resolved configuration as JSON can hold it, without secrets."""
    return {**_rest(config), "checks": list(_checks(config))}


def _rest(config: Config) -> dict[str, Any]:
    directory = config.source.absolute().parent
    notifications = config.notifications
    discovery = [_discovery(one, directory) for one in config.discovery]
    return {
        **({"discovery": discovery} if discovery else {}),
        "external_url": config.external_url,
        "labels": dict(config.labels),
        "exec_allow": config.exec_allow,
        "retry_disabled": config.retry_disabled,
        "storage": _dumped(config.storage, directory),
        "web": _dumped(config.web, directory),
        "alerting": _dumped(config.alerting, directory),
        "exports": list(_entries(config.exports, directory)),
        "notifications": {
            "route": None if notifications.route is None else _route(notifications.route),
            "receivers": [_receiver(one, directory) for one in notifications.receivers],
            **_dumped(notifications.rules, directory),
        },
    }


def digest(config: Config) -> str:
    """12 hex digits of SHA-256 over the resolved configuration."""
    found = hashlib.sha256()
    for text in _text(config):
        found.update(text.encode())
    return found.hexdigest()[:12]


def _text(config: Config) -> Iterator[str]:
    """The configuration as JSON, its keys sorted; checks one by one, as there may be thousands."""
    rest = _rest(config)
    for number, key in enumerate(sorted([*rest, "checks"])):
        yield f"{',' if number else '{'}{_compact(key)}:"
        if key != "checks":
            yield _compact(rest[key])
            continue
        yield "["
        for index, check in enumerate(_checks(config)):
            yield f"{',' if index else ''}{_compact(check)}"
        yield "]"
    yield "}"


_compact: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _checks(config: Config) -> Iterator[dict[str, Any]]:
    directory = config.source.absolute().parent
    return _entries(tuple(check for check in config.checks if not check.discovered), directory)


def _dumped(options: BaseModel, directory: Path) -> dict[str, Any]:
    return options.model_dump(mode="json", by_alias=True, context={"directory": directory})


def _entries(entries: tuple[ExportConfig, ...], directory: Path) -> Iterator[dict[str, Any]]:
    policies: dict[int, dict[str, Any]] = {}  # most entries share one
    for entry in sorted(entries, key=lambda entry: entry.name):
        policy = policies.get(id(entry.policy))
        if policy is None:
            policy = policies[id(entry.policy)] = entry.policy.as_dict()
        data = {field.name: getattr(entry, field.name) for field in fields(entry)}
        data["labels"] = dict(entry.labels)
        data["policy"] = policy
        data.pop("discovered", None)
        data[entry.type] = _dumped(data.pop("options"), directory)
        yield data


def _discovery(discovery: DiscoveryConfig, directory: Path) -> dict[str, Any]:
    data = {"name": discovery.name, "max_targets": discovery.max_targets}
    options = _dumped(discovery.options, directory)
    return {**data, discovery.type: options, "template": discovery.template}


def _receiver(receiver: ReceiverConfig, directory: Path) -> dict[str, Any]:
    data: dict[str, Any] = {kind: _dumped(one, directory) for kind, one in receiver.integrations}
    own = {
        "name": receiver.name,
        "send_resolved": receiver.send_resolved,
        "time_to_live": receiver.time_to_live,
        "fallback": receiver.fallback,
        "fallback_after": receiver.fallback_after,
    }
    return {**data, **own, "policy": receiver.policy.as_dict()}


def _route(route: Route) -> dict[str, Any]:
    data = {field.name.rstrip("_"): getattr(route, field.name) for field in fields(route)}
    data["matchers"] = [str(matcher) for matcher in route.matchers]
    data["routes"] = [_route(child) for child in route.routes]
    return data
