"""Discord by a channel's webhook: https://discord.com/developers/docs/resources/webhook

Rule: nobody is mentioned (``allowed_mentions``), and Markdown from outside is escaped. Discord's
limits are counted in characters, over the whole embed too.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from pydantic import Field

from cbmon.config.fields import Duration, SecretFile, SecretUrl
from cbmon.model import Message
from cbmon.notify.receivers.colours import colour_of
from cbmon.notify.receivers.http import host_of, url_from
from cbmon.notify.receivers.poster import Address, Service, posting
from cbmon.notify.receivers.said import Channel, Said, WordedOptions
from cbmon.notify.receivers.wording import (
    clipped,
    clipped_pieces,
    description,
    facts,
    links,
    summary,
    timestamp,
)

TITLE_LIMIT: Final = 256
DESCRIPTION_LIMIT: Final = 4096
VALUE_LIMIT: Final = 1024
EMBED_LIMIT: Final = 6000
"""Characters of one embed altogether."""
ERROR_LIMIT: Final = 1000
_MARKDOWN: Final = re.compile(r"[\\*_~`|>\[\]()<#@:+.!-]")


class DiscordOptions(WordedOptions):
    """Messages to a Discord channel."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("webhook_url",),)

    webhook_url: SecretUrl | None = Field(
        None, description="The webhook of the channel, from its settings; a secret."
    )
    webhook_url_file: SecretFile | None = Field(
        None, description="A file that holds the webhook_url."
    )
    timeout: Duration = Field(10.0, description="How long one delivery may take.")


def escaped(text: str, limit: int = DESCRIPTION_LIMIT) -> str:
    """Text that Markdown leaves as it is, at most ``limit`` characters after escaping."""
    return clipped_pieces(
        (f"\\{char}" if _MARKDOWN.match(char) else char for char in clipped(text, limit)), limit
    )


CHANNEL: Final = Channel(escape=escaped, title=TITLE_LIMIT, text=DESCRIPTION_LIMIT)


def payload_of(_: DiscordOptions, message: Message, texts: Said) -> dict[str, Any]:
    """The message as Discord takes it."""
    colour = colour_of(message)
    embed: dict[str, Any] = {
        "title": texts.title or escaped(f"{colour.mark} {summary(message)}", TITLE_LIMIT),
        "color": colour.number,
        "timestamp": timestamp(message.body.get("at", message.created_at)),
    }
    named = links(message)
    if named:
        embed["url"] = named[0][1]
    if texts.text is not None:
        embed["description"] = texts.text
    else:
        embed["description"] = _description(message)
        embed["fields"] = _fields(message, embed)
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _description(message: Message) -> str:
    parts = [escaped(description(message), 1500)]
    if error := message.body.get("last_error"):
        # A fence inside would end ours.
        inside = clipped(str(error).replace("```", "'''"), ERROR_LIMIT)
        parts.append(f"```\n{inside}\n```")
    parts.append(" · ".join(f"[{words}](<{url}>)" for words, url in links(message)[1:]))
    return "\n".join(part for part in parts if part)


def _fields(message: Message, embed: dict[str, Any]) -> list[dict[str, Any]]:
    """As many facts as fit beside the rest."""
    room = EMBED_LIMIT - len(embed["title"]) - len(embed["description"])
    found = []
    for name, value in facts(message):
        shown = escaped(value, VALUE_LIMIT)
        heading = escaped(name, TITLE_LIMIT)
        room -= len(heading) + len(shown)
        if room < 0:
            break
        found.append({"name": heading, "value": shown, "inline": len(shown) <= 40})
    return found


TYPE: Final = posting(
    Service(
        name="discord",
        channel=CHANNEL,
        payload=payload_of,
        address=lambda options: Address(
            url=url_from(options.webhook_url, options.webhook_url_file)
        ),
    ),
    DiscordOptions,
    target=lambda options: host_of(options.webhook_url),
    timeout=lambda options: options.timeout,
)
