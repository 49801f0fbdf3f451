"""The API of run-time settings: for one breaker, and the defaults for all.

Rule: a body holds just the fields to set; what it does not name comes from the layers below. An
answer always says where every value comes from. A wrong body changes nothing and is told all
that is wrong with it; who edits what he has not seen is told that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from math import ceil
from typing import Any, Final

from aiohttp import hdrs, web

from cbmon.model import Category
from cbmon.settings import FIELDS, SettingsError, as_json
from cbmon.settings.layers import Source
from cbmon.settings.sheet import Sheet, StaleError, TooManyChangesError, UnseenError
from cbmon.web import query as q
from cbmon.web.auth import Role
from cbmon.web.edge import answer
from cbmon.web.errors import ApiError, not_found
from cbmon.web.keys import SERVICES
from cbmon.web.requests import author_of
from cbmon.web.route import API, Route
from cbmon.web.services import Services
from cbmon.web.views import timestamp

JsonObject = dict[str, Any]


async def show(request: web.Request) -> web.Response:
    """What is set, and what is in force."""
    q.parameters(request, ())
    async with _refusals(request) as name:
        sheet = request.app[SERVICES].settings.sheet(name)
    if request.headers.get(hdrs.IF_NONE_MATCH) == sheet.tag:
        return web.Response(status=304, headers={hdrs.ETAG: sheet.tag})
    return _answer(request, sheet)


async def put(request: web.Request) -> web.Response:
    """Set just this; with ``dry_run`` only say what would hold."""
    query = q.parameters(request, ("dry_run",))
    given = await q.json_object(request)
    reason = q.reason(given)
    given.pop("reason", None)
    settings = request.app[SERVICES].settings
    async with _refusals(request) as name:
        if q.one_of(query, "dry_run", ("true", "false")) == "true":
            effective = settings.check(name, given)
            sheet = settings.sheet(name)
            fields = sheet.fields if effective is None else effective.override
            return answer(_shown(request, sheet, effective=effective, fields=fields))
        tag = request.headers.get(hdrs.IF_MATCH)
        return _answer(
            request, await settings.put(name, given, author_of(request, reason), tag=tag)
        )


async def remove(request: web.Request) -> web.Response:
    """Set nothing: back to the layers below."""
    reason = q.reason(q.parameters(request, ("reason",)))
    tag = request.headers.get(hdrs.IF_MATCH)
    async with _refusals(request) as name:
        settings = request.app[SERVICES].settings
        return _answer(request, await settings.remove(name, author_of(request, reason), tag=tag))


async def differences(request: web.Request) -> web.Response:
    """Every value in force that is not what the YAML says."""
    q.parameters(request, ())
    found = request.app[SERVICES].settings.differences()
    return answer(
        {
            "differences": [
                {
                    "name": one.name,
                    "field": one.field,
                    "value": as_json(one.value),
                    "yaml": as_json(one.yaml),
                    "source": one.source.value,
                }
                for one in found
            ]
        }
    )


@asynccontextmanager
async def _refusals(request: web.Request) -> AsyncIterator[str | None]:
    """Gives the breaker's name, None for all; turns what speaks against it into answers."""
    name = request.match_info.get("name")
    try:
        yield name
    except KeyError:
        raise _not_here(request, str(name)) from None
    except SettingsError as error:
        count = len(error.problems)
        raise ApiError(
            422,
            "invalid_settings",
            f"{count} problem{'' if count == 1 else 's'} with these settings; nothing was changed",
            details={"problems": [problem.as_json() for problem in error.problems]},
        ) from error
    except StaleError as error:
        message = f"{error}; read them again, then send their ETag as If-Match"
        raise ApiError(412, "precondition_failed", message) from error
    except UnseenError as error:
        raise ApiError(
            428,
            "precondition_required",
            f"{error}; a body is all that is to be set: name these too, "
            f"or send the ETag of what you have seen (or *) as If-Match",
            details={"unset": list(error.lost)},
        ) from error
    except TooManyChangesError as error:
        raise too_many(error) from error


def too_many(error: TooManyChangesError) -> ApiError:
    """The answer to who changes too much, which puts it on record."""
    seconds = ceil(error.retry_after)
    return ApiError(
        429,
        "too_many_changes",
        f"{error}; try again in {seconds} s",
        headers={hdrs.RETRY_AFTER: str(seconds)},
    )


