"""The shapes of the API's answers, as JSON Schema (the dialect of OpenAPI 3.1).

Rule: every field that :mod:`cbmon.web.views` shows is here and the other way round; a test sends
real answers through these schemas.
"""

from __future__ import annotations

from typing import Any, Final

from cbmon.breaker import State
from cbmon.model import Category, MessageState, Reason, SkipCause
from cbmon.settings import Source
from cbmon.web import result_schema, setting_schema

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
TIME: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
MAYBE_TEXT: Final[Schema] = {"type": ["string", "null"]}
MAYBE_NUMBER: Final[Schema] = {"type": ["number", "null"]}
NAMES: Final[Schema] = {"type": "array", "items": TEXT}
PERCENTAGE: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 100}
LABELS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
ANYTHING: Final[Schema] = {"type": "object"}
YES_OR_NO: Final[Schema] = {"type": "string", "enum": ["true", "false"]}
MOMENT: Final[Schema] = {
    "type": "string",
    "anyOf": [{"format": "date-time"}, {"pattern": r"^[0-9]{1,12}(\.[0-9]{1,6})?$"}],
}
OUTCOME: Final[Schema] = {"type": "string", "enum": [state.value for state in MessageState]}
STATE: Final[Schema] = {"type": "string", "enum": [state.value for state in State]}
SOURCE: Final[Schema] = {"type": "string", "enum": [source.value for source in Source]}
CATEGORY: Final[Schema] = {"type": "string", "enum": [item.value for item in Category]}


