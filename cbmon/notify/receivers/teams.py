"""Microsoft Teams by a workflow's webhook, with an Adaptive Card: https://adaptivecards.io

Rule: every text is a run of a RichTextBlock, which knows no Markdown; so nothing needs escaping,
and no target can forge a link. A card has 28 KB.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from pydantic import Field

from cbmon.config.fields import Duration, SecretFile, SecretUrl
from cbmon.model import Message
from cbmon.notify.receivers.colours import Colour, colour_of
from cbmon.notify.receivers.http import encoded, host_of, url_from
from cbmon.notify.receivers.poster import Address, Service, posting
from cbmon.notify.receivers.said import Channel, Said, WordedOptions
from cbmon.notify.receivers.wording import clipped, description, facts, links, summary

CARD_LIMIT: Final = 28 * 1024
"""Bytes that Teams takes."""
TITLE_LIMIT: Final = 256
TEXT_LIMIT: Final = 4000
PART_LIMIT: Final = 1500
FACT_LIMIT: Final = 300
COLOURS: Final = {Colour.RED: "attention", Colour.GREEN: "good", Colour.GREY: "default"}

Element = dict[str, Any]


class TeamsOptions(WordedOptions):
    """Messages to a Teams channel or chat."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("webhook_url",),)

    webhook_url: SecretUrl | None = Field(
        None, description="The address of the workflow's trigger; a secret."
    )
    webhook_url_file: SecretFile | None = Field(
        None, description="A file that holds the webhook_url."
    )
    timeout: Duration = Field(15.0, description="How long one delivery may take.")


CHANNEL: Final = Channel(title=TITLE_LIMIT, text=TEXT_LIMIT)


def payload_of(_: TeamsOptions, message: Message, texts: Said) -> dict[str, Any]:
    """The message as a workflow takes it; facts that do not fit into a card are left out."""
    shown = [] if texts.text is not None else facts(message)
    while True:
        payload = _payload(message, texts, shown)
        if not shown or len(encoded(payload)) <= CARD_LIMIT:
            return payload
        shown = shown[:-1]


def _payload(message: Message, texts: Said, shown: list[tuple[str, str]]) -> dict[str, Any]:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "fallbackText": texts.title or clipped(summary(message), TITLE_LIMIT),
        "body": _body(message, texts, shown),
        "actions": [
            {"type": "Action.OpenUrl", "title": words, "url": url} for words, url in links(message)
        ],
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


def _body(message: Message, texts: Said, shown: list[tuple[str, str]]) -> list[Element]:
    colour = colour_of(message)
    title = texts.title or clipped(summary(message), TITLE_LIMIT)
    mark = {"size": "large", "weight": "bolder", "color": COLOURS[colour]}
    body = [_block(_run(f"{colour.mark} {title}", **mark))]
    if texts.text is not None:
        return [*body, *(_block(_run(line)) for line in texts.text.splitlines() if line.strip())]
    if text := description(message):
        body.append(_block(_run(clipped(text, PART_LIMIT))))
    if error := message.body.get("last_error"):
        body.append(_block(_run(clipped(str(error), PART_LIMIT), fontType="monospace")))
    for name, value in shown:
        heading = _run(f"{clipped(name, 100)}: ", isSubtle=True)
        body.append(_block(heading, _run(clipped(value, FACT_LIMIT)), spacing="none"))
    return body


def _block(*runs: Element, **more: Any) -> Element:
    return {"type": "RichTextBlock", "inlines": list(runs), **more}


def _run(text: str, **more: Any) -> Element:
    return {"type": "TextRun", "text": text, **more}


TYPE: Final = posting(
    Service(
        name="teams",
        channel=CHANNEL,
        payload=payload_of,
        address=lambda options: Address(
            url=url_from(options.webhook_url, options.webhook_url_file)
        ),
    ),
    TeamsOptions,
    target=lambda options: host_of(options.webhook_url),
    timeout=lambda options: options.timeout,
)
