"""The schema of results in answers."""

from __future__ import annotations

from typing import Any, Final

from cbmon.model import Reason

Schema = dict[str, Any]
SECONDS: Final[Schema] = {"type": "number", "minimum": 0}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
TIME: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
RESOLUTION: Final[Schema] = {"type": "string", "enum": ["raw", "5m", "1h", "1d"]}


def _closed(properties: dict[str, Schema], kind: Any = "object") -> Schema:
    return {
        "type": kind,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


DURATIONS: Final = _closed(
    dict.fromkeys(("min", "mean", "p50", "p95", "max"), SECONDS), ["object", "null"]
)
POINT: Final = _closed(
    {
        "at": TIME,
        "seconds": COUNT,
        "runs": COUNT,
        "failures": COUNT,
        "reasons": {
            "type": "object",
            "propertyNames": {"enum": [reason.value for reason in Reason]},
            "additionalProperties": {"type": "integer", "minimum": 1},
        },
        "up_seconds": SECONDS,
        "down_seconds": SECONDS,
        "uptime": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "duration_seconds": DURATIONS,
    }
)
PAGE: Final = _closed(
    {
        "name": {"type": "string"},
        "resolution": RESOLUTION,
        "since": TIME,
        "until": TIME,
        "results": {"type": "array", "items": {"$ref": "#/components/schemas/ResultPoint"}},
        "total": {"$ref": "#/components/schemas/ResultPoint"},
        "next_cursor": {"type": ["string", "null"]},
    }
)
