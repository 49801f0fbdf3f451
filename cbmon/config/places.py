"""Where the entries of a configuration stand in its files.

Rule: only asked when there is something to tell; the files are read again, and what cannot be read
any more has no place.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from cbmon.config.includes import read_documents
from cbmon.config.nodes import Block, Items, joined, value_place
from cbmon.config.problems import Problems


def places_of(source: Path, names: Collection[str]) -> dict[str | None, str]:
    """``file:line:col: path`` of the breaker, or the name, of each check and export of ``names``.

    Blocks. Names that no file has, such as those of discovered checks, are left out.
    """
    if not names:
        return {}
    found: dict[str | None, str] = {}
    for document in read_documents(source, environ=os.environ, problems=Problems()).found:
        for section in ("checks", "exports"):
            entries = document.root.get(section)
            for number, entry in enumerate(entries if isinstance(entries, Items) else ()):
                if isinstance(entry, Block) and entry.get("name") in names:
                    key = "breaker" if "breaker" in entry else "name"
                    path = joined("", [section, number, key])
                    found.setdefault(entry["name"], f"{value_place(entry, key)}: {path}")
    return found
