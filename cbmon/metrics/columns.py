"""Columns of the exposition: one series' name and labels over all components.

Rule: what is the same from line to line is never put together line by line. The text between two
labels is what a list of labels is joined with, so that a line costs a copy of its bytes and no
object of its own. Numbers that every run changes are kept as numbers, eight bytes each, and written
by one format for all lines of a slice.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import getitem
from typing import Any, Final

from cbmon.metrics.text import opening

LARGEST: Final = 1024
"""Entries after which a table of ready-made ends is begun anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Some components in their order, and what their lines consist of, all at one moment.

    Whoever keeps the lists does not change them while they are looked at.
    """

    names: Sequence[bytes]
    """Their labels, encoded."""
    forms: Sequence[bytes]
    """The same, as they stand in a format."""
    numbers: Sequence[array[Any]]
    """By column of numbers: each component's."""
    dense: Sequence[Sequence[bytes]]
    """By dense column: each component's label and end of line; empty for no line."""
    odd: dict[int, list[tuple[int, bytes]]]
    """By sparse column: the components whose line does not end as usual, in order, and how."""
    bars: Sequence[Sequence[bytes]]
    """Each component's histogram, as :meth:`Bars.fragments` makes it."""


class Ends(dict[int, bytes]):
    """Ends of lines by their whole number, each made once."""

    __slots__ = ("_form",)

    def __init__(self, form: str) -> None:
        super().__init__()
        self._form = form.encode()

    def __missing__(self, value: int) -> bytes:
        if len(self) >= LARGEST:
            self.clear()
        end = self[value] = self._form % value
        return end


class Sparse:
    """A column in which nearly every line ends as ``usual``; None: there is no line then."""

    __slots__ = ("_between", "_opening", "_usual", "index")

    def __init__(self, index: int, start: str, usual: str | None) -> None:
        self.index = index
        self._opening = start.encode()
        self._usual = None if usual is None else usual.encode()
        self._between = (self._usual or b"") + self._opening

    def write(self, part: Slice) -> Iterator[bytes]:
        """The lines of a slice, in pieces."""
        names, begun = part.names, 0
        for place, end in part.odd.get(self.index, ()):
            yield from self._usually(names[begun:place])
            yield self._opening + names[place] + end
            begun = place + 1
        yield from self._usually(names[begun:] if begun else names)

    def _usually(self, names: Sequence[bytes]) -> Iterator[bytes]:
        if names and self._usual is not None:
            yield self._opening
            yield self._between.join(names)
            yield self._usual


class Dense:
    """A column in which every line is its own; ``optional``: not every component has one."""

    __slots__ = ("_opening", "_optional", "index")

    def __init__(self, index: int, start: str, *, optional: bool = False) -> None:
        self.index = index
        self._opening = start.encode()
        self._optional = optional

    def write(self, part: Slice) -> Iterator[bytes]:
        """The lines of a slice, in pieces."""
        ends = part.dense[self.index]
        if self._optional:
            ends = [end for end in ends if end]
        if ends:
            yield self._opening
            yield self._opening.join(ends)


class Numbers:
    """A column in which every line ends with a number of its own, as ``form`` writes it."""

    __slots__ = ("_between", "_form", "_opening", "index")

    def __init__(self, index: int, start: str, form: str) -> None:
        self.index = index
        self._opening = for_format(start.encode())
        self._form = form.encode()
        self._between = self._form + self._opening

    def write(self, part: Slice) -> Iterator[bytes]:
        """The lines of a slice, in one piece."""
        if part.forms:
            lines = self._opening + self._between.join(part.forms) + self._form
            yield lines % tuple(part.numbers[self.index])


def for_format(text: bytes) -> bytes:
    """How a text is written in a format, to come out as it is."""
    return text.replace(b"%", b"%%")


class Bars:
    """A histogram: the lines of each component together, as OpenMetrics demands."""

    __slots__ = ("_after", "_count", "_first", "_sum", "bounds")

    def __init__(self, name: str, bounds: Sequence[float], **fixed: str) -> None:
        bucket, total, count = (
            opening(f"{name}_{part}", "component", **fixed) for part in ("bucket", "sum", "count")
        )
        limits = [repr(float(bound)) for bound in bounds]
        self.bounds = tuple(bounds)
        self._first = bucket.encode()
        self._after = [Ends(f'",le="{limit}"}} %d\n{bucket}') for limit in limits]
        self._after.append(Ends(f'",le="+Inf"}} %d\n{total}'))
        self._sum = f'"}} %.6f\n{count}'.encode()
        self._count = Ends('"} %d\n')

    def fragments(self, counts: Sequence[int], total: float) -> tuple[bytes, ...]:
        """What stands around a label; from the count of each bucket alone, and the sum."""
        cumulative = [*accumulate(counts)]
        ends = map(getitem, self._after, cumulative)
        return (self._first, *ends, self._sum % total, self._count[cumulative[-1]])

    @staticmethod
    def write(part: Slice) -> Iterator[bytes]:
        """The lines of a slice, in pieces."""
        return map(bytes.join, part.names, part.bars)
