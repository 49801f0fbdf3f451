"""The OpenAPI 3.1 document of every address, made from the route table and the schemas.

Rule: nothing is described by hand that the router does not have, and nothing the router has is
left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from cbmon.web import schemas
from cbmon.web.auth import Role
from cbmon.web.edge import answer
from cbmon.web.keys import SERVICES
from cbmon.web.parameters import BODY, HEADERS, QUERY
from cbmon.web.route import API, TABLE, Route

Schema = dict[str, Any]

ERRORS: Final = {
    303: "to another page",
    400: "the request is wrong; the message says what would do",
    401: "a credential is missing, unknown or expired",
    403: "this identity may not do that, or another site's page asks",
    404: "no such thing",
    408: "the body did not arrive in time",
    409: "that is not possible now; nothing changed",
    412: "it has changed since it was read; nothing changed",
    413: "the body is too large",
    415: "the body has another type than expected",
    422: "what is asked for is not valid; nothing changed",
    428: "If-Match is missing",
    429: "too many wrong credentials, changes or requests; Retry-After says when",
    500: "refused; details.problems lists why",
    503: "not now",
}
ALWAYS: Final = (400, 401, 403, 429, 503)
"""What any address may answer."""
WITH_BODY: Final = (408, 413)
SECURITY_SCHEMES: Final[Schema] = {
    "token": {"type": "http", "scheme": "bearer", "description": "One of web.tokens."},
    "user": {
        "type": "http",
        "scheme": "basic",
        "description": "One of basic_auth_users in the web-config file.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "cbmon_session",
        "description": "A login at /login (over TLS the name begins with __Host-). "
        "Changes need the header X-CSRF-Token as well.",
    },
    "certificate": {"type": "mutualTLS", "description": "A verified client certificate."},
}
MEANS: Final[list[Schema]] = [{"token": []}, {"user": []}, {"session": []}, {"certificate": []}]


def document(routes: Iterable[Route], version: str) -> Schema:
    """The whole document."""
    paths: dict[str, Schema] = {}
    for route in routes:
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
        "components": {"schemas": schemas.SCHEMAS, "securitySchemes": SECURITY_SCHEMES},
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
        "tags": [_tag(route)],
        "description": f"Needs role {route.role.label}.",
        "parameters": [
            *_path_parameters(names),
            *_parameters("query", route.query, QUERY, route.needs),
            *_parameters("header", route.headers, HEADERS),
        ],
        "responses": _responses(route),
        "security": [{}, *MEANS] if route.role <= Role.VIEWER or route.local else MEANS,
    }
    body = _request_body(route)
    if body is not None:
        operation["requestBody"] = body
    return operation


def _operation_id(route: Route) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", route.path.removeprefix(API).lower()).strip("_")
    page = "page" if route.media == "text/html" else ""
    return "_".join(part for part in (route.method.lower(), words, page) if part)


def _tag(route: Route) -> str:
    if not route.path.startswith(API):
        return "machines" if route.media != "text/html" else "pages"
    return route.path.removeprefix(API).strip("/").partition("/")[0]


def _responses(route: Route) -> Schema:
    found = {str(route.status): _success(route)}
    if route.answer in {"Available", "Ready"}:
        found["503"] = {**_success(route), "description": ERRORS[503]}
    for status in sorted({*route.errors, *ALWAYS, *(WITH_BODY if _has_body(route) else ())}):
        found.setdefault(str(status), _refusal(route, status))
    return found


def _success(route: Route) -> Schema:
    if route.status in {204, 303}:
        return {"description": ERRORS.get(route.status, "done")}
    if route.answer is None:
        return {
            "description": "as asked",
            "content": {name: {"schema": schemas.TEXT} for name in (route.media, *route.also)},
        }
    content: Schema = {"application/json": {"schema": schemas.ref(route.answer)}}
    if not route.path.startswith(API) and route.media != "application/json":
        content[route.media] = {"schema": schemas.TEXT}
    return {"description": "as asked", "content": content}


def _refusal(route: Route, status: int) -> Schema:
    if status == 303:
        return {"description": ERRORS[303]}
    content: Schema = {"application/json": {"schema": schemas.ref("Error")}}
    if not route.path.startswith(API):
        for name in ("text/plain", *(("text/html",) if route.form else ())):
            content[name] = {"schema": schemas.TEXT}
    described: Schema = {"description": ERRORS[status], "content": content}
    if status == 429:
        described["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 0}}}
    return described


def _path_parameters(names: Iterable[str]) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {**schemas.TEXT, "minLength": 1}}
        for name in names
    ]


def _parameters(
    place: str,
    names: Iterable[str],
    known: Mapping[str, tuple[Schema, str]],
    needs: Iterable[str] = (),
) -> list[Schema]:
    found = []
    for name in names:
        schema, description = known[name]
        parameter: Schema = {"name": name, "in": place, "description": description}
        if name in needs:
            parameter["required"] = True
            schema = {**schema, "minLength": 1}
        found.append({**parameter, "schema": schema})
    return found


def _has_body(route: Route) -> bool:
    return bool(route.body or route.body_schema or route.form)


def _request_body(route: Route) -> Schema | None:
    if route.form:
        schema = {**_body(route), "additionalProperties": True}
        form = {"application/x-www-form-urlencoded": {"schema": schema}}
        return {"required": bool(route.needs), "content": form}
    if route.body_schema is not None:
        named = schemas.ref(route.body_schema)
        return {"required": True, "content": {"application/json": {"schema": named}}}
    if not route.body:
        return None
    content = {"application/json": {"schema": _body(route)}}
    return {"required": bool(route.needs), "content": content}


def _body(route: Route) -> Schema:
    properties = {name: {**BODY[name][0], "description": BODY[name][1]} for name in route.body}
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    needed = [name for name in route.needs if name in properties]
    if needed:
        schema["required"] = needed
    if {"hold", "for_seconds"} <= set(properties):
        both = {"hold": {"const": True}, "for_seconds": {"type": "number"}}
        schema["not"] = {"properties": both, "required": list(both)}
    return schema
