"""A configuration as plain data, and the short digest of it.

Rule: secrets are ``<secret>``, files below the configuration's directory are relative to it, and
entries are sorted by name, so that the same configuration gives the same digest everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from cbmon.config.model import CheckConfig, Config, DiscoveryConfig, ExportConfig, ReceiverConfig
from cbmon.config.options import loose
from cbmon.config.routes import Route


def as_json(config: Config) -> dict[str, Any]:
    """The resolved configuration as JSON can hold it, without secrets."""
    directory = config.source.absolute().parent
    return {**_rest(config), "checks": list(_entries(_written(config), directory))}


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
        "exports": list(_entries(sorted(config.exports, key=attrgetter("name")), directory)),
        "notifications": {
            "route": None if notifications.route is None else _route(notifications.route),
            "receivers": [_receiver(one, directory) for one in notifications.receivers],
            **_dumped(notifications.rules, directory),
        },
    }


def digest(config: Config) -> str:
    """12 hex digits of SHA-256 over the resolved configuration.

    Each check has its part in it, which is kept with the check: after a reload only those that
    changed are gone through again.
    """
    directory = config.source.absolute().parent
    found = hashlib.sha256(_compact(_rest(config)).encode())
    policies: dict[int, str] = {}
    for check in _written(config):
        if check.mark is None:
            policy = policies.get(id(check.policy))
            if policy is None:
                policy = policies[id(check.policy)] = _compact(check.policy.as_dict())
            text = policy + _compact(_entry(check, directory))
            mark = hashlib.blake2b(text.encode(), digest_size=16).digest()
            object.__setattr__(check, "mark", mark)
        found.update(check.mark or b"")
    return found.hexdigest()[:12]


_compact: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _written(config: Config) -> list[CheckConfig]:
    """The checks that were not discovered, by name."""
    found = (check for check in config.checks if not check.discovered)
    return sorted(found, key=attrgetter("name"))


def _dumped(options: BaseModel, directory: Path) -> dict[str, Any]:
    return options.model_dump(mode="json", by_alias=True, context={"directory": directory})


def _entries(entries: Iterable[ExportConfig], directory: Path) -> Iterator[dict[str, Any]]:
    for entry in entries:
        yield {**_entry(entry, directory), "policy": entry.policy.as_dict()}


def _entry(entry: ExportConfig, directory: Path) -> dict[str, Any]:
    """Everything but its policy."""
    data = {field.name: getattr(entry, field.name) for field in fields(entry)}
    for name in ("discovered", "mark", "options", "policy"):
        data.pop(name, None)
    data["labels"] = dict(entry.labels)
    data[entry.type] = _dumped(loose(entry.options), directory)
    return data


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
