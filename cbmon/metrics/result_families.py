"""The metrics about the results that the store keeps.

Rule: a part of the table in :mod:`cbmon.metrics.families`, which lists them with the others.
"""

from __future__ import annotations

from typing import Final

from cbmon.metrics.text import Family

RESULTS_STORED: Final = Family(
    name="cbmon_results_stored_total",
    type="counter",
    help="Results of runs that were written to the store.",
)
RESULTS_DROPPED: Final = Family(
    name="cbmon_results_dropped_total",
    type="counter",
    help="Results of runs that were given up because the store failed for too long.",
)
RESULTS: Final = (RESULTS_STORED, RESULTS_DROPPED)
