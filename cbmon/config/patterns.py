"""Regular expressions in RE2's syntax.

Rule: compiled when the configuration is loaded, once per pattern; no text can make one hang.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from cbmon.config.words import kind


class Regex:
    """A regular expression in RE2's syntax: linear time, whatever text it is given.

    Texts and bytes may be searched; in bytes it looks for the UTF-8 form. ValueError with RE2's
    own message for a pattern it refuses, such as one with look-ahead or back-references.
    """

    __slots__ = ("_compiled", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._compiled = _compile(pattern)

    def search(self, text: str | bytes | bytearray) -> Any:
        """The first match anywhere in the text (``[n]``, ``.groups()``), or None."""
        return self._compiled.search(text)

    def fullmatch(self, text: str | bytes) -> Any:
        """The match of the whole text, or None."""
        return self._compiled.fullmatch(text)

    @property
    def groups(self) -> int:
        """How many groups a match of it has, besides the whole."""
        return int(self._compiled.groups)

    def __repr__(self) -> str:
        return f"Regex({self.pattern!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Regex) and other.pattern == self.pattern

    def __hash__(self) -> int:
        return hash((Regex, self.pattern))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _regex,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda regex: regex.pattern,
                return_schema=core_schema.str_schema(),
                when_used="json",
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "format": "regex"}


def _regex(value: object) -> Regex:
    if isinstance(value, Regex):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError(
            "cbmon", "expected a regular expression, got {got}", {"got": kind(value)}
        )
    return Regex(value)


@lru_cache(maxsize=4096)
def _compile(pattern: str) -> Any:
    import re2  # noqa: PLC0415 - 2 MB, for those who have a pattern

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        detail = error.args[0]
        text = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        raise ValueError(f"not a regular expression that RE2 accepts: {text}") from None
