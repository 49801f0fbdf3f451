"""What templates see of a message, and the texts that they make of it.

Rule: a template that fails costs nobody a message: it is told in the default words, and the log
says what is wrong with the template.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator, Field

from cbmon.config.fields import Options
from cbmon.logs import fields
from cbmon.model import Message
from cbmon.notify.messages import singles
from cbmon.notify.receivers.wording import (
    clipped,
    dashboard_url,
    description,
    facts,
    generator_url,
    is_over,
    lasting,
    runbook_url,
    summary,
    timestamp,
)
from cbmon.notify.severity import severity_of

if TYPE_CHECKING:
    from cbmon.notify.receivers.templates import Template

log = logging.getLogger(__name__)

LONGEST_TEXT: Final = 4000
"""Characters of one value that a template sees."""
MOST_OUTAGES: Final = 200
"""Outages of one message that a template sees; ``count`` counts all."""

Escape = Callable[[str], str]


def _usable(source: str) -> str:
    compiled(source)
    return source


TemplateText = Annotated[str, AfterValidator(_usable)]
"""A template's source, checked."""


@lru_cache(maxsize=256)
def compiled(source: str) -> Template:
    """The template; raises BadTemplateError, a ValueError."""
    # jinja2 takes 25 ms to import, and few have templates.
    from cbmon.notify.receivers.templates import Template  # noqa: PLC0415

    return Template(source, NAMES)


class WordedOptions(Options):
    """A receiver whose words can be replaced."""

    title: TemplateText | None = Field(
        None, description="A template for the headline instead of the default one."
    )
    text: TemplateText | None = Field(
        None, description="A template for what stands below the headline."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Texts from templates, in the channel's own markup; None where the default words stay."""

    title: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """How a channel marks up, and how much fits; characters."""

    escape: Escape = str
    title: int = 200
    text: int = 4000


DEFAULT_WORDS: Final = Said()


def said(options: WordedOptions, message: Message, channel: Channel) -> Said:
    """The texts of a message."""
    if options.title is None and options.text is None:
        return DEFAULT_WORDS
    values = values_of(message)
    return Said(
        title=rendered(options.title, values, channel.escape, channel.title),
        text=rendered(options.text, values, channel.escape, channel.text),
    )


async def saying(options: WordedOptions, message: Message, channel: Channel) -> Said:
    """The same, without keeping the event loop from its work."""
    if options.title is None and options.text is None:
        return DEFAULT_WORDS
    return await asyncio.to_thread(said, options, message, channel)


def rendered(
    source: str | None, values: Mapping[str, Any], escape: Escape, limit: int
) -> str | None:
    """What a template makes of the values; None without one, or when it fails."""
    if source is None:
        return None
    try:
        return compiled(source).render(values, escape, limit).strip()
    except ValueError as error:
        log.warning("template failed, default words used", extra=fields(error=error))
        return None


def values_of(message: Message) -> dict[str, Any]:
    """All that a template may look at."""
    told = singles(message)
    listed = [_values(one) for one in told[:MOST_OUTAGES]] if "entries" in message.body else []
    one = _values(message)
    return {**one, "outages": listed or [one], "count": len(told)}


def _values(message: Message) -> dict[str, Any]:
    body = message.body
    started, ended = body["started_at"], body.get("ended_at")
    labels = {str(name): str(value) for name, value in body.get("labels", {}).items()}
    found = {
        "title": summary(message),
        "text": description(message),
        "kind": message.kind,
        "over": is_over(message),
        "status": "resolved" if is_over(message) else "firing",
        "severity": severity_of(str(body["category"]), labels),
        "since": timestamp(started),
        "until": timestamp(ended) if ended else "",
        "lasted": lasting(ended - started) if ended else "",
        "labels": labels,
        "tags": list(body.get("tags", ())),
        "depends_on": list(body.get("depends_on", ())),
        "dependants": list(body.get("dependants", ())),
        "url": generator_url(body),
        "runbook_url": runbook_url(body),
        "dashboard_url": dashboard_url(body),
        "facts": [{"name": name, "value": value} for name, value in facts(message)],
        "id": message.id,
    }
    simple = {name: "" if body.get(name) is None else body[name] for name in _SIMPLE}
    return {name: _short(value) for name, value in {**simple, **found}.items()}


def _short(value: Any) -> Any:
    return clipped(value, LONGEST_TEXT) if isinstance(value, str) else value


_SIMPLE: Final = (
    *("component", "category", "group", "target", "state", "reason", "last_error", "actor"),
    *("incident", "receiver", "retry_after", "trials", "failure_count", "late_seconds"),
)
_SAMPLE: Final = Message(
    id="",
    receiver="",
    incident="",
    sequence=1,
    kind="opened",
    created_at=0.0,
    body={"component": "", "category": "", "state": "", "started_at": 0.0},
)
NAMES: Final[Mapping[str, Any]] = values_of(_SAMPLE)
"""The names that a template may use."""
