"""Breakers inside applications, as the daemon sees them: reported, shown, ordered about.

Rule: an application is believed as far as it is bounded. What it says is checked field by field,
its moves become the same events as those of the daemon's own breakers, and when it falls silent
that is said, not guessed away.
"""

from cbmon.apps.hub import Apps, Bounds
from cbmon.apps.members import Reported
from cbmon.apps.orders import NoOrdersError, PendingOrder
from cbmon.apps.report import Report, ReportError, parse_report

__all__ = [
    "Apps",
    "Bounds",
    "NoOrdersError",
    "PendingOrder",
    "Report",
    "ReportError",
    "Reported",
    "parse_report",
]
