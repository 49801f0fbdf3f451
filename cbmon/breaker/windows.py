"""The recent outcomes that rates are computed over.

Rules:

* O(1) per call, or O(1) amortised for the time window; memory does not grow with the calls.
* An outcome is a small number: :data:`FAILED` and :data:`SLOW` are its bits.
* Only outcomes enter: no rejection, no ignored call, no cancellation, nothing stale.
* In the time window an outcome aged ``seconds`` or more never counts, also when nothing is
  called any more; one aged less than nine tenths of that always does.
"""

from __future__ import annotations

from array import array
from typing import Any, Final

FAILED: Final = 1
SLOW: Final = 2

_BUCKETS: Final = 12
_COLUMNS: Final = 4


class CallWindow:
    """The last ``size`` calls: a ring of outcomes with running totals."""

    __slots__ = ("_codes", "_next", "calls", "failures", "size", "slow")

    def __init__(self, size: int) -> None:
        self.size = size
        self.clear()

    def clear(self) -> None:
        """Forget every outcome."""
        self._codes = bytearray(self.size)
        self._next = 0
        self.calls = self.failures = self.slow = 0

    def expire(self, now: float) -> None:
        """Nothing ages here; only calls push calls out."""

    def add(self, code: int, now: float) -> None:
        """Push the oldest outcome out and this one in; ``now`` plays no part.

        No call, no loop: under the interpreter's lock no other thread sees a half of it.
        """
        codes, position = self._codes, self._next
        if self.calls == self.size:
            if old := codes[position]:
                self.failures -= old & FAILED
                self.slow -= old >> 1
        else:
            self.calls += 1
        codes[position] = code
        if code:
            self.failures += code & FAILED
            self.slow += code >> 1
        position += 1
        self._next = 0 if position == self.size else position

    def codes(self) -> bytes:
        """Every outcome, oldest first."""
        if self.calls < self.size:
            return bytes(self._codes[: self.calls])
        return bytes(self._codes[self._next :] + self._codes[: self._next])

    def dump(self, now: float, offset: float) -> Any:
        """For a snapshot: a digit per outcome, oldest first."""
        return "".join(map(str, self.codes()))

    def load(self, data: Any, now: float, offset: float) -> None:
        """From a snapshot; as many of the newest as fit. Raises ValueError for anything odd."""
        if not isinstance(data, str) or data.strip("0123"):
            raise ValueError("window: expected a string of the digits 0 to 3")
        self.clear()
        for digit in data[-self.size :]:
            self.add(int(digit), now)


class TimeWindow:
    """The calls of the last ``seconds``, in buckets with running totals.

    A bucket begins with its first outcome and takes what comes within a twelfth of the window.
    It is dropped as a whole, a hair before its first outcome reaches the full age, so that no
    rounding keeps one too long.
    """

    __slots__ = ("_done", "_edge", "_fresh", "_keep", "_width", "calls", "failures", "seconds",
                 "slow")  # fmt: skip

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._width = seconds / _BUCKETS
        self._keep = seconds - self._width / 100
        self.clear()

    def clear(self) -> None:
        """Forget every outcome."""
        self._done = array("d")  # start, calls, failures, slow of each bucket, oldest first
        self._edge = float("-inf")
        self.calls = self.failures = self.slow = 0

    def expire(self, now: float) -> None:
        """Drop the buckets that are too old at ``now``; O(buckets) whatever the jump."""
        done = self._done
        drop = 0
        while drop < len(done) and now - done[drop] >= self._keep:
            self.calls -= int(done[drop + 1])
            self.failures -= int(done[drop + 2])
            self.slow -= int(done[drop + 3])
            drop += _COLUMNS
        if drop:
            del done[:drop]
            self._edge = float("-inf")

    def add(self, code: int, now: float) -> None:
        """An outcome that completed at ``now``."""
        if now >= self._edge:
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
        if not done or now - done[-_COLUMNS] >= self._width:
            done.extend((now, 0, 0, 0))
        self._edge = min(done[-_COLUMNS] + self._width, done[0] + self._keep)

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
        if rows is None or sorted(rows, key=lambda row: row[0]) != rows:
            raise ValueError("window: expected rows of start, calls, failures, slow, oldest first")
        self.clear()
        for start, calls, failures, slow in rows[-_BUCKETS - 2 :]:
            self._done.extend((min(start - offset, now), calls, failures, slow))
            self.calls += calls
            self.failures += failures
            self.slow += slow
        self.expire(now)


def _row(item: Any) -> tuple[float, int, int, int]:
    match item:
        case [int() | float() as start, int() as calls, int() as failures, int() as slow]:
            if not isinstance(start, bool) and abs(start) < 1e12 and calls < 1 << 53:
                if 0 <= failures <= calls and 0 <= slow <= calls:
                    return float(start), calls, failures, slow
    raise ValueError("window: a row is not start, calls, failures, slow")


Window = CallWindow | TimeWindow
