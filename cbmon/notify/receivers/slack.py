"""Slack by an incoming webhook: https://api.slack.com/messaging/webhooks

Rule: what comes from outside is cut to Slack's limits and escaped, so that no target can mention
a channel or forge a link. Incoming webhooks answer no message id, so the end of an outage is a
message of its own.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final

from pydantic import Field

from cbmon.config.fields import Duration, Options, SecretFile, SecretUrl
from cbmon.errors import ConfigurationError
from cbmon.interfaces import Receiver
from cbmon.model import Delivery, Message
from cbmon.notify.receivers.answers import from_failure
from cbmon.notify.receivers.http import host_of, post, url_from
from cbmon.notify.receivers.kind import ReceiverEnvironment, ReceiverType
from cbmon.notify.receivers.wording import (
    clipped,
    description,
    facts,
    generator_url,
    is_over,
    runbook_url,
    summary,
)

SECTION_LIMIT: Final = 3000
FIELD_LIMIT: Final = 2000
FIELDS: Final = 10
"""Limits of Slack's section block, in characters as sent."""
ERROR_LIMIT: Final = 1000
RED, GREEN, GREY = "#d92d20", "#12b76a", "#667085"
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
ICONS: Final = {RED: ":red_circle:", GREEN: ":large_green_circle:", GREY: ":white_circle:"}


class SlackOptions(Options):
    """Messages to a Slack channel by an incoming webhook."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("webhook_url",),)

    webhook_url: SecretUrl | None = Field(
        None, description="The address that Slack gave for the channel; a secret."
    )
    webhook_url_file: SecretFile | None = Field(
        None, description="A file that holds the webhook_url."
    )
    timeout: Duration = Field(10.0, description="How long one delivery may take.")


class SlackReceiver:
    """See the module."""

    def __init__(self, options: SlackOptions, environment: ReceiverEnvironment) -> None:
        self._options = options
        self._environment = environment

    async def deliver(self, message: Message) -> Delivery:
        """Post one message."""
        try:
            url = url_from(self._options.webhook_url, self._options.webhook_url_file)
        except ConfigurationError as error:
            return from_failure(error, "slack")
        body = json.dumps(payload_of(message), separators=(",", ":")).encode()
        return await post(self._environment, url, body, {})

    async def close(self) -> None:
        """Nothing is kept: the HTTP client belongs to the environment."""


def payload_of(message: Message) -> dict[str, Any]:
    """The message as Slack takes it: a line for notifications, and blocks beside a colour."""
    colour = _colour(message)
    title = escaped(summary(message), 500)
    return {
        "text": f"{ICONS[colour]} {title}",
        "attachments": [{"color": colour, "fallback": title, "blocks": _blocks(message)}],
    }


def escaped(text: str, limit: int) -> str:
    """Text in Slack's escapes (&, <, >), at most ``limit`` characters after escaping."""
    pieces = [_ESCAPES.get(char, char) for char in clipped(text, limit)]
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    kept: list[str] = []
    room = limit - 1
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + "…"


def _colour(message: Message) -> str:
    if message.kind == "withdrawn":
        return GREY
    return GREEN if is_over(message) else RED


def _blocks(message: Message) -> list[dict[str, Any]]:
    blocks = [_section(_headline(message))]
    if text := description(message):
        blocks.append(_section(escaped(text, SECTION_LIMIT)))
    if error := message.body.get("last_error"):
        # A fence inside would end ours.
        inside = escaped(str(error).replace("```", "'''"), ERROR_LIMIT)
        blocks.append(_section(f"```{inside}```"))
    fields = [_field(name, value) for name, value in facts(message)[:FIELDS]]
    if fields:
        blocks.append({"type": "section", "fields": fields})
    return blocks


def _headline(message: Message) -> str:
    title = f"*{escaped(summary(message), 500)}*"
    url = generator_url(message.body)
    if not url:
        return title
    links = f"{title}  <{escaped(url, 2000)}|Open in cbmon>"
    if is_over(message):
        return links
    return f"{links} · <{escaped(runbook_url(message.body), 2000)}|Runbook>"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _field(name: str, value: str) -> dict[str, str]:
    text = f"*{name}*\n{escaped(value, FIELD_LIMIT - len(name) - 3)}"
    return {"type": "mrkdwn", "text": text}


def build(options: SlackOptions, environment: ReceiverEnvironment) -> Receiver:
    """A receiver that posts to Slack."""
    return SlackReceiver(options, environment)


TYPE: Final = ReceiverType(
    name="slack",
    options=SlackOptions,
    target=lambda options: host_of(options.webhook_url),
    timeout=lambda options: options.timeout,
    build=build,
    render=lambda _, message: json.dumps(payload_of(message), indent=2, ensure_ascii=False),
)
