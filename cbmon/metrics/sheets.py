"""What is kept of the lines of some components between scrapes, in columns.

Rule: by column and not by component. A scrape goes through columns, and ten thousand components
with twenty objects each are two hundred thousand places of memory that the processor would have to
wait for; so what has not changed is not looked at one by one.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Final

from cbmon.metrics.columns import Slice, for_format
from cbmon.metrics.records import BreakerRecord

NEVER: Final = -1

Origins = Mapping[BreakerRecord, tuple["Sheet", int]]
"""In which sheet a record was, and at which place."""


class Sheet:
    """The lines of some records, and which state of each record they tell."""

    __slots__ = (
        "_keys", "_odd", "bars", "dense", "edits", "events", "flying", "forms", "names", "numbers",
        "records", "restless", "rests", "versions",
    )  # fmt: skip

    def __init__(
        self, records: Sequence[BreakerRecord], width: int, numbers: str, origins: Origins
    ) -> None:
        """``width`` is the number of dense columns, ``numbers`` the types of those of numbers as
        :mod:`array` has them. What is known of a record moves here."""
        count = len(records)
        self.records = records
        self.names = [record.encoded for record in records]
        self.forms = self.names
        """The names as they stand in a format: the same list where that is the same."""
        if any(b"%" in name for name in self.names):
            self.forms = [for_format(name) for name in self.names]
        self._keys: list[str] = []
        self.numbers: list[array[Any]] = [array(kind, [0]) * count for kind in numbers]
        """By column of numbers: each record's."""
        self.dense = [[b""] * count for _ in range(width)]
        """By dense column: each record's label and end of line."""
        self.bars: list[tuple[bytes, ...]] = [()] * count
        self._odd: dict[int, dict[int, bytes]] = {}
        self.flying: dict[int, bytes] = {}
        """By place: the end of line of those that have calls under way."""
        self.restless: dict[int, float] = {}
        """By place: the monotonic moment from which time alone may have changed a record."""
        self.edits = [NEVER] * count
        self.events = [NEVER] * count
        self.versions = [NEVER] * count
        self.rests: list[object] = [None] * count
        for place, record in enumerate(records):
            if record in origins:
                self._adopt(place, *origins[record])

    @property
    def keys(self) -> Sequence[str]:
        """The names of the records, as text."""
        if not self._keys:
            self._keys = [record.breaker.name for record in self.records]
        return self._keys

    def _adopt(self, place: int, old: Sheet, there: int) -> None:
        for column, known in zip(self.dense, old.dense, strict=True):
            column[place] = known[there]
        for values, others in zip(self.numbers, old.numbers, strict=True):
            values[place] = others[there]
        self.bars[place] = old.bars[there]
        self.edits[place] = old.edits[there]
        self.events[place] = old.events[there]
        self.versions[place] = old.versions[there]
        self.rests[place] = old.rests[there]
        self.set_odd(place, old._odd.get(there, {}))
        self.set_flying(place, old.flying.get(there, b""))
        self.set_restless(place, old.restless.get(there, inf))

    def set_odd(self, place: int, odd: dict[int, bytes]) -> None:
        """By sparse column: how the lines of a record end that do not end as usual."""
        if odd:
            self._odd[place] = odd
        else:
            self._odd.pop(place, None)

    def set_flying(self, place: int, end: bytes) -> None:
        """How the line of calls under way ends; empty: as usual."""
        if end:
            self.flying[place] = end
        else:
            self.flying.pop(place, None)

    def set_restless(self, place: int, since: float) -> None:
        """From when on time alone may change its lines; infinite: never."""
        if since < inf:
            self.restless[place] = since
        else:
            self.restless.pop(place, None)

    def detach(self) -> None:
        """Let go of the lists that are being looked at: they stay as they are."""
        self.dense = [column.copy() for column in self.dense]
        self.numbers = [column[:] for column in self.numbers]
        self.bars = self.bars.copy()

    def slice(self, in_flight: int) -> Slice:
        """As it is now; ``in_flight`` is the sparse column of calls under way."""
        odd: dict[int, list[tuple[int, bytes]]] = {}
        for place in sorted(self._odd):
            for index, end in self._odd[place].items():
                odd.setdefault(index, []).append((place, end))
        if self.flying:
            odd[in_flight] = sorted(self.flying.items())
        return Slice(
            names=self.names,
            forms=self.forms,
            numbers=self.numbers,
            dense=self.dense,
            odd=odd,
            bars=self.bars,
        )
