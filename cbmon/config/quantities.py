"""Field types for durations, ratios, sizes and paths.

Rule: one unit inside (seconds, a ratio from 0 to 1, bytes, an absolute path), whatever is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from cbmon.config import units
from cbmon.config.secrets import portable, resolved
from cbmon.config.words import shown


def _duration(value: object) -> float:
    seconds = units.parse_duration(value)
    if seconds == 0:
        raise ValueError("expected a duration longer than 0")
    return seconds


def _duration_schema(*, zero: bool) -> WithJsonSchema:
    number = {"type": "number", "minimum" if zero else "exclusiveMinimum": 0}
    text = {"type": "string", "pattern": units.DURATION_PATTERN}
    return WithJsonSchema({"anyOf": [text, number], "x-unit": "duration"})


_SPELLED_DURATION: Final = PlainSerializer(units.format_duration, str, when_used="json")

Duration = Annotated[
    float, BeforeValidator(_duration), _SPELLED_DURATION, _duration_schema(zero=False)
]
"""Seconds, more than 0: ``500ms``, ``30s``, ``1h30m``, ``7d``, or a number of seconds."""

ZeroOrMore = Annotated[
    float, BeforeValidator(units.parse_duration), _SPELLED_DURATION, _duration_schema(zero=True)
]
"""Seconds like :data:`Duration`, where 0 means something too."""

Ratio = Annotated[
    float,
    BeforeValidator(units.parse_ratio),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": units.RATIO_PATTERN},
            ],
            "x-unit": "ratio",
        }
    ),
]
"""A ratio from 0 to 1: ``0.4`` or ``40%``."""

Size = Annotated[
    int,
    BeforeValidator(units.parse_size),
    PlainSerializer(units.format_size, str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": units.SIZE_PATTERN},
                {"type": "integer", "minimum": 0},
            ],
            "x-unit": "size",
        }
    ),
]
"""Bytes: ``1MiB`` is 1024², ``1MB`` is 1000², a bare number is bytes."""


def _local_path(value: object, info: core_schema.ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"expected a path, got {shown(value)}")
    return resolved(value, info)


class _LocalPath:
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _local_path,
            serialization=core_schema.plain_serializer_function_ser_schema(
                portable, info_arg=True, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "format": "path", "minLength": 1}


LocalPath = Annotated[Path, _LocalPath]
"""A file or directory of this machine, relative to the configuration file that names it."""
