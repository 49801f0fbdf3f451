"""The OpenAPI 3.1 document of what exists, made from the route table and the schemas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from cbmon.web import schemas
from cbmon.web.auth import Role
from cbmon.web.edge import answer
from cbmon.web.keys import SERVICES
from cbmon.web.query import LARGEST_PAGE, PAGE
from cbmon.web.route import TABLE, Route

Schema = dict[str, Any]

QUERY: Final[dict[str, tuple[Schema, str]]] = {
    "state": (schemas.STATE, "only breakers in this state"),
    "category": (schemas.CATEGORY, "only breakers that guard this kind of thing"),
    "target": (schemas.TEXT, "what to look at"),
    "module": (schemas.TEXT, "the module that says how; http_2xx without one"),
    "hostname": (schemas.TEXT, "Host header and name in TLS, instead of the target's"),
    "debug": (schemas.TEXT, "true: what happened, metrics and module as text"),
    "id": (schemas.TEXT, "the number of an earlier probe"),
    "tag": (schemas.TEXT, "only those that have this tag"),
    "q": (schemas.TEXT, "only those with this text in name, target, group or a tag"),
    "component": (schemas.TEXT, "only events of this check or export"),
    "receiver": (schemas.TEXT, "only messages for this receiver line, such as oncall/slack"),
    "outcome": (schemas.OUTCOME, "only messages with which this happened"),
    "expired": ({"type": "string", "enum": ["true", "false"]}, "true: those that are over too"),
    "limit": (
        {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE},
        "entries per page",
    ),
    "rid": (schemas.TEXT, "id of the run, to keep runs apart that go on at the same time"),
    "cursor": (schemas.TEXT, "the next_cursor of the page before"),
}
BODY: Final[dict[str, tuple[Schema, str]]] = {
    "reason": (
        {"type": ["string", "null"], "maxLength": 500},
        "why, for the record and for colleagues",
    ),
    "for_seconds": (
        {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 366 * 86_400},
        "wait just that before the first trial",
    ),
    "matchers": (
        {"type": "array", "items": schemas.TEXT, "minItems": 1, "maxItems": 20},
        'what it covers, such as team="shop"; all must hold',
    ),
    "receiver": (schemas.TEXT, "the receiver's name"),
    "dry_run": ({"type": ["boolean", "null"]}, "show the message, send nothing"),
    "hold": ({"type": ["boolean", "null"]}, "keep the state until someone releases it"),
    "reset_counters": (
        {"type": ["boolean", "null"]},
        "begin anew (the default), or go on in half-open with the cycles kept",
    ),
}
ERRORS: Final = {
    400: "the request is wrong; the message says what would do",
    401: "a token is missing or unknown",
    403: "this identity may not do that",
    404: "no such thing",
    409: "the breaker cannot make that move now; nothing changed",
    500: "refused; details.problems lists why",
    503: "not now",
}


def document(routes: Iterable[Route], version: str) -> Schema:
    """The whole document: every route that answers with a schema; pages and metrics do not."""
    paths: dict[str, Schema] = {}
    for route in routes:
        if route.answer is not None:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cbmon",
            "version": version,
            "description": "Circuit breakers around health checks and metrics exports.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas.SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


async def openapi(request: web.Request) -> web.Response:
    """This API, described."""
    routes = request.app[TABLE]
    return answer(document(routes, request.app[SERVICES].version))


def _operation(route: Route) -> Schema:
    names = re.findall(r"{(\w+)}", route.path)
    operation: Schema = {
        "summary": route.summary,
        "operationId": _operation_id(route),
        "description": f"Needs role {route.role.label}.",
        "parameters": [*_path_parameters(names), *_query_parameters(route.query)],
        "responses": _responses(route),
        "security": [{}, {"token": []}] if route.role <= Role.VIEWER else [{"token": []}],
    }
    if route.body:
        operation["requestBody"] = {
            "required": False,
            "content": {"application/json": {"schema": _body(route.body)}},
        }
    return operation


def _operation_id(route: Route) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", route.path.removeprefix("/api/v1").lower()).strip("_")
    return f"{route.method.lower()}_{words}"


def _responses(route: Route) -> Schema:
    success = "Available" if route.answer == "Available" else route.answer
    found = {"200": _response("as asked", str(success))}
    if route.answer in {"Available", "Ready"}:
        found["503"] = _response(ERRORS[503], str(success))
    for status in (*route.errors, 401, 403):
        found.setdefault(str(status), _response(ERRORS[status], "Error"))
    return found


def _response(description: str, schema: str) -> Schema:
    content = {"application/json": {"schema": schemas.ref(schema)}}
    return {"description": description, "content": content}


def _path_parameters(names: Iterable[str]) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {**schemas.TEXT, "minLength": 1}}
        for name in names
    ]


def _query_parameters(names: Iterable[str]) -> list[Schema]:
    return [
        {"name": name, "in": "query", "schema": QUERY[name][0], "description": QUERY[name][1]}
        for name in names
    ]


def _body(fields: Mapping[str, type]) -> Schema:
    properties = {name: {**BODY[name][0], "description": BODY[name][1]} for name in fields}
    return {"type": "object", "properties": properties, "additionalProperties": False}
