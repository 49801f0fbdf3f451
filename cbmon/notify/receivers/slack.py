"""Slack, by an incoming webhook or by a bot: https://api.slack.com/messaging

Rule: incoming webhooks answer no message id, so the end of an outage is a message of its own. A bot
knows its message: it updates it, and tells what happened in its thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

from pydantic import Field, model_validator

from cbmon.config.fields import (
    Duration,
    Secret,
    SecretFile,
    SecretUrl,
    Url,
    fault,
    secret_from,
)
from cbmon.errors import ConfigurationError
from cbmon.interfaces import Receiver
from cbmon.model import Delivery, Message, Reason, Verdict
from cbmon.notify.receivers.answers import FAILURES, from_failure
from cbmon.notify.receivers.http import Answer, ask, encoded, host_of, judged, post, url_from
from cbmon.notify.receivers.kind import ReceiverEnvironment, ReceiverType
from cbmon.notify.receivers.said import WordedOptions, said, saying
from cbmon.notify.receivers.slack_blocks import CHANNEL, absorbed_payload, payload_of
from cbmon.notify.receivers.wording import is_over

PASSING: Final = frozenset(
    {"fatal_error", "internal_error", "ratelimited", "rate_limited", "request_timeout"}
    | {"service_unavailable", "team_added_to_org", "message_limit_exceeded", "accesslimited"}
)
"""Errors of the web API that may pass by themselves; the others need a person."""
NO_MESSAGE: Final = frozenset(
    {"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"}
)
"""The message is not there any more, or cannot be changed: there will be a new one."""
REFUSALS: Final = frozenset(
    {"invalid_payload", "no_text", "too_many_attachments", "user_not_found", "channel_not_found"}
    | {"channel_is_archived", "action_prohibited", "posting_to_general_channel_denied"}
    | {"no_service", "no_service_id", "no_team", "no_active_hooks", "team_disabled"}
    | {"invalid_token"}
)
"""What an incoming webhook says when it does not take a message, as text."""
CREDENTIALS: Final = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"}
    | {"missing_scope", "no_permission", "invalid_token"}
)


class SlackOptions(WordedOptions):
    """Messages to a Slack channel, by an incoming webhook or by a bot."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("webhook_url", "token"),)

    webhook_url: SecretUrl | None = Field(
        None, description="The address that Slack gave for the channel; a secret."
    )
    webhook_url_file: SecretFile | None = Field(
        None, description="A file that holds the webhook_url."
    )
    token: Secret | None = Field(
        None, description="A bot's token with the scope chat:write, instead of a webhook_url."
    )
    token_file: SecretFile | None = Field(None, description="A file that holds the token.")
    channel: str | None = Field(
        None, min_length=1, description="Where the bot writes: the id of a channel it is in."
    )
    api_url: Url = Field("https://slack.com/api", description="The web API that the bot uses.")
    timeout: Duration = Field(10.0, description="How long one delivery may take.")

    @model_validator(mode="after")
    def _a_bot_has_a_channel(self) -> SlackOptions:
        if self.is_bot != (self.channel is not None):
            raise fault("token and channel belong together; give both, or a webhook_url")
        return self

    @property
    def is_bot(self) -> bool:
        """Whether a bot writes."""
        return self.token is not None or self.token_file is not None


class SlackReceiver:
    """By a webhook."""

    def __init__(self, options: SlackOptions, environment: ReceiverEnvironment) -> None:
        self._options = options
        self._environment = environment

    async def deliver(self, message: Message) -> Delivery:
        """Post one message."""
        try:
            url = url_from(self._options.webhook_url, self._options.webhook_url_file)
        except ConfigurationError as error:
            return from_failure(error, "slack")
        payload = payload_of(message, await saying(self._options, message, CHANNEL))
        return await post(self._environment, url, encoded(payload), {}, hook_judged)

    async def close(self) -> None:
        """Nothing is kept: the HTTP client belongs to the environment."""


