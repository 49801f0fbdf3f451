"""The schema of a body of settings, made from the bounds that the engine holds them to.

Rule: nothing is listed here; a new field of the policy is described by itself.
"""

from __future__ import annotations

from typing import Any, Final

from cbmon.breaker.validation import BOUNDS, KINDS, RULES, Bound
from cbmon.config.units import DURATION_PATTERN, RATIO_PATTERN
from cbmon.settings import FIELDS
from cbmon.settings.fields import ALIASES, DURATIONS, RATIOS
from cbmon.web.query import LONGEST_REASON, ONE_LINE

Schema = dict[str, Any]

REASON: Final[Schema] = {
    "type": ["string", "null"],
    "maxLength": LONGEST_REASON,
    "pattern": ONE_LINE,
}
"""Why something is done, in a body."""


def body() -> Schema:
    """Just the fields to set, and the reason."""
    return {
        "type": "object",
        "properties": {
            **{name: of(name) for name in FIELDS},
            **{alias: of(name) for alias, name in ALIASES.items()},
            "reason": REASON,
        },
        "additionalProperties": False,
    }


def of(name: str) -> Schema:
    """What one field may hold."""
    if name == "kind":
        return {"type": "string", "enum": list(KINDS)}
    if name == "adaptive_rules":
        items = {"type": "string", "enum": list(RULES)}
        return {"type": "array", "items": items, "minItems": 1}
    if name not in BOUNDS:
        return {"type": "boolean"}
    forms = [_number(BOUNDS[name])]
    if name in DURATIONS:
        forms.append({"type": "string", "pattern": DURATION_PATTERN})
    if name in RATIOS:
        forms.append({"type": "string", "pattern": RATIO_PATTERN})
    if BOUNDS[name].optional:
        forms.append({"type": "null"})
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _number(bound: Bound) -> Schema:
    found: Schema = {"type": "integer" if bound.type is int else "number"}
    found["exclusiveMinimum" if bound.open_low else "minimum"] = bound.low
    if bound.high is not None:
        found["exclusiveMaximum" if bound.open_high else "maximum"] = bound.high
    return found
