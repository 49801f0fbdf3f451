"""The editor of settings: of one breaker, or the defaults of all.

Rule: an empty field inherits, and says from where; the daemon judges what is typed, while it is
typed and again when it is saved. What somebody else has changed meanwhile is never overwritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from cbmon.breaker import BreakerPolicy
from cbmon.config.breakers import PolicyFields
from cbmon.settings import FIELDS, Effective, SettingsError, as_json, from_text, to_text
from cbmon.settings.fields import DURATIONS
from cbmon.settings.sheet import Sheet, StaleError, TooManyChangesError, UnseenError
from cbmon.web import api, policies
from cbmon.web.confirm import is_ours
from cbmon.web.errors import not_found
from cbmon.web.forms import FieldError, line, read_form
from cbmon.web.keys import ACCESS, SERVICES
from cbmon.web.rendering import page
from cbmon.web.requests import author_of
from cbmon.web.services import ComponentView
from cbmon.web.settings import too_many

SOURCES: Final = {"yaml": "YAML", "database": "defaults", "override": "override"}
CHOICES: Final[Mapping[str, Sequence[str]]] = {
    "kind": ("count", "time", "percentage", "adaptive"),
    "auto_disable_enabled": ("true", "false"),
}
ASKED: Final = frozenset({*FIELDS, "tag", "reason", "intent"})
STALE: Final = (
    "Somebody else changed these settings after this page was loaded. "
    "What you typed is still here; look at what is in force and save again."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One field of the editor."""

    name: str
    label: str
    help: str
    typed: str
    """What is set here, or was typed; empty inherits."""
    inherited: str
    """What holds when it is empty."""
    in_force: str
    source: str
    choices: Sequence[str]
    problem: str
    main: bool
    """It matters for this kind of breaker."""


def sources_of(view: ComponentView) -> dict[str, str]:
    """Where each value in force comes from, by field, in a word."""
    return {field: SOURCES[view.sources.get(field, "yaml")] for field in FIELDS}


async def edit(request: web.Request) -> web.Response:
    """The editor of one breaker."""
    return _editor(request, _name(request))


async def edit_defaults(request: web.Request) -> web.Response:
    """The editor of the defaults, and what differs from YAML."""
    return _editor(request, None)


async def save(request: web.Request) -> web.Response:
    """Check, save or reset the settings of one breaker."""
    return await _save(request, _name(request))


async def save_defaults(request: web.Request) -> web.Response:
    """Check, save or reset the defaults."""
    return await _save(request, None)


def _name(request: web.Request) -> str:
    """The check or export that the path names; ApiError for what has its settings elsewhere."""
    view = api.component(request)
    if not is_ours(view):
        raise not_found(f"{view.info.name!r} has its settings where it is made, not here")
    return view.info.name


async def _save(request: web.Request, name: str | None) -> web.Response:
    fields = await read_form(request, ASKED)
    typed = {field: text for field in FIELDS if (text := fields.get(field, ""))}
    again = partial(_editor, request, name, typed, reason=fields.get("reason", ""))
    settings, intent = request.app[SERVICES].settings, fields.get("intent", "save")
    wrong = 200 if intent == "check" else 422
    given, unread = _given(typed)
    try:
        if unread:
            settings.check(name, given)
            return again(problems=unread, status=wrong)
        author = author_of(request, line(fields, "reason") or None)
        tag = fields.get("tag") or None
        if intent == "check":
            settings.check(name, given)
            return again()
        if intent == "reset":
            await settings.remove(name, author, tag=tag)
        else:
            await settings.put(name, given, author, tag=tag)
    except SettingsError as error:
        problems, general = _sorted(error, name)
        return again(problems={**problems, **unread}, general=general, status=wrong)
    except FieldError as error:
        return again(problems={error.field: error.message}, status=wrong)
    except (StaleError, UnseenError):
        return again(general=[STALE], status=409)
    except TooManyChangesError as error:
        refusal = too_many(error)
        request.app[ACCESS].tell(request, refusal)
        response = again(general=[refusal.message], status=429)
        response.headers.update(refusal.headers)
        return response
    raise web.HTTPSeeOther(
        "/settings?done=settings"
        if name is None
        else f"/components/{quote(name, safe='')}?done=settings"
    )


def _given(typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What the texts mean, as the daemon's check takes it, and those that mean nothing."""
    given, unread = {}, {}
    for field, text in typed.items():
        try:
            given[field] = as_json(from_text(field, text))
        except ValueError as error:
            unread[field] = f"expected {error}"
    return given, unread


def _sorted(error: SettingsError, name: str | None) -> tuple[dict[str, str], list[str]]:
    """Problems by field, and those that belong to none on this page."""
    by_field: dict[str, str] = {}
    general = []
    for problem in error.problems:
        if problem.breaker in {None, name} and problem.field in FIELDS:
            by_field.setdefault(problem.field, f"expected {problem.expected}")
        else:
            general.append(str(problem))
    return by_field, general


def _editor(
    request: web.Request,
    name: str | None,
    typed: Mapping[str, str] | None = None,
    *,
    reason: str = "",
    problems: Mapping[str, str] | None = None,
    general: Iterable[str] = (),
    status: int = 200,
) -> web.Response:
    settings = request.app[SERVICES].settings
    sheet = settings.sheet(name)
    shown = {field: _text(field, value) for field, value in sheet.fields.items()}
    entries = _entries(sheet, shown if typed is None else typed, problems or {}, request)
    return page(
        request,
        "settings.html",
        here="/settings" if name is None else "",
        status=status,
        name=name,
        sheet=sheet,
        entries=entries,
        reason=reason,
        problems=problems or {},
        general=[
            *general,
            *(f"The row in the database: {one}" for one in sheet.refused),
            *(f"The row of {one} waits: no breaker has that name" for one in sheet.waiting),
        ],
        differences=settings.differences() if name is None else (),
        spelled=policies.spelled,
        sources=SOURCES,
        done=request.query.get("done") == "settings",
    )


def _entries(
    sheet: Sheet, typed: Mapping[str, str], problems: Mapping[str, str], request: web.Request
) -> list[Entry]:
    effective = sheet.effective
    policy = BreakerPolicy() if effective is None else effective.policy
    kind = typed.get("kind") or policy.kind
    if kind not in policies.BY_KIND:
        kind = policy.kind
    main = policies.fields_of(kind)
    below = {} if effective is None else _below(request, effective)
    order = sorted(FIELDS, key=lambda f: (f not in main, main.index(f) if f in main else 0))
    return [
        Entry(
            name=field,
            label=policies.label(field),
            help=PolicyFields.model_fields[field].description or "",
            typed=typed.get(field, ""),
            inherited=below.get(field, "as in each one's YAML"),
            in_force="" if effective is None else policies.spelled(field, getattr(policy, field)),
            source="" if effective is None else SOURCES[effective.source(field)],
            choices=CHOICES.get(field, ()),
            problem=problems.get(field, ""),
            main=field in main,
        )
        for field in order
        if field in PolicyFields.model_fields
    ]


def _below(request: web.Request, effective: Effective) -> dict[str, str]:
    """What an empty field of one breaker stands for: the defaults of all, else its YAML."""
    defaults = request.app[SERVICES].settings.sheet(None).fields
    return {
        field: f"{_text(field, defaults[field])} (defaults)"
        if field in defaults
        else f"{_text(field, getattr(effective.yaml, field))} (YAML)"
        for field in FIELDS
    }


def _text(field: str, value: Any) -> str:
    """A value as one would type it."""
    text = to_text(value)
    return f"{text}s" if field in DURATIONS and value is not None else text
