"""A message in Slack's blocks: https://api.slack.com/reference/block-kit/blocks

Rule: what comes from outside is cut to Slack's limits and escaped, so that no target can mention
a channel or forge a link.
"""

from __future__ import annotations

from typing import Any, Final

from cbmon.model import Message
from cbmon.notify.receivers.colours import Colour, colour_of
from cbmon.notify.receivers.said import DEFAULT_WORDS, Channel, Said
from cbmon.notify.receivers.wording import (
    clipped,
    clipped_pieces,
    description,
    facts,
    links,
    summary,
)

SECTION_LIMIT: Final = 3000
FIELD_LIMIT: Final = 2000
FIELDS: Final = 10
"""Limits of Slack's section block, in characters as sent."""
TITLE_LIMIT: Final = 500
URL_LIMIT: Final = 700
ERROR_LIMIT: Final = 1000
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
ICONS: Final = {
    Colour.RED: ":red_circle:",
    Colour.GREEN: ":large_green_circle:",
    Colour.GREY: ":white_circle:",
}


def escaped(text: str, limit: int = SECTION_LIMIT) -> str:
    """Text in Slack's escapes (&, <, >), at most ``limit`` characters after escaping."""
    return clipped_pieces((_ESCAPES.get(char, char) for char in clipped(text, limit)), limit)


CHANNEL: Final = Channel(escape=escaped, title=TITLE_LIMIT, text=SECTION_LIMIT)


def payload_of(message: Message, texts: Said = DEFAULT_WORDS) -> dict[str, Any]:
    """The message as Slack takes it: a line for notifications, and blocks beside a colour."""
    colour = colour_of(message)
    title = texts.title or escaped(summary(message), TITLE_LIMIT)
    blocks = _blocks(message, title, texts.text)
    return {
        "text": f"{ICONS[colour]} {title}",
        "attachments": [{"color": colour.value, "fallback": title, "blocks": blocks}],
    }


def absorbed_payload(storm: Message) -> dict[str, Any]:
    """What becomes of a message whose outage is told in a digest from now on."""
    title = f"Told together with others: {escaped(summary(storm), TITLE_LIMIT)}"
    attachment = {
        "color": Colour.GREY.value,
        "fallback": title,
        "blocks": [_section(title)],
    }
    return {"text": f"{ICONS[Colour.GREY]} {title}", "attachments": [attachment]}


def _blocks(message: Message, title: str, text: str | None) -> list[dict[str, Any]]:
    blocks = [_section(_headline(message, title))]
    if text is not None:
        return [*blocks, _section(text)] if text else blocks
    if said := description(message):
        blocks.append(_section(escaped(said)))
    if error := message.body.get("last_error"):
        # A fence inside would end ours.
        inside = escaped(str(error).replace("```", "'''"), ERROR_LIMIT)
        blocks.append(_section(f"```{inside}```"))
    fields = [_field(name, value) for name, value in facts(message)[:FIELDS]]
    if fields:
        blocks.append({"type": "section", "fields": fields})
    return blocks


def _headline(message: Message, title: str) -> str:
    pages = " · ".join(f"<{escaped(url, URL_LIMIT)}|{words}>" for words, url in links(message))
    return f"*{title}*" + (f"  {pages}" if pages else "")


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _field(name: str, value: str) -> dict[str, str]:
    text = f"*{escaped(name, TITLE_LIMIT)}*\n"
    return {"type": "mrkdwn", "text": text + escaped(value, FIELD_LIMIT - len(text))}
