"""The recent outcomes that rates are computed over.

Rules:

* O(1) amortised per call; memory does not grow with the calls, only with the failures among the
  last ``size``, or with the number of buckets.
* An outcome is a small number: :data:`FAILED` and :data:`SLOW` are its bits.
* Only outcomes enter: no rejection, no ignored call, no cancellation, nothing stale.
* In the time window an outcome aged ``seconds`` or more never counts, also when nothing is
  called any more; one aged less than nine tenths of that always does.
* Plain successes up to ``edge`` change nothing but their number. They may be counted elsewhere
  and told later by ``catch_up``: see :mod:`cbmon.breaker.lanes`.
"""

from __future__ import annotations

from array import array
from itertools import pairwise
from math import inf
from typing import Any, Final

FAILED: Final = 1
SLOW: Final = 2

_BUCKETS: Final = 12
_KEPT: Final = 1 - 1 / (100 * _BUCKETS)  # of the full age
_COLUMNS: Final = 4
_OLDEST: Final = slice(_COLUMNS)
_COMPACT: Final = 64


class CallWindow:
    """The last ``size`` calls: those that were not plain successes, by their running number."""

    __slots__ = ("_bad", "_gone", "_number", "calls", "failures", "size", "slow")

    def __init__(self, size: int) -> None:
        self.size = size
        self.clear()

    def clear(self) -> None:
        """Forget every outcome."""
        self._bad = array("Q")  # number of the call << 2 | outcome, oldest first
        self._gone = 0  # how many of them have left the window
        self._number = 0
        self.calls = self.failures = self.slow = 0

    @property
    def edge(self) -> float:
        """How many plain successes fit in before one pushes out something else."""
        if self._gone == len(self._bad):
            return inf
        return (self._bad[self._gone] >> 2) + self.size - self._number - 1

    def expire(self, _now: float) -> None:
        """Nothing ages here; only calls push calls out."""

    def catch_up(self, successes: int) -> None:
        """Plain successes that were counted elsewhere, fewer than ``edge`` allows."""
        self._number += successes
        self.calls = min(self.size, self._number)

    def add(self, code: int, _now: float) -> None:
        """Push the oldest outcome out and this one in."""
        self._number += 1
        if self.calls < self.size:
            self.calls += 1
        else:
            self._push_out()
        if code:
            self._bad.append(self._number << 2 | code)
            self.failures += code & FAILED
            self.slow += code >> 1

    def _push_out(self) -> None:
        bad, gone = self._bad, self._gone
        if gone == len(bad) or bad[gone] >> 2 > self._number - self.size:
            return
        self.failures -= bad[gone] & FAILED
        self.slow -= (bad[gone] & SLOW) >> 1
        self._gone += 1
        if self._gone >= max(_COMPACT, len(bad) // 2):
            del bad[: self._gone]
            self._gone = 0

    def dump(self, _now: float, _offset: float) -> Any:
        """For a snapshot: how many calls, then how many calls ago each bad outcome was and what
        it was, oldest first."""
        bad = self._bad[self._gone :]
        return [self.calls, *([self._number - (item >> 2), item & 3] for item in bad)]

    def load(self, data: Any, _now: float, _offset: float) -> None:
        """From a snapshot; as many of the newest as fit. Raises ValueError for anything odd."""
        match data:
            case [int() as calls, *rows] if not isinstance(calls, bool) and 0 <= calls < 1 << 53:
                pairs = [_pair(row, calls) for row in rows]
            case _:
                raise ValueError("window: expected the number of calls, then rows")
        if any(one[0] <= other[0] for one, other in pairwise(pairs)):
            raise ValueError("window: expected rows oldest first")
        self.clear()
        self._number = calls
        self.calls = min(calls, self.size)
        for ago, code in pairs:
            if ago < self.size:
                self._bad.append((calls - ago) << 2 | code)
                self.failures += code & FAILED
                self.slow += code >> 1


class TimeWindow:
    """The calls of the last ``seconds``, in buckets with running totals.

    A bucket begins with its first outcome and takes what comes within a twelfth of the window.
    It is dropped as a whole, a hair before its first outcome reaches the full age, so that no
    rounding keeps one too long.
    """

    __slots__ = ("_done", "calls", "edge", "failures", "seconds", "slow")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.clear()

    def clear(self) -> None:
        """Forget every outcome."""
        self._done = array("d")  # start, calls, failures, slow of each bucket, oldest first
        self.edge = -inf  # when the newest bucket ends or the oldest is too old
        self.calls = self.failures = self.slow = 0

    def expire(self, now: float) -> None:
        """Drop the buckets that are too old at ``now``; O(buckets) whatever the jump."""
        done = self._done
        keep = self.seconds * _KEPT
        while done and now - done[0] >= keep:
            calls, failures, slow = int(done[1]), int(done[2]), int(done[3])
            del done[_OLDEST]  # at once with what follows: nothing is made or called
            self.calls -= calls
            self.failures -= failures
            self.slow -= slow
            self._set_edge()

    def catch_up(self, successes: int) -> None:
        """Plain successes that completed before ``edge`` and were counted elsewhere."""
        self._done[-3] += successes
        self.calls += successes

    def add(self, code: int, now: float) -> None:
        """An outcome that completed at ``now``."""
        if now >= self.edge:
            self._turn(now)
        done = self._done
        done[-3] += 1
        self.calls += 1
        if code:
            failed, slow = code & FAILED, code >> 1
            done[-2] += failed
            done[-1] += slow
            self.failures += failed
            self.slow += slow

    def _turn(self, now: float) -> None:
        self.expire(now)
        done = self._done
        if not done or now - done[-_COLUMNS] >= self.seconds / _BUCKETS:
            done.extend((now, 0, 0, 0))
        self._set_edge()

    def _set_edge(self) -> None:
        done, seconds = self._done, self.seconds
        if done:
            self.edge = min(done[-_COLUMNS] + seconds / _BUCKETS, done[0] + seconds * _KEPT)
        else:
            self.edge = -inf

    def dump(self, now: float, offset: float) -> Any:
        """For a snapshot: a row per bucket with its start as Unix time, oldest first."""
        self.expire(now)
        rows = zip(*[iter(self._done)] * _COLUMNS, strict=True)
        return [
            [start + offset, int(calls), int(failures), int(slow)]
            for start, calls, failures, slow in rows
        ]

    def load(self, data: Any, now: float, offset: float) -> None:
        """From a snapshot, aged by wall time. Raises ValueError for anything odd."""
        rows = [_row(item) for item in data] if isinstance(data, list) else None
        if rows is None or any(one[0] > other[0] for one, other in pairwise(rows)):
            raise ValueError("window: expected rows of start, calls, failures, slow, oldest first")
        self.clear()
        for start, calls, failures, slow in rows[-_BUCKETS - 2 :]:
            self._done.extend((min(start - offset, now), calls, failures, slow))
            self.calls += calls
            self.failures += failures
            self.slow += slow
        self.expire(now)


def _pair(row: Any, calls: int) -> tuple[int, int]:
    match row:
        case [int() as ago, (1 | 2 | 3) as code] if type(ago) is type(code) is int:
            if 0 <= ago < calls:
                return ago, code
    raise ValueError("window: a row is not calls ago, outcome")


def _row(item: Any) -> tuple[float, int, int, int]:
    match item:
        case [int() | float() as start, int() as calls, int() as failures, int() as slow] if (
            not isinstance(start, bool)
            and abs(start) < 1e12
            and 0 <= max(failures, slow) <= calls < 1 << 53
            and min(failures, slow) >= 0
        ):
            return float(start), calls, failures, slow
    raise ValueError("window: a row is not start, calls, failures, slow")


Window = CallWindow | TimeWindow
