"""The numbers of applications that report their breakers.

Rule: an application's series exist from its first report until it is forgotten; the counters of
all reports from the start.
"""

from __future__ import annotations

from collections.abc import Iterator

from cbmon.metrics import app_families as f
from cbmon.metrics.text import Family, labelled, lines, number


class AppNumbers:
    """Who is heard of, and how many reports came."""

    __slots__ = ("_heard", "refused", "reports")

    def __init__(self) -> None:
        self._heard: dict[tuple[str, str], tuple[bool, float]] = {}
        self.reports = 0
        self.refused = 0

    def heard(self, application: str, process: str, *, up: bool, at: float) -> None:
        """Whether a process is heard of, and the Unix time at which it last was."""
        self._heard[application, process] = (up, at)

    def forget(self, application: str, process: str) -> None:
        """Its series are gone; an unknown one is no error."""
        self._heard.pop((application, process), None)

    def sections(self) -> Iterator[tuple[Family, bytes]]:
        """Each family with its lines."""
        known = sorted(self._heard.items())

        def series(family: Family, values: list[str]) -> tuple[Family, bytes]:
            labels = ({"application": app, "process": process} for (app, process), _ in known)
            starts = [labelled(family.name, each) for each in labels]
            pairs = zip(starts, values, strict=True)
            return family, b"".join(lines([start], value) for start, value in pairs)

        yield series(f.APP_UP, ["1" if up else "0" for _, (up, _) in known])
        yield series(f.APP_HEARD, [f"{at:.3f}" for _, (_, at) in known])
        yield f.APP_REPORTS, lines([f.APP_REPORTS.name], number(self.reports))
        yield f.APP_REFUSED, lines([f.APP_REFUSED.name], number(self.refused))
