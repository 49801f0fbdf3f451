"""What a former load of a configuration knows of its checks, so that a reload looks at the rest.

Rule: a check is known by its text, to the byte, together with everything else that it was made
from. What is known is left out of the text that is read again, line for line, so that places stay
true; where anything is not as expected, nothing is known and everything is read. So there is one
way in which problems are found, and it is the same for a start and a reload.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cbmon.config.nodes import Block, Items
from cbmon.config.reader import MAX_BYTES, MAX_NODES, Trail

if TYPE_CHECKING:
    from cbmon.config.model import CheckConfig

_KEY: Final = b"\nchecks:"
_HEAD: Final = re.compile(rb"\nchecks:[ \t]*(?:#[^\n]*)?\r?\n(?:[ \t]*(?:#[^\n]*)?\r?\n)*")
_FIRST: Final = re.compile(rb"( *)-[ \r\n]")
_END: Final = re.compile(rb"\n[^ \t#\r\n]")
_END_FLUSH: Final = re.compile(rb"\n(?:[^ \t#\r\n-]|-[^ \r\n])")
"""The same for a list that is not indented, in which a line may begin with its dash."""
_OTHER_BREAKS: Final = (b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9")
"""What YAML takes for the end of a line, too: lines are not counted by line feeds then."""
_VALUES: Final = (b":", b",", b"-", b"[", b"{", b"?")
"""Each value of a text without aliases comes with one of these: their number is a bound."""
_SECTIONS: Final = ("global", "defaults", "templates")
"""What checks are made from besides their own text."""


class OutdatedError(Exception):
    """What is known does not go together with the rest any more; all has to be read."""


@dataclass(slots=True)
class Cut:
    """A file in three: what stands before its checks, the text of each, and what comes after."""

    head: bytes
    texts: list[bytes]
    tail: bytes

    def lines(self) -> Iterator[int]:
        """The first line of each text, and at last that of the tail; counted from 0."""
        first = self.head.count(b"\n")
        return accumulate((text.count(b"\n") for text in self.texts), initial=first)

    def is_read_as(self, root: Block, places: Sequence[int]) -> bool:
        """Whether a check begins at each of these places and nowhere else, and the tail as a
        section: then each text holds one whole check, whatever stands before and after it."""
        checks = root.get("checks")
        lines = [*self.lines()]
        sections = {key.line for key, _ in root.places.values()}
        return (
            isinstance(checks, Items)
            and [mark.line for mark in checks.places] == [lines[place] for place in places]
            and (not self.tail or lines[-1] in sections)
        )


def cut(data: bytes) -> Cut | None:
    """Cut a file at its checks; None when it has them otherwise than as a list of blocks."""
    whole = b"\n" + data  # so that every line stands behind a line feed
    key = whole.find(_KEY)
    head = _HEAD.match(whole, key) if key >= 0 else None
    first = _FIRST.match(whole, head.end()) if head else None
    if head is None or first is None or whole.find(_KEY, key + 1) >= 0:
        return None
    if data.count(b"\r") != data.count(b"\r\n") or any(each in data for each in _OTHER_BREAKS):
        return None
    begin, indent = head.end() - 1, first[1]
    found = (_END if indent else _END_FLUSH).search(whole, begin)
    end = found.start() + 1 if found else len(whole)
    dashes = re.compile(rb"\n%b-(?=[ \r\n])" % indent)
    starts = [match.start() + 1 for match in dashes.finditer(whole, begin, end)]
    texts = [whole[one:other] for one, other in pairwise([*starts, end])]
    return Cut(whole[1 : begin + 1], texts, whole[end:])


@dataclass(slots=True)
class Reading:
    """A file as it is to be read: ``data`` without what is known of its checks.

    ``known`` has what is known of each check, None for one that ``data`` holds.
    """

    data: bytes
    sheet: Cut | None = None
    keys: list[bytes] = field(default_factory=list)
    known: list[CheckConfig | None] = field(default_factory=list)
    trail: Trail = field(default_factory=Trail)

    def fits(self, root: Block | None) -> bool:
        """Whether what was left out may be put in again."""
        if self.sheet is None or not any(self.known):
            return True
        left = [place for place, known in enumerate(self.known) if known is None]
        out = zip(self.sheet.texts, self.known, strict=True)
        text = b"".join(text for text, known in out if known is not None)
        values = self.trail.nodes + len(self.known) + sum(map(text.count, _VALUES))
        return root is not None and values <= MAX_NODES and self.sheet.is_read_as(root, left)

    def learn(self, root: Block, made: Sequence[CheckConfig | None]) -> dict[bytes, CheckConfig]:
        """What is known from now on. ``made`` has what became of each check; None for one that
        has to be looked at each time."""
        sheet = self.sheet
        if sheet is None or len(made) != len(sheet.texts):
            return {}
        left = [place for place, known in enumerate(self.known) if known is None]
        if not sheet.is_read_as(root, left):
            return {}
        ties = sorted(self.trail.ties)
        before = [bisect_left(ties, line) for line in sheet.lines()]  # how many come before it
        return {
            key: check
            for key, check, (tied, then) in zip(self.keys, made, pairwise(before), strict=True)
            if check is not None and tied == then
        }


class Memory:
    """The checks that are known, and what they were made from."""

    def __init__(self) -> None:
        self.checks: dict[bytes, CheckConfig] = {}
        self.variables: dict[str, str | None] = {}
        """Those that were asked for, None for one that is not set."""
        self.sections = b""

    def reading(self, data: bytes, directory: Path) -> Reading:
        """A file as it is to be read.

        Of the texts that are known, those are left out that stand behind another known one: what
        is read has to end where the text ends, and the next one shows it.
        """
        sheet = cut(data) if len(data) <= MAX_BYTES else None
        if sheet is None:
            return Reading(data)
        name = str(directory.absolute()).encode("utf-8", "surrogateescape")
        seed = blake2b(name + b"\0", digest_size=16)
        keys = [_key(seed, text) for text in sheet.texts]
        known = [self.checks.get(key) for key in keys]
        shown = [place for place, one in enumerate(known) if one is None]
        for place in [-1, *shown]:
            if place + 1 < len(known):
                known[place + 1] = None
        parts = [
            text if one is None else b"#\n" * text.count(b"\n")
            for text, one in zip(sheet.texts, known, strict=True)
        ]
        short = b"".join([sheet.head, *parts, sheet.tail])
        return Reading(short, sheet, keys, known)


def _key(seed: blake2b, text: bytes) -> bytes:
    mixed = seed.copy()
    mixed.update(text)
    return mixed.digest()


def sections_of(roots: Sequence[Block]) -> bytes:
    """A digest of what checks are made from besides their own text."""
    said = repr([[root.get(key) for key in _SECTIONS] for root in roots])
    return blake2b(said.encode("utf-8", "surrogatepass")).digest()