def ref(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(name: str, of: str, **more: Schema) -> Schema:
    """One page of a list."""
    return closed({name: {"type": "array", "items": ref(of)}, **more, "next_cursor": MAYBE_TEXT})


def closed(properties: dict[str, Schema]) -> Schema:
    """An object that has exactly these fields, all of them."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


CHANGED: Final[dict[str, Schema]] = {
    "changed_at": TIME,
    "changed_by": MAYBE_TEXT,
    "refused": {"type": "array", "items": ref("SettingsProblem")},
}
SCHEMAS: Final[dict[str, Schema]] = {
    "Error": closed(
        {"error": closed({"code": TEXT, "message": TEXT, "details": ANYTHING})},
    ),
    "Summary": closed(
        {
            "status": {"type": "string", "enum": ["ok", "degraded", "down"]},
            "health_percentage": PERCENTAGE,
            "breakers": closed({"total": COUNT, **{state.value: COUNT for state in State}}),
            "open": NAMES,
            "half_open": NAMES,
            "disabled": NAMES,
            "by_category": {"type": "object", "additionalProperties": ref("Category")},
            "version": TEXT,
            "started_at": TIME,
            "now": TIME,
        }
    ),
    "Category": {
        "type": "object",
        "properties": {
            "total": COUNT,
            "healthy": COUNT,
            "health_percentage": PERCENTAGE,
            **{state.value: COUNT for state in State},
        },
        "required": ["total", "healthy", "health_percentage"],
        "additionalProperties": False,
    },
    "Breaker": closed(
        {
            "name": TEXT,
            "category": CATEGORY,
            "kind": TEXT,
            "state": STATE,
            "state_value": {"type": "number", "enum": [0, 0.5, 1]},
            "is_available": FLAG,
            "failure_count": COUNT,
            "success_count": COUNT,
            "last_failure_at": TIME,
            "last_failure_reason": MAYBE_TEXT,
            "last_error": MAYBE_TEXT,
            "opened_at": TIME,
            "retry_after_seconds": MAYBE_NUMBER,
            "timeout_remaining": MAYBE_NUMBER,
            "failure_cycle_count": COUNT,
            "max_failure_cycles": COUNT,
            "auto_disable": closed(
                {
                    "enabled": FLAG,
                    "auto_disabled_at": TIME,
                    "auto_disabled_reason": MAYBE_TEXT,
                    "can_auto_enable": FLAG,
                }
            ),
            "metrics": closed(
                {
                    "total_calls": COUNT,
                    "successful_calls": COUNT,
                    "failed_calls": COUNT,
                    "rejected_calls": COUNT,
                    "slow_calls": COUNT,
                    "trips": COUNT,
                    "success_ratio": MAYBE_NUMBER,
                    "consecutive_failures": COUNT,
                }
            ),
            "last_transition_at": TIME,
            "explanation": TEXT,
            "policy": ANYTHING,
            "policy_sources": {"type": "object", "additionalProperties": SOURCE},
            "tags": NAMES,
            "labels": LABELS,
            "depends_on": NAMES,
        }
    ),
    "Breakers": many("breakers", "Breaker", total=COUNT),
    "Available": closed(
        {
            "name": TEXT,
            "state": STATE,
            "is_available": FLAG,
            "retry_after_seconds": MAYBE_NUMBER,
        }
    ),
    "Result": closed(
        {
            "ok": FLAG,
            "duration_seconds": NUMBER,
            "reason": {"enum": [*(reason.value for reason in Reason), None]},
            "error": MAYBE_TEXT,
            "phases": {"type": "object", "additionalProperties": NUMBER},
            "certificate_expires_at": TIME,
            "facts": ANYTHING,
        }
    ),
    "Check": closed(
        {
            "name": TEXT,
            "type": TEXT,
            "group": TEXT,
            "target": TEXT,
            "tags": NAMES,
            "labels": LABELS,
            "depends_on": NAMES,
            "interval_seconds": NUMBER,
            "timeout_seconds": NUMBER,
            "state": STATE,
            "active": FLAG,
            "up": {"type": ["boolean", "null"]},
            "last_run_at": TIME,
            "last_success_at": TIME,
            "next_run_in_seconds": MAYBE_NUMBER,
            "last": {"anyOf": [ref("Result"), {"type": "null"}]},
        }
    ),
    "Checks": many("checks", "Check", total=COUNT),
    "Run": closed(
        {
            "name": TEXT,
            "ran": FLAG,
            "skipped": {"enum": [*(cause.value for cause in SkipCause), None]},
            "result": {"anyOf": [ref("Result"), {"type": "null"}]},
            "state": STATE,
        }
    ),
    "Event": {
        "type": "object",
        "properties": {
            "id": TEXT,
            "kind": TEXT,
            "at": TIME,
            "component": TEXT,
            "from_state": STATE,
            "to_state": STATE,
            "cause": TEXT,
            "text": TEXT,
            "reason": MAYBE_TEXT,
            "last_error": MAYBE_TEXT,
            "duration_seconds": NUMBER,
            "actor": MAYBE_TEXT,
            "action": TEXT,
            "refused": MAYBE_TEXT,
            "request": MAYBE_TEXT,
            "details": ANYTHING,
            "incident": MAYBE_TEXT,
            "incident_started_at": TIME,
        },
        "required": ["id", "kind", "at", "component"],
    },
    "Events": many("events", "Event"),
    "ResetAll": closed(
        {
            "reset": COUNT,
            "left": {"type": "array", "items": closed({"name": TEXT, "why": TEXT})},
        }
    ),
    "SettingsBody": setting_schema.body(),
    "SettingsProblem": closed(
        {
            "field": TEXT,
            "value": {},
            "expected": TEXT,
            "breaker": MAYBE_TEXT,
            "message": TEXT,
        }
    ),
    "BreakerSettings": closed(
        {
            "name": TEXT,
            "settings": ANYTHING,
            "effective": ANYTHING,
            "yaml": ANYTHING,
            "sources": {"type": "object", "additionalProperties": SOURCE},
            **CHANGED,
        }
    ),
    "DefaultSettings": closed(
        {"settings": ANYTHING, "overrides": NAMES, "waiting": NAMES, **CHANGED}
    ),
    "Differences": closed(
        {
            "differences": {
                "type": "array",
                "items": closed(
                    {"name": TEXT, "field": TEXT, "value": {}, "yaml": {}, "source": SOURCE}
                ),
            }
        }
    ),
    "AuditEntry": closed(
        {
            "seq": COUNT,
            "id": TEXT,
            "at": TIME,
            "component": TEXT,
            "action": TEXT,
            "actor": TEXT,
            "text": TEXT,
            "refused": MAYBE_TEXT,
            "request": MAYBE_TEXT,
            "details": ANYTHING,
            "hash": TEXT,
        }
    ),
    "Audit": many("audit", "AuditEntry"),
    "AuditReport": closed(
        {
            "ok": FLAG,
            "rows": COUNT,
            "first_seq": COUNT,
            "head": TEXT,
            "broken": {
                "anyOf": [closed({"seq": COUNT, "id": MAYBE_TEXT, "why": TEXT}), {"type": "null"}]
            },
        }
    ),
    "Anything": ANYTHING,
    "Session": closed(
        {
            "name": TEXT,
            "role": {
                "type": "string",
                "enum": ["nobody", "reporter", "viewer", "operator", "admin"],
            },
            "anonymous": FLAG,
            "logged_in": FLAG,
            "can_log_in": FLAG,
        }
    ),
    "TargetGroups": {
        "type": "array",
        "items": closed({"targets": NAMES, "labels": LABELS}),
    },
    "Heartbeat": closed({"ok": FLAG, "heard": TEXT}),
    "AppReport": {
        "type": "object",
        "description": "Other fields are described in docs/applications.md; unknown ones are "
        "left alone.",
        "properties": {
            "version": {"type": "integer", "const": 1},
            "application": TEXT,
            "process": TEXT,
            "ttl_seconds": {"type": "number", "minimum": 1, "maximum": 7 * 86_400},
            "takes_orders": FLAG,
            "accepts": NAMES,
            "final": FLAG,
            "done": NAMES,
            "breakers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": TEXT, "state": STATE},
                    "required": ["name", "state"],
                },
            },
        },
        "required": ["application"],
    },
    "AppReported": closed(
        {
            "accepted": COUNT,
            "refused": {"type": "array", "items": ref("AppRefusal")},
            "next_report_seconds": NUMBER,
            "orders": {"type": "array", "items": ref("AppOrder")},
        }
    ),
    "AppRefusal": closed({"name": MAYBE_TEXT, "path": TEXT, "message": TEXT}),
    "AppOrders": closed({"orders": {"type": "array", "items": ref("AppOrder")}}),
    "AppOrder": closed(
        {
            "id": TEXT,
            "breaker": TEXT,
            "action": TEXT,
            "actor": TEXT,
            "reason": TEXT,
            "options": ANYTHING,
        }
    ),
    "Notification": closed(
        {
            "id": TEXT,
            "receiver": TEXT,
            "kind": TEXT,
            "incident": TEXT,
            "component": TEXT,
            "outcome": OUTCOME,
            "attempts": COUNT,
            "created_at": TIME,
            "last_error": MAYBE_TEXT,
        }
    ),
    "Notifications": many("notifications", "Notification"),
    "Retried": closed({"id": TEXT, "retried": FLAG}),
    "Tested": closed(
        {
            "receiver": TEXT,
            "integrations": {
                "type": "array",
                "items": closed(
                    {
                        "line": TEXT,
                        "outcome": TEXT,
                        "reason": MAYBE_TEXT,
                        "error": MAYBE_TEXT,
                        "rendered": MAYBE_TEXT,
                    }
                ),
            },
        }
    ),
    "Silence": closed(
        {
            "id": TEXT,
            "matchers": NAMES,
            "starts_at": TIME,
            "ends_at": TIME,
            "author": TEXT,
            "reason": TEXT,
            "created_at": TIME,
            "state": {"type": "string", "enum": ["pending", "active", "expired"]},
        }
    ),
    "ResultPoint": result_schema.POINT,
    "Results": result_schema.PAGE,
    "Silences": many("silences", "Silence"),
    "Discovery": closed(
        {
            "name": TEXT,
            "type": TEXT,
            "source": TEXT,
            "targets": COUNT,
            "checks": COUNT,
            "rejected": {"type": "array", "items": closed({"address": TEXT, "problem": TEXT})},
            "rejected_count": COUNT,
            "last_success_at": TIME,
            "failures": COUNT,
            "error": MAYBE_TEXT,
        }
    ),
    "Discoveries": closed({"discovery": {"type": "array", "items": ref("Discovery")}}),
    "Reload": closed(
        {"ok": FLAG, "added": NAMES, "removed": NAMES, "changed": NAMES, "needs_restart": NAMES}
    ),
    "Ready": closed({"ready": FLAG, "reasons": NAMES}),
}
