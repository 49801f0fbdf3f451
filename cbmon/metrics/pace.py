"""When the next scrape is to be expected. Pure.

Rule: a guess that costs nothing when it is wrong, but work that was done too early or is left.
"""

from __future__ import annotations


class Pace:
    """Learns from the pauses between scrapes; moments are monotonic seconds.

    Of two readers that come by turns, such as Prometheus and an export, the longer pause counts.
    """

    __slots__ = ("_before", "_last", "_pause")

    def __init__(self) -> None:
        self._before = self._pause = 0.0
        self._last: float | None = None

    def scraped(self, now: float) -> None:
        """One begins."""
        if self._last is not None:
            self._before, self._pause = self._pause, now - self._last
        self._last = now

    def next(self, now: float) -> float | None:
        """When the next one begins; None after the first one, and when they have ceased."""
        pause = max(self._before, self._pause)
        if self._last is None or not pause or now > self._last + 2 * pause:
            return None
        return self._last + pause