def _not_here(request: web.Request, name: str) -> ApiError:
    """Of a breaker that is none, or that has its settings elsewhere."""
    try:
        category = request.app[SERVICES].component(name).info.category
    except KeyError:
        return not_found(f"no check or export is named {name!r}", name=name)
    message = f"{name!r} is a breaker {ELSEWHERE[category]}; it cannot be changed here"
    return ApiError(409, "settings_elsewhere", message, details={"name": name})


def _answer(request: web.Request, sheet: Sheet) -> web.Response:
    response = answer(_shown(request, sheet, effective=sheet.effective, fields=sheet.fields))
    response.headers[hdrs.ETAG] = sheet.tag
    return response


def _shown(
    request: web.Request, sheet: Sheet, *, effective: Any, fields: Mapping[str, Any]
) -> JsonObject:
    common = {
        "settings": _plain(fields),
        "changed_at": timestamp(sheet.changed_at),
        "changed_by": sheet.changed_by,
        "refused": [problem.as_json() for problem in sheet.refused],
    }
    if effective is None:
        overrides = _overrides(request.app[SERVICES])
        return {**common, "overrides": overrides, "waiting": list(sheet.waiting)}
    values = {name: getattr(effective.policy, name) for name in FIELDS}
    return {
        "name": sheet.name,
        **common,
        "effective": _plain(values),
        "yaml": _plain({name: getattr(effective.yaml, name) for name in FIELDS}),
        "sources": {name: effective.source(name).value for name in FIELDS},
    }


def _overrides(services: Services) -> list[str]:
    """The breakers that have settings of their own."""
    own = Source.OVERRIDE.value
    return [view.info.name for view in services.components() if own in view.sources.values()]


def _plain(fields: Mapping[str, Any]) -> JsonObject:
    return {name: as_json(value) for name, value in fields.items()}


ELSEWHERE: Final[Mapping[Category, str]] = {
    Category.APP: "inside an application, whose code has its settings",
    Category.RECEIVER: "of a receiver, whose settings are in the configuration",
    Category.CHECK: "of a check that is being removed",
    Category.EXPORT: "of an export that is being removed",
}
_ONE: Final = f"{API}/breakers/{{name}}/settings"
_ALL: Final = f"{API}/config/breaker"
_CHANGE: Final = (400, 412, 422, 428, 429, 503)
ROUTES: Final[tuple[Route, ...]] = (
    Route(
        path=_ONE,
        handler=show,
        summary="A breaker's own settings, what is in force, and where each value comes from",
        answer="BreakerSettings",
        errors=(400, 404, 409),
    ),
    Route(
        method="PUT",
        path=_ONE,
        handler=put,
        role=Role.ADMIN,
        summary="Set a breaker's own settings, all of them; in force at once, state kept",
        answer="BreakerSettings",
        errors=(*_CHANGE, 404, 409),
        query=("dry_run",),
        body_schema="SettingsBody",
        headers=("If-Match",),
    ),
    Route(
        method="DELETE",
        path=_ONE,
        handler=remove,
        role=Role.ADMIN,
        summary="Take a breaker's own settings away: back to the defaults and the YAML",
        answer="BreakerSettings",
        errors=(400, 404, 409, 412, 429, 503),
        query=("reason",),
        headers=("If-Match",),
    ),
    Route(
        path=_ALL,
        handler=show,
        summary="The defaults for all breakers that are set in the database",
        answer="DefaultSettings",
        errors=(400,),
    ),
    Route(
        method="PUT",
        path=_ALL,
        handler=put,
        role=Role.ADMIN,
        summary="Set the defaults for all breakers, all of them; above the YAML",
        answer="DefaultSettings",
        errors=_CHANGE,
        query=("dry_run",),
        body_schema="SettingsBody",
        headers=("If-Match",),
    ),
    Route(
        method="DELETE",
        path=_ALL,
        handler=remove,
        role=Role.ADMIN,
        summary="Take the defaults for all breakers away: back to the YAML",
        answer="DefaultSettings",
        errors=(400, 412, 429, 503),
        query=("reason",),
        headers=("If-Match",),
    ),
    Route(
        path=f"{API}/config/diff",
        handler=differences,
        summary="Every value in force that is not what the YAML says",
        answer="Differences",
        errors=(400,),
    ),
)
