"""Exports: ways to hand the daemon's metrics on. A dict names them, one module makes each.

Rule: a module is imported when a configuration uses it, not before. A new type costs a module,
a line here and a test.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cbmon.exports.base import ExportType

EXPORTS: Final[dict[str, str]] = {
    "otlp": "cbmon.exports.otlp",
    "pushgateway": "cbmon.exports.pushgateway",
    "remote_write": "cbmon.exports.remote_write",
    "textfile": "cbmon.exports.textfile",
}
"""The module of each type."""


def export_type(name: str) -> ExportType:
    """What there is to know of a type; imports its module. KeyError for an unknown name."""
    found: ExportType = import_module(EXPORTS[name]).TYPE
    return found
