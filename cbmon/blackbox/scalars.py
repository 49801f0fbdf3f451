"""Scalars as Go's YAML reader takes them when it fills a typed field.

Rule: a plain scalar keeps its text (:class:`Plain`), because the field decides what it is: the
text ``010`` is a name in one place and the number 8 in another.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str", "!!str"})
_BINARY: Final = "tag:yaml.org,2002:binary"
_TYPED: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null"))


class Plain(str):
    """The text of a scalar that was not quoted."""

    __slots__ = ()


def scalar(text: str, plain: bool, tag: str | None) -> object:
    """None, :class:`Plain` or text; ValueError for a tag that no field of a module has.

    ``!!binary`` gives its bytes as text, one character for each (``surrogateescape``).
    """
    if tag == _BINARY:
        try:
            data = base64.b64decode("".join(text.split()), validate=True)
            return data.decode(errors="surrogateescape")
        except binascii.Error:
            raise ValueError("!!binary expects base64") from None
    if tag in _TAGS:
        return text
    if tag is None or tag in _TYPED:
        if not plain:
            return text
        return None if text in _NULLS else Plain(text)
    raise ValueError(f"the tag {tag} is not supported")
