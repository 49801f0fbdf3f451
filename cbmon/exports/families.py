"""Leaves metric families out of a rendered exposition.

Rule: ten thousand checks are tens of megabytes, and a thread that searches or copies them in one
go holds up the event loop as well. So only the rare ``#`` is looked for, and nothing is copied
that can be written as it lies. Every family begins with its HELP line, as the daemon renders them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from pydantic import StringConstraints

HEAD: Final = b"# HELP "
_LINE_FEED: Final = ord("\n")

FamilyPrefix = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
"""The beginning of a metric's name, or all of it."""


def without(text: bytes, prefixes: Sequence[str]) -> bytes:
    """The exposition without the families whose name begins with one of ``prefixes``."""
    return b"".join(kept(text, prefixes)) if prefixes else text


def kept(text: bytes, prefixes: Sequence[str]) -> list[memoryview]:
    """The parts of the exposition that :func:`without` leaves, as they lie in it."""
    unwanted = tuple(prefix.encode() for prefix in prefixes)
    whole = memoryview(text)
    parts = []
    position = 0
    for start, end in _families(text):
        if text.startswith(unwanted, start + len(HEAD)):
            parts.append(whole[position:start])
            position = end
    parts.append(whole[position:])
    return [part for part in parts if part]


def _families(text: bytes) -> Iterator[tuple[int, int]]:
    start = -1
    for head in _heads(text):
        if start >= 0:
            yield start, head
        start = head
    if start >= 0:
        yield start, len(text)


def _heads(text: bytes) -> Iterator[int]:
    at = text.find(b"#")
    while at >= 0:
        if text.startswith(HEAD, at) and (at == 0 or text[at - 1] == _LINE_FEED):
            yield at
        at = text.find(b"#", at + 1)
