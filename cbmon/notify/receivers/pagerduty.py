"""PagerDuty by its Events API, version 2: https://developer.pagerduty.com/docs/events-api-v2-overview

Rule: one thread of messages is one PagerDuty incident, by its ``dedup_key``; telling it twice
changes nothing there. What a storm took over is resolved, so that nothing stays open behind it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from cbmon.config.fields import Duration, Secret, SecretFile, Url, secret_from
from cbmon.errors import ConfigurationError
from cbmon.interfaces import Receiver
from cbmon.model import Delivery, Message, Verdict
from cbmon.notify.messages import entries_of, singles
from cbmon.notify.receivers.answers import from_failure
from cbmon.notify.receivers.http import encoded, post
from cbmon.notify.receivers.kind import ReceiverEnvironment, ReceiverType
from cbmon.notify.receivers.said import (
    DEFAULT_WORDS,
    Channel,
    Said,
    WordedOptions,
    said,
    saying,
)
from cbmon.notify.receivers.wording import (
    clipped,
    description,
    facts,
    generator_url,
    is_over,
    links,
    summary,
    timestamp,
)
from cbmon.notify.severity import severity_of

SUMMARY_LIMIT: Final = 1024
KEY_LIMIT: Final = 255
"""Limits of the API, in characters."""
DETAIL_LIMIT: Final = 4000
"""Keeps an event far below the 512 KB that the API takes."""
CHANNEL: Final = Channel(title=SUMMARY_LIMIT, text=DETAIL_LIMIT)

Severity = Literal["critical", "error", "warning", "info"]
WORST_FIRST: Final[tuple[Severity, ...]] = ("critical", "error", "warning", "info")
KNOWN: Final[Mapping[str, Severity]] = {
    "critical": "critical",
    "page": "critical",
    "high": "critical",
    "error": "error",
    "major": "error",
    "warning": "warning",
    "warn": "warning",
    "minor": "warning",
    "low": "warning",
    "info": "info",
    "none": "info",
}
UNKNOWN: Final[Severity] = "error"


class PagerdutyOptions(WordedOptions):
    """Incidents in PagerDuty."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("routing_key",),)

    routing_key: Secret | None = Field(
        None, description="The integration key of the service: Events API v2, 32 characters."
    )
    routing_key_file: SecretFile | None = Field(
        None, description="A file that holds the routing_key."
    )
    url: Url = Field(
        "https://events.pagerduty.com/v2/enqueue",
        description="The API; https://events.eu.pagerduty.com/v2/enqueue for accounts in the EU.",
    )
    severities: Mapping[str, Severity] = Field(
        default_factory=dict,
        description="From the label severity to PagerDuty's: critical, error, warning or info.",
    )
    timeout: Duration = Field(10.0, description="How long one delivery may take.")


class PagerdutyReceiver:
    """See the module."""

    def __init__(self, options: PagerdutyOptions, environment: ReceiverEnvironment) -> None:
        self._options = options
        self._environment = environment

    async def deliver(self, message: Message) -> Delivery:
        """Send the message's events in their order; the first that is not taken ends it."""
        options = self._options
        try:
            key = secret_from(options.routing_key, options.routing_key_file)
        except ConfigurationError as error:
            return from_failure(error, "pagerduty")
        delivery = Delivery(verdict=Verdict.DELIVERED)
        texts = await saying(options, message, CHANNEL)
        for event in events_of(message, options.severities, texts):
            sent = {"routing_key": "" if key is None else key.reveal().strip(), **event}
            delivery = await post(self._environment, options.url, encoded(sent), {})
            if delivery.verdict is not Verdict.DELIVERED:
                break
        return delivery

    async def close(self) -> None:
        """Nothing is kept: the HTTP client belongs to the environment."""


def events_of(
    message: Message, severities: Mapping[str, Severity], texts: Said = DEFAULT_WORDS
) -> Iterator[dict[str, Any]]:
    """The events that tell a message, without the key."""
    key = dedup_key(message.incident)
    folded = any(entry.get("folded") for entry in entries_of(message.body))
    if not is_over(message) or folded:
        # An end alone would leave no trace of an outage that PagerDuty never heard of.
        yield {"event_action": "trigger", "dedup_key": key, **_told(message, severities, texts)}
    if is_over(message):
        yield {"event_action": "resolve", "dedup_key": key}
    elif message.kind == "disabled" and message.body.get("actor"):
        # Someone took it out of service, so someone knows.
        yield {"event_action": "acknowledge", "dedup_key": key}
    for thread in message.body.get("absorbs", ()):
        yield {"event_action": "resolve", "dedup_key": dedup_key(thread)}


def dedup_key(thread: str) -> str:
    """What PagerDuty knows a thread of messages by."""
    key = f"cbmon-{thread}"
    return key if len(key) <= KEY_LIMIT else hashlib.sha256(key.encode()).hexdigest()


def severity(message: Message, severities: Mapping[str, Severity]) -> Severity:
    """The worst of all that the message tells of and is not over."""
    known = {**KNOWN, **severities}
    found = {
        known.get(severity_of(str(one.body["category"]), one.body.get("labels", {})), UNKNOWN)
        for one in singles(message)
        if not is_over(one) or is_over(message)
    }
    return next((one for one in WORST_FIRST if one in found), UNKNOWN)


def _told(message: Message, severities: Mapping[str, Severity], texts: Said) -> dict[str, Any]:
    body = message.body
    payload = {
        "summary": texts.title or clipped(summary(message), SUMMARY_LIMIT),
        "source": clipped(str(body.get("target") or body["component"]), KEY_LIMIT),
        "severity": severity(message, severities),
        "timestamp": timestamp(body["started_at"]),
        "component": clipped(str(body["component"]), KEY_LIMIT),
        "group": body.get("group"),
        "class": body.get("reason"),
        "custom_details": _details(message, texts),
    }
    told = {
        "payload": {name: value for name, value in payload.items() if value},
        "client": "cbmon",
        "client_url": generator_url(body),
        "links": [{"href": url, "text": words} for words, url in links(message)],
    }
    return {name: value for name, value in told.items() if value}


def _details(message: Message, texts: Said) -> dict[str, str]:
    found = {"description": texts.text or description(message), **dict(facts(message))}
    found["last_error"] = str(message.body.get("last_error") or "")
    return {name: clipped(value, DETAIL_LIMIT) for name, value in found.items() if value}


def build(options: PagerdutyOptions, environment: ReceiverEnvironment) -> Receiver:
    """A receiver that tells PagerDuty."""
    return PagerdutyReceiver(options, environment)


def _rendered(options: PagerdutyOptions, message: Message) -> str:
    texts = said(options, message, CHANNEL)
    made = list(events_of(message, options.severities, texts))
    return json.dumps(made, indent=2, ensure_ascii=False)


TYPE: Final = ReceiverType(
    name="pagerduty",
    options=PagerdutyOptions,
    target=lambda _: "PagerDuty",
    timeout=lambda options: options.timeout,
    build=build,
    render=_rendered,
)
