"""The metrics about applications that report their breakers to the daemon.

Rule: a part of the table in :mod:`cbmon.metrics.families`, which lists them with the others.
"""

from __future__ import annotations

from typing import Final

from cbmon.metrics.text import Family

_A: Final = ("application", "process")

APP_UP: Final = Family(
    name="cbmon_app_up",
    type="gauge",
    labels=_A,
    help="1 while an application reports its breakers in time, 0 once it is silent.",
    absent="until an application reports",
)
APP_HEARD: Final = Family(
    name="cbmon_app_last_report_timestamp_seconds",
    type="gauge",
    labels=_A,
    help="Unix time in seconds at which an application was heard of last.",
    absent="until an application reports",
)
APP_REPORTS: Final = Family(
    name="cbmon_app_reports_total",
    type="counter",
    help="Reports of applications, refused ones included.",
)
APP_REFUSED: Final = Family(
    name="cbmon_app_reports_refused_total",
    type="counter",
    help="Reports of applications that were refused for what they say.",
)
APPS: Final = (APP_UP, APP_HEARD, APP_REPORTS, APP_REFUSED)
