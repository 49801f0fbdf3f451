"""What a page's form sends, read strictly.

Rule: only fields that the page has, each once and as text; a form that did not come from our own
page is refused before it is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

from aiohttp import web

from cbmon.web.access import CSRF_FIELD
from cbmon.web.errors import ApiError, bad_request
from cbmon.web.keys import LIMITS

FORM: Final = "application/x-www-form-urlencoded"


class FieldError(Exception):
    """What is wrong with one field, in words for the one who filled it in."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


async def read_form(request: web.Request, known: Collection[str]) -> Mapping[str, str]:
    """The fields of a form; raises ApiError for one that no page of ours sends."""
    if request.content_type != FORM:
        raise ApiError(415, "unsupported_media_type", f"expected {FORM}")
    allowed = request.app[LIMITS].body
    try:
        async with asyncio.timeout(allowed):
            sent = await request.post()
    except TimeoutError:
        raise ApiError(408, "timeout", f"the form was not complete within {allowed:g} s") from None
    fields: dict[str, str] = {}
    for name, value in sent.items():
        if name == CSRF_FIELD:
            continue
        if name not in known or name in fields or not isinstance(value, str):
            raise bad_request(f"the form has no single field {name[:40]!r}")
        fields[name] = value.strip()
    return fields


def line(fields: Mapping[str, str], name: str, most: int = 500, *, needed: bool = False) -> str:
    """One line of printable text; FieldError when it is too long, or missing but needed."""
    value = fields.get(name, "")
    if len(value) > most:
        raise FieldError(name, f"at most {most} characters, this has {len(value)}")
    if not value.isprintable():
        raise FieldError(name, "one line of printable text, please")
    if needed and not value:
        raise FieldError(name, "please say why" if name == "reason" else "this must be filled in")
    return value