class SlackBot:
    """By the web API: one message per thread, kept true, with its story below it."""

    def __init__(self, options: SlackOptions, environment: ReceiverEnvironment) -> None:
        self._options = options
        self._environment = environment

    async def deliver(self, message: Message) -> Delivery:
        """Post the first message of a thread; update it for those that follow, and reply to it."""
        payload = payload_of(message, await saying(self._options, message, CHANNEL))
        receipts = self._environment.receipts
        known = receipts.get(message)
        if known is not None:
            delivery, _, error = await self._call("chat.update", {**payload, **known})
            if error not in NO_MESSAGE:
                if delivery.verdict is Verdict.DELIVERED:
                    delivery = await self._reply(message, payload, known)
                return delivery
        delivery, answer, _ = await self._call("chat.postMessage", self._first(payload))
        if delivery.verdict is Verdict.DELIVERED and not is_over(message):
            place = {"channel": str(answer.get("channel")), "ts": str(answer.get("ts"))}
            await receipts.keep(message, place, self._environment.clock.time())
            await self._hand_on(message)
        return delivery

    async def _hand_on(self, message: Message) -> None:
        """The messages of the threads that a storm took over must not stay red for ever."""
        receipts = self._environment.receipts
        for thread in message.body.get("absorbs", ()):
            old = replace(message, incident=thread)
            if (known := receipts.get(old)) is not None:
                # Not vital: whether it works or not, the storm's own message tells of it.
                await self._call("chat.update", {**absorbed_payload(message), **known})
                await receipts.forget(old)

    async def _reply(
        self, message: Message, payload: Mapping[str, Any], known: Mapping[str, Any]
    ) -> Delivery:
        over = is_over(message)
        below = {
            **payload,
            "channel": known["channel"],
            "thread_ts": known["ts"],
            # Whoever reads the channel sees the end by the colour of the first message.
            "reply_broadcast": not over,
        }
        delivery, _, _ = await self._call("chat.postMessage", below)
        if over and delivery.verdict is Verdict.DELIVERED:
            await self._environment.receipts.forget(message)
        return delivery

    async def close(self) -> None:
        """Nothing is kept: the HTTP client belongs to the environment."""

    def _first(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        quiet = {"unfurl_links": False, "unfurl_media": False}
        return {**payload, "channel": self._options.channel, **quiet}

    async def _call(
        self, method: str, payload: Mapping[str, Any]
    ) -> tuple[Delivery, dict[str, Any], str]:
        """What a call came to, its answer, and Slack's word for the error if there was one."""
        options = self._options
        url = f"{options.api_url.rstrip('/')}/{method}"
        sent = {name: value for name, value in payload.items() if name != "kept_at"}
        try:
            token = secret_from(options.token, options.token_file)
            bearer = "" if token is None else token.reveal().strip()
            headers = {
                "Authorization": f"Bearer {bearer}",
                "Content-Type": "application/json; charset=utf-8",
            }
            answer = await ask(self._environment, url, encoded(sent), headers)
        except FAILURES as error:
            return from_failure(error, "slack"), {}, ""
        delivery = judged(answer)
        if delivery.verdict is not Verdict.DELIVERED:
            return delivery, {}, ""
        said_back = _object(answer.body)
        return _meaning(said_back), said_back, _error(said_back)


def _meaning(answer: Mapping[str, Any]) -> Delivery:
    """Slack answers 200 and says in the body whether it was right."""
    if answer.get("ok") is True:
        return Delivery(verdict=Verdict.DELIVERED)
    error = _error(answer)
    reason = Reason.AUTH if error in CREDENTIALS else Reason.BODY
    passes = error in PASSING or not error
    return Delivery(
        verdict=Verdict.TEMPORARY if passes else Verdict.PERMANENT,
        reason=reason,
        error=f"slack said {error or 'neither ok nor an error'}",
    )


def hook_judged(answer: Answer) -> Delivery:
    """A webhook says ``ok``, other products some JSON; a page is a proxy's, not Slack's."""
    delivery, text = judged(answer), answer.body.decode(errors="replace").strip()
    if delivery.verdict is not Verdict.DELIVERED:
        word = f" ({text})" if text in REFUSALS else ""
        return replace(delivery, error=f"{delivery.error}{word}")
    found = _object(answer.body)
    if text.lower() in {"", "ok", "{}"} or (found and found.get("ok", True) is not False):
        return delivery
    if text in REFUSALS:
        return _meaning({"error": text})
    return _meaning(found)


def _error(answer: Mapping[str, Any]) -> str:
    """Its word for what is wrong; it is made of letters, so nothing secret hides in it."""
    error = answer.get("error")
    usable = isinstance(error, str) and error.replace("_", "").isalnum() and len(error) < 100
    return str(error) if usable and answer.get("ok") is not True else ""


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def build(options: SlackOptions, environment: ReceiverEnvironment) -> Receiver:
    """A receiver that writes to Slack."""
    return (SlackBot if options.is_bot else SlackReceiver)(options, environment)


def _rendered(options: SlackOptions, message: Message) -> str:
    payload = payload_of(message, said(options, message, CHANNEL))
    return json.dumps(payload, indent=2, ensure_ascii=False)


TYPE: Final = ReceiverType(
    name="slack",
    options=SlackOptions,
    target=lambda options: options.channel or host_of(options.webhook_url),
    timeout=lambda options: options.timeout,
    build=build,
    render=_rendered,
)
