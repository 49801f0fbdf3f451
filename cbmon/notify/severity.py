"""How bad an outage is, as routes, alerts and pagers want to know it. Pure.

Rule: it does not change while an outage lasts, so that its end finds the same alert. The label
``severity`` of a check says it; without one it follows from what went down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cbmon.model import Category

SEVERITY: Final = "severity"
CRITICAL: Final = "critical"
WARNING: Final = "warning"
_BY_CATEGORY: Final[Mapping[str, str]] = {Category.EXPORT: WARNING}


def severity_of(category: str, labels: Mapping[str, str]) -> str:
    """``critical`` for a check, ``warning`` for an export, unless its label says otherwise."""
    return labels.get(SEVERITY) or _BY_CATEGORY.get(category, CRITICAL)
