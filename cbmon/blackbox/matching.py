"""Patterns on bytes, and templates filled from what matched, as Go has both.

Rule: a byte that is no UTF-8 counts as one character, which ``.`` matches; a template's ``$1x``
is the group named ``1x``, and a group that does not exist is empty.
"""

from __future__ import annotations

import re
from typing import Any, Final

from cbmon.config.fields import Regex

_STRAY: Final = re.compile("[\udc80-\udcff]")
_GROUP: Final = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")


class Found:
    """A match: the text of its groups."""

    def __init__(self, match: Any, text: str) -> None:
        self._match = match
        self._text = text

    def group(self, name: str) -> str:
        """The group of that number or name; empty if there is none or it took no part."""
        if name.isascii() and name.isdigit():
            number = int(name) if name == "0" or name[0] != "0" else -1
            if not 0 <= number <= self._match.re.groups:
                return ""
            return self._slice(number)
        number = self._match.re.groupindex.get(name, -1)
        return self._slice(number) if number >= 0 else ""

    def expand(self, template: str) -> str:
        """The template with ``$name``, ``${name}`` and ``$$`` replaced; other dollars stay."""
        return _GROUP.sub(lambda one: one[1] or self.group(one[2] or one[3]), template)

    def _slice(self, number: int) -> str:
        begin, end = self._match.span(number)
        return self._text[begin:end] if begin >= 0 else ""


def search(pattern: Regex, text: bytes | str) -> Found | None:
    """The first match; the groups hold the bytes as they are (``surrogateescape``)."""
    if isinstance(text, bytes):
        text = text.decode(errors="surrogateescape")
    match = pattern.search(clean(text))
    return None if match is None else Found(match, text)


def clean(text: str) -> str:
    """The text with one U+FFFD for each byte that is no UTF-8."""
    return text if text.isascii() else _STRAY.sub("\ufffd", text)
