"""Logging in and out with a browser.

Rule: a form, a cookie and a redirect, without a script. A wrong name, a wrong password and a wrong
token are told alike.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from cbmon.settings.sheet import Author
from cbmon.web import query as q
from cbmon.web import sessions
from cbmon.web.access import Access, identity
from cbmon.web.auth import Identity
from cbmon.web.edge import answer
from cbmon.web.errors import ApiError, bad_request
from cbmon.web.ids import REQUEST
from cbmon.web.keys import ACCESS, LIMITS, SERVICES
from cbmon.web.rendering import template_of
from cbmon.web.sessions import SESSION
from cbmon.web.sites import arrived_locally, client_of, is_secure
from cbmon.web.throttle import network_of

LONGEST: Final = 4096
"""Characters of a field that are looked at."""
WRONG: Final = "That is not right. Check the name and the password or token."


async def form(request: web.Request) -> web.Response:
    """The form, or a word that there is nothing to log in with."""
    query = q.parameters(request, ("next",))
    return _page(request, target=safe_target(query.get("next", "/")))


async def log_in(request: web.Request) -> web.Response:
    """Open a session and go on to where the user wanted to be."""
    access = request.app[ACCESS]
    fields = await _fields(request)
    target = safe_target(fields.get("next", "/"))
    try:
        found, kind, credential = await _who(request, access, fields)
    except ApiError as error:
        access.tell(request, error)
        message = WRONG if error.status != 429 else error.message
        response = _page(request, target=target, problem=message, status=error.status)
        response.headers.update({k: v for k, v in error.headers.items() if k == "Retry-After"})
        return response
    secure = is_secure(request, access.external_url())
    old = sessions.key_in(request, secure=secure)
    if old is not None:
        access.sessions.close(old)
    key, _ = access.sessions.open(found, kind, credential)
    _note(request, "login", found.name, {"with": kind, "client": client_of(request)})
    response = web.Response(status=303, headers={"Location": target})
    sessions.hand_out(response, key, secure=secure)
    return response


async def log_out(request: web.Request) -> web.Response:
    """End the session here and in the browser."""
    access = request.app[ACCESS]
    secure = is_secure(request, access.external_url())
    key = sessions.key_in(request, secure=secure)
    if key is not None and (ended := access.sessions.find(key)) is not None:
        access.sessions.close(key)
        _note(request, "logout", ended.identity.name, {"client": client_of(request)})
    response = web.Response(status=303, headers={"Location": "/login"})
    sessions.take_back(response, secure=secure)
    return response


async def session(request: web.Request) -> web.Response:
    """Who asks, as a page or a script may want to know."""
    q.parameters(request, ())
    found = identity(request)
    return answer(
        {
            "name": found.name,
            "role": found.role.label,
            "anonymous": found.anonymous,
            "logged_in": SESSION in request,
            "can_log_in": request.app[ACCESS].credentials.for_people,
        }
    )


def safe_target(text: str) -> str:
    """A path of ours to go on to; the status page instead of anything else."""
    good = text.startswith("/") and not text.startswith(("//", "/\\")) and "\\" not in text
    return text if good and text.isprintable() and text.isascii() else "/"


def _note(request: web.Request, action: str, name: str, details: dict[str, str]) -> None:
    author = Author(actor=name, request=request.get(REQUEST))
    request.app[SERVICES].record.note(action, author, details=details, flood=True)


async def _fields(request: web.Request) -> dict[str, str]:
    allowed = request.app[LIMITS].body
    if request.content_type != "application/x-www-form-urlencoded":
        raise bad_request("expected a form: application/x-www-form-urlencoded")
    try:
        async with asyncio.timeout(allowed):
            given = await request.post()
    except TimeoutError:
        raise ApiError(408, "timeout", f"the form was not complete within {allowed:g} s") from None
    except ValueError:
        raise bad_request("the form cannot be read") from None
    return {name: str(value)[:LONGEST] for name, value in given.items()}


async def _who(
    request: web.Request, access: Access, fields: dict[str, str]
) -> tuple[Identity, str, bytes]:
    """Who logs in, with what kind of credential; the token's name may be left out."""
    credentials = access.credentials
    name, secret = fields.get("name", "").strip(), fields.get("password", "")
    client = network_of(client_of(request))
    token = await credentials.token(secret.strip())
    if token is not None and name in {"", token.identity.name}:
        return token.identity, "token", token.digest
    if credentials.passwords:
        found, credential = await credentials.by_password(request, name, secret, client)
        return found, "password", credential
    raise credentials.wrong_token(request, client)


def _page(
    request: web.Request, *, target: str, problem: str = "", status: int = 200
) -> web.Response:
    access = request.app[ACCESS]
    clear = not arrived_locally(request) and not is_secure(request, access.external_url())
    text = template_of("login.html").render(
        target=target,
        problem=problem,
        clear=clear,
        possible=access.credentials.for_people,
        who=None if identity(request).anonymous else identity(request),
        version=request.app[SERVICES].version,
    )
    return web.Response(text=text, status=status, content_type="text/html")
