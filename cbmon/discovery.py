"""What cbmon watches, for Prometheus' service discovery: http_sd and file_sd.

Rule: checks only, sorted by name; every label begins with ``__meta_cbmon_``, so that nothing
reaches a series unless relabelling takes it. Targets are as pages show them: without secrets.

Source: Prometheus' pages "Writing HTTP service discovery" and "Configuration", file_sd_config.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from cbmon.model import BreakerInfo, Category

PREFIX: Final = "__meta_cbmon_"
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_]")


def target_groups(infos: Iterable[BreakerInfo]) -> list[dict[str, Any]]:
    """A group for each check that has a target: ``[{"targets": […], "labels": {…}}]``."""
    checks = [info for info in infos if info.category is Category.CHECK and info.target]
    return [_group(info) for info in sorted(checks, key=lambda info: info.name)]


def _group(info: BreakerInfo) -> dict[str, Any]:
    own = {f"label_{_NOT_IN_NAMES.sub('_', name)}": value for name, value in info.labels.items()}
    labels = {
        "check": info.name,
        "depends_on": _listed(info.depends_on),
        "group": info.group,
        "tags": _listed(info.tags),
        "type": info.kind,
        **own,
    }
    named = {f"{PREFIX}{name}": value for name, value in sorted(labels.items()) if value}
    return {"labels": named, "targets": [info.target]}


def _listed(words: Iterable[str]) -> str:
    """``,a,b,``: a pattern finds a whole word between commas. Empty for none."""
    joined = ",".join(words)
    return f",{joined}," if joined else ""
