"""Leaves metric families out of a rendered exposition.

Rule: works on the bytes, family by family, at the speed of a search: ten thousand checks are tens
of megabytes. Every family begins with its HELP line, as the daemon renders them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from pydantic import StringConstraints

HEAD: Final = b"# HELP "

FamilyPrefix = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
"""The beginning of a metric's name, or all of it."""


def without(text: bytes, prefixes: Sequence[str]) -> bytes:
    """The exposition without the families whose name begins with one of ``prefixes``."""
    cuts = sorted(cut for prefix in prefixes for cut in _found(text, prefix.encode()))
    if not cuts:
        return text
    kept = []
    position = 0
    for start, end in cuts:
        if start > position:
            kept.append(text[position:start])
        position = max(position, end)
    kept.append(text[position:])
    return b"".join(kept)


def _found(text: bytes, prefix: bytes) -> Iterator[tuple[int, int]]:
    needle = HEAD + prefix
    if text.startswith(needle):
        yield 0, _end(text, 0)
    at = text.find(b"\n" + needle)
    while at >= 0:
        end = _end(text, at + 1)
        yield at + 1, end
        at = text.find(b"\n" + needle, end - 1)


def _end(text: bytes, start: int) -> int:
    following = text.find(b"\n" + HEAD, start)
    return len(text) if following < 0 else following + 1
