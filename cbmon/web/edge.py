"""The HTTP edge: every error becomes an answer, every answer gets its safety headers.

Rule: the only broad except of the web; what it catches is a fault of ours and is logged with its
traceback, the client learns only that it happened.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web
from aiohttp.web_exceptions import HTTPException

from cbmon.errors import StoreError
from cbmon.web.errors import ApiError
from cbmon.web.ids import REQUEST
from cbmon.web.keys import ACCESS, ERROR_PAGE, HEADERS, LIMITS
from cbmon.web.route import TABLE

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
dumps: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

SAFETY: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Server": "cbmon",
}


DEADLINE: Final[web.RequestKey[asyncio.Timeout]] = web.RequestKey("deadline", asyncio.Timeout)
"""When the handler has to be ready; an answer that goes on for long puts it off."""

MAY_DIFFER: Final = frozenset({"Cross-Origin-Resource-Policy"})
"""What an answer may say itself: a badge is there for the pages of others."""


def answer(data: Any, status: int = 200) -> web.Response:
    """A JSON answer; a half of a character, which no answer can hold, becomes a question mark."""
    body = (dumps(data) + "\n").encode(errors="replace")
    response = web.Response(body=body, status=status, content_type="application/json")
    response.charset = "utf-8"
    return response


async def add_safety(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: what a browser must know of every answer."""
    for name, value in SAFETY.items():
        if name not in MAY_DIFFER or name not in response.headers:
            response.headers[name] = value
    for name, value in request.app[HEADERS].items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")


def errors_to_answers(seconds: float) -> Any:
    """A middleware that gives a handler so many seconds and turns its errors into answers."""

    @web.middleware
    async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            async with asyncio.timeout(seconds) as request[DEADLINE]:
                return await handler(request)
        except ApiError as error:
            return _told(request, error)
        except HTTPException as error:
            if error.status < 400:
                raise
            return _told(request, _from_aiohttp(request, error))
        except StoreError as error:
            log.exception("store is not usable")
            return _told(request, ApiError(503, "store_unavailable", str(error)))
        except TimeoutError:
            return _told(request, ApiError(503, "timeout", f"no answer within {seconds:g} s"))
        except ConnectionError:
            raise
        except Exception:
            log.exception("request failed", extra={"fields": _facts(request)})
            return _told(request, ApiError(500, "internal", "a fault of cbmon; see its log"))

    return edge


def _facts(request: web.Request) -> dict[str, str]:
    return {"path": _pattern(request), "request": request.get(REQUEST, "")}


def prefers_json(request: web.Request) -> bool:
    """Whether a client that may get text or JSON asks for JSON."""
    return "application/json" in request.headers.get("Accept", "")


def _pattern(request: web.Request) -> str:
    """The address without what varies in it: that may be a heartbeat's token."""
    resource = request.match_info.route.resource
    return request.path if resource is None else resource.canonical


def _told(request: web.Request, error: ApiError) -> web.Response:
    if _wants_login(request, error):
        target = quote(request.path_qs, safe="/")
        return web.Response(status=303, headers={"Location": f"/login?next={target}"})
    if request.path.startswith("/api/") or prefers_json(request):
        response = answer(error.body(), error.status)
    elif _is_looked_at(request) and (page := request.app.get(ERROR_PAGE)) is not None:
        response = page(request, error)
    else:
        text = _as_text(error).encode(errors="replace").decode()
        response = web.Response(text=text, status=error.status)
    response.headers.update(error.headers)
    return response


def _is_looked_at(request: web.Request) -> bool:
    """Whether a browser shows the answer to a person."""
    return "text/html" in request.headers.get("Accept", "")


def _wants_login(request: web.Request, error: ApiError) -> bool:
    """Whether a person came to a page without a credential that he could have."""
    return (
        error.status == 401
        and request.method == "GET"
        and not request.path.startswith("/api/")
        and _is_looked_at(request)
        and request.app[ACCESS].credentials.for_people
    )


def _as_text(error: ApiError) -> str:
    lines = [error.message]
    problems = error.details.get("problems")
    if isinstance(problems, (list, tuple)):
        lines = [*(str(problem) for problem in problems), error.message]
    return "\n".join(lines) + "\n"


def _methods(request: web.Request) -> list[str]:
    """What this very address knows, and not one with a name in it that fits, too."""
    methods = {route.method for route in request.app.get(TABLE, ()) if route.path == request.path}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def _from_aiohttp(request: web.Request, error: HTTPException) -> ApiError:
    if error.status == 404:
        return ApiError(404, "not_found", "there is nothing at this address")
    if error.status == 405:
        allowed = _methods(request) or error.headers.get("Allow", "").split(",")
        message = f"{request.method} is not possible here, only {', '.join(allowed)}"
        return ApiError(405, "method_not_allowed", message, headers={"Allow": ",".join(allowed)})
    if error.status == 413:
        most = request.app[LIMITS].body_bytes
        return ApiError(413, "body_too_large", f"a body has at most {most} bytes")
    return ApiError(error.status, "bad_request", error.reason)
