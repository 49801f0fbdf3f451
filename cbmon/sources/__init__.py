"""Where targets come from: lists in files, or behind a URL. A dict names them, one module each.

Rule: a source gives its whole list or an error, and never a part of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cbmon.sources.base import SourceType

SOURCES: Final[dict[str, str]] = {
    "file_sd": "cbmon.sources.file_sd",
    "http_sd": "cbmon.sources.http_sd",
}
"""The module of each type."""


def source_type(name: str) -> SourceType:
    """What there is to know of a type; imports its module. KeyError for an unknown name."""
    found: SourceType = import_module(SOURCES[name]).TYPE
    return found
