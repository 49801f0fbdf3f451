"""Settings of breakers that are changed while the daemon runs: what may be set, and what results.

Rule: pure. Three layers, the upper one wins field by field: the override of one breaker, the
defaults in the database, the configuration's YAML. Nothing here reads a clock or a store.
"""

from __future__ import annotations

from cbmon.settings.book import Base, Book
from cbmon.settings.fields import FIELDS, as_json, from_json, from_text, to_text
from cbmon.settings.layers import Difference, Effective, Source
from cbmon.settings.problems import Problem, SettingsError

__all__ = [
    "FIELDS",
    "Base",
    "Book",
    "Difference",
    "Effective",
    "Problem",
    "SettingsError",
    "Source",
    "as_json",
    "from_json",
    "from_text",
    "to_text",
]
