"""The kinds of checks: one module each, found by name.

Rule: a new kind is one module that defines ``TYPE`` and one line in :data:`PROBES`. It is
imported when a check of its kind is configured, so that the others cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from cbmon.errors import ConfigurationError
from cbmon.probes.addresses import AddressPolicy
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.kind import ProbeType
from cbmon.probes.programs import ProgramPolicy

__all__ = [
    "PROBES",
    "AddressPolicy",
    "ProbeEnvironment",
    "ProbeType",
    "ProgramPolicy",
    "probe_type",
]

PROBES: Final[Mapping[str, str]] = {
    "dns": "cbmon.probes.dns",
    "exec": "cbmon.probes.exec",
    "grpc": "cbmon.probes.grpc",
    "heartbeat": "cbmon.probes.heartbeat",
    "http": "cbmon.probes.http",
    "icmp": "cbmon.probes.icmp",
    "llm": "cbmon.probes.llm",
    "mcp": "cbmon.probes.mcp",
    "mysql": "cbmon.probes.mysql",
    "postgres": "cbmon.probes.postgres",
    "promql": "cbmon.probes.promql",
    "python": "cbmon.probes.python",
    "redis": "cbmon.probes.redis",
    "smtp": "cbmon.probes.smtp",
    "ssh": "cbmon.probes.ssh",
    "tcp": "cbmon.probes.tcp",
    "tls": "cbmon.probes.tls",
    "websocket": "cbmon.probes.websocket",
}
"""The module that holds each kind."""


def probe_type(name: str) -> ProbeType[Any]:
    """The kind of that name; ConfigurationError for one that does not exist."""
    if name not in PROBES:
        raise ConfigurationError(f'unknown kind of check "{name}"; known are {", ".join(PROBES)}')
    found = import_module(PROBES[name]).TYPE
    assert isinstance(found, ProbeType)  # noqa: S101
    return found
