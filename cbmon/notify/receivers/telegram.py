"""Telegram by a bot: https://core.telegram.org/bots/api#sendmessage

Rule: HTML mode, in which three escapes make any text harmless; no previews of links. A text that is
too long is cut before it is marked up, because half a tag would be refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape, unescape
from typing import Any, ClassVar, Final

from pydantic import Field

from cbmon.config.fields import Duration, Secret, SecretFile, Url, secret_from
from cbmon.errors import ConfigurationError
from cbmon.model import Delivery, Message, Reason, Verdict
from cbmon.notify.receivers.answers import seconds_in
from cbmon.notify.receivers.colours import colour_of
from cbmon.notify.receivers.http import Answer, judged
from cbmon.notify.receivers.poster import Address, Service, posting
from cbmon.notify.receivers.said import Channel, Said, WordedOptions
from cbmon.notify.receivers.wording import clipped, description, facts, links, summary

TEXT_LIMIT: Final = 4096
"""UTF-16 units of one message, after its markup is read: an emoji is two."""
TITLE_LIMIT: Final = 256
PART_LIMIT: Final = 800
FACT_LIMIT: Final = 200
_TAG: Final = re.compile(r"</?[a-z][^>]*>")


class TelegramOptions(WordedOptions):
    """Messages to a Telegram chat."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("token",),)

    token: Secret | None = Field(None, description="The bot's token, from @BotFather; a secret.")
    token_file: SecretFile | None = Field(None, description="A file that holds the token.")
    chat_id: int | str = Field(
        description="The chat: its number, or @name of a public channel. The bot must be in it."
    )
    message_thread_id: int | None = Field(
        None, ge=1, description="The topic of a group that has topics."
    )
    api_url: Url = Field("https://api.telegram.org", description="The Bot API.")
    timeout: Duration = Field(10.0, description="How long one delivery may take.")


def escaped(text: str) -> str:
    """Text that HTML mode leaves as it is."""
    return escape(clipped(text, TEXT_LIMIT))


CHANNEL: Final = Channel(escape=escaped, title=TITLE_LIMIT, text=TEXT_LIMIT // 2 - TITLE_LIMIT)


def payload_of(options: TelegramOptions, message: Message, texts: Said) -> dict[str, Any]:
    """The message as Telegram takes it; facts that do not fit are left out."""
    shown = [] if texts.text is not None else facts(message)
    while True:
        payload = _payload(options, message, texts, shown)
        if not shown or units(payload["text"]) <= TEXT_LIMIT:
            return payload
        shown = shown[:-1]


def units(text: str) -> int:
    """How long Telegram takes a text in HTML to be."""
    return len(unescape(_TAG.sub("", text)).encode("utf-16-le")) // 2


def _payload(
    options: TelegramOptions, message: Message, texts: Said, shown: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    title = texts.title or escaped(clipped(summary(message), TITLE_LIMIT))
    text = texts.text if texts.text is not None else _text(message, shown)
    pages = " · ".join(f'<a href="{escape(url)}">{words}</a>' for words, url in links(message))
    lines = [f"{colour_of(message).mark} <b>{title}</b>", text, pages]
    payload: dict[str, Any] = {
        "chat_id": options.chat_id,
        "text": "\n".join(line for line in lines if line),
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }
    if options.message_thread_id is not None:
        payload["message_thread_id"] = options.message_thread_id
    return payload


def _text(message: Message, shown: Sequence[tuple[str, str]]) -> str:
    lines = [escaped(clipped(description(message), PART_LIMIT))]
    if error := message.body.get("last_error"):
        lines.append(f"<pre>{escaped(clipped(str(error), PART_LIMIT))}</pre>")
    lines += [
        f"{escaped(clipped(name, 40))}: {escaped(clipped(value, FACT_LIMIT))}"
        for name, value in shown
    ]
    return "\n".join(line for line in lines if line)


def judge(answer: Answer) -> Delivery:
    """Telegram says what is wrong in its body; a chat that moved is not found again by waiting."""
    delivery = judged(answer)
    if delivery.verdict is Verdict.DELIVERED and not _is_ok(answer.body):
        return Delivery(
            verdict=Verdict.TEMPORARY,
            reason=Reason.BODY,
            error="answered 200, but not that it has the message",
            retry_after=seconds_in(answer.body),
        )
    return delivery


def _is_ok(body: bytes) -> bool:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("ok") is True


def _address(options: TelegramOptions) -> Address:
    secret = secret_from(options.token, options.token_file)
    token = "" if secret is None else secret.reveal().strip()
    if not token or not set(token) <= _TOKEN:
        raise ConfigurationError("the token of the bot is not one: expected digits, a colon, text")
    return Address(url=f"{options.api_url.rstrip('/')}/bot{token}/sendMessage")


_TOKEN: Final = frozenset("0123456789:_-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

TYPE: Final = posting(
    Service(name="telegram", channel=CHANNEL, payload=payload_of, address=_address, judge=judge),
    TelegramOptions,
    target=lambda options: f"chat {options.chat_id}",
    timeout=lambda options: options.timeout,
)
