"""ntfy, hosted or your own: https://docs.ntfy.sh/publish/#publish-as-json

Rule: plain text, so nothing needs escaping. ntfy counts bytes: a longer text would become a file.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from cbmon.config.fields import Duration, Secret, SecretFile, Url, secret_from
from cbmon.model import Message
from cbmon.notify.messages import singles
from cbmon.notify.receivers.http import host_of
from cbmon.notify.receivers.poster import Address, Service, posting
from cbmon.notify.receivers.said import Channel, Said, WordedOptions
from cbmon.notify.receivers.wording import (
    clipped,
    clipped_bytes,
    description,
    facts,
    is_over,
    links,
    summary,
)
from cbmon.notify.severity import CRITICAL, WARNING, severity_of

MESSAGE_LIMIT: Final = 4096
TITLE_LIMIT: Final = 250
"""Limits of ntfy, in bytes."""
ACTIONS: Final = 3
"""Buttons that ntfy shows."""
PART_LIMIT: Final = 1500
URGENT, HIGH, DEFAULT = 5, 4, 3

Priority = Literal[1, 2, 3, 4, 5]


class NtfyOptions(WordedOptions):
    """Messages to a topic of ntfy."""

    url: Url = Field("https://ntfy.sh", description="The server.")
    topic: str = Field(
        min_length=1,
        max_length=64,
        pattern=r"^[-_A-Za-z0-9]+$",
        description="The topic; on a public server, who knows it reads and writes it.",
    )
    token: Secret | None = Field(None, description="An access token.")
    token_file: SecretFile | None = Field(None, description="A file that holds the token.")
    priority: Priority | None = Field(
        None, description="1 to 5; by severity when it is left out, 3 for an end."
    )
    timeout: Duration = Field(10.0, description="How long one delivery may take.")


def escaped(text: str) -> str:
    """Text without control characters."""
    return clipped(text, MESSAGE_LIMIT)


CHANNEL: Final = Channel(escape=escaped, title=TITLE_LIMIT, text=MESSAGE_LIMIT)


def payload_of(options: NtfyOptions, message: Message, texts: Said) -> dict[str, Any]:
    """The message as ntfy takes it."""
    title = " ".join((texts.title or summary(message)).split())
    text = texts.text if texts.text is not None else _text(message)
    named = links(message)
    return {
        "topic": options.topic,
        "title": clipped_bytes(clipped(title, TITLE_LIMIT), TITLE_LIMIT),
        # An empty one would read "triggered".
        "message": clipped_bytes(text, MESSAGE_LIMIT) or title,
        "priority": options.priority or _priority(message),
        "tags": ["white_check_mark" if is_over(message) else "red_circle"],
        "actions": [
            {"action": "view", "label": words, "url": url} for words, url in named[:ACTIONS]
        ],
    } | ({"click": named[0][1]} if named else {})


def _priority(message: Message) -> int:
    if is_over(message):
        return DEFAULT
    found = {
        severity_of(str(one.body["category"]), one.body.get("labels", {}))
        for one in singles(message)
        if not is_over(one)
    }
    return URGENT if CRITICAL in found else HIGH if WARNING in found else DEFAULT


def _text(message: Message) -> str:
    lines = [clipped(description(message), PART_LIMIT)]
    if error := message.body.get("last_error"):
        lines.append(clipped(str(error), PART_LIMIT))
    lines += [f"{clipped(name, 100)}: {clipped(value, 200)}" for name, value in facts(message)]
    return "\n".join(line for line in lines if line)


def _address(options: NtfyOptions) -> Address:
    token = secret_from(options.token, options.token_file)
    headers = {} if token is None else {"Authorization": f"Bearer {token.reveal().strip()}"}
    return Address(url=options.url, headers=headers)


TYPE: Final = posting(
    Service(name="ntfy", channel=CHANNEL, payload=payload_of, address=_address),
    NtfyOptions,
    target=lambda options: f"{options.topic} at {host_of(Secret(options.url))}",
    timeout=lambda options: options.timeout,
)
