"""An HTTP POST in the form of Alertmanager's webhook, signed if a secret is given.

Rule: every try of a message is the same request but for the time: same id, same body. Redirects
are not followed, because the body would go where nobody configured it to go.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import ClassVar, Final

from pydantic import Field, field_validator

from cbmon.config.fields import (
    Duration,
    Options,
    Secret,
    SecretFile,
    SecretUrl,
    secret_from,
)
from cbmon.errors import ConfigurationError
from cbmon.interfaces import Receiver
from cbmon.model import Delivery, Message
from cbmon.notify.receivers.alerts import webhook_body
from cbmon.notify.receivers.answers import from_failure
from cbmon.notify.receivers.headers import revealed, sendable
from cbmon.notify.receivers.http import encoded, host_of, post, url_from
from cbmon.notify.receivers.kind import ReceiverEnvironment, ReceiverType
from cbmon.notify.receivers.said import TemplateText, compiled, values_of
from cbmon.notify.receivers.signature import keys_of, signature_headers

LONGEST_BODY: Final = 256 * 1024
"""Characters that a template may make."""


class WebhookOptions(Options):
    """Messages to an HTTP endpoint, in the form of Alertmanager's webhook."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("url",),)

    url: SecretUrl | None = Field(
        None, description="Where to post; never shown, as it may hold a token."
    )
    url_file: SecretFile | None = Field(None, description="A file that holds the url.")
    secret: Secret | None = Field(
        None,
        description="Sign with this key: whsec_ and 24 to 64 bytes in base64 (Standard Webhooks); "
        "several keys separated by blanks sign each.",
    )
    secret_file: SecretFile | None = Field(None, description="A file that holds the secret.")
    headers: Mapping[str, Secret] = Field(
        default_factory=dict, description="More request headers, such as Authorization."
    )
    body: TemplateText | None = Field(
        None, description="A template for the body, instead of Alertmanager's form."
    )
    content_type: str = Field(
        "application/json",
        pattern=r"^[\w.+-]+/[\w.+-]+(; ?[\w-]+=[\w.-]+)*$",
        description="What kind of body the template makes.",
    )
    timeout: Duration = Field(10.0, description="How long one delivery may take.")

    @field_validator("secret")
    @classmethod
    def _usable(cls, secret: Secret | None) -> Secret | None:
        if secret is not None:
            try:
                keys_of(secret.reveal())
            except ConfigurationError as error:
                raise ValueError(str(error)) from None
        return secret

    _sendable = field_validator("headers")(sendable)


class WebhookReceiver:
    """See the module; options are read anew at each delivery where they come from files."""

    def __init__(self, options: WebhookOptions, environment: ReceiverEnvironment) -> None:
        self._options = options
        self._environment = environment

    async def deliver(self, message: Message) -> Delivery:
        """Post one message."""
        options = self._options
        try:
            url = url_from(options.url, options.url_file)
            body = await self._body(message)
            headers = self._headers(message, body)
        except ConfigurationError as error:
            return from_failure(error, "webhook")
        return await post(self._environment, url, body, headers)

    async def close(self) -> None:
        """Nothing is kept: the HTTP client belongs to the environment."""

    async def _body(self, message: Message) -> bytes:
        if self._options.body is None:
            return encoded(webhook_body(message))
        own = await asyncio.to_thread(own_body, self._options.body, message)
        return own.encode(errors="replace")

    def _headers(self, message: Message, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": self._options.content_type, **revealed(self._options.headers)}
        secret = secret_from(self._options.secret, self._options.secret_file)
        if secret is None:
            return {**headers, "webhook-id": message.id}
        now = self._environment.clock.time()
        return {**headers, **signature_headers(message.id, now, body, keys_of(secret.reveal()))}


def own_body(template: str, message: Message) -> str:
    """The body that a template makes; ConfigurationError when it fails: it can be corrected."""
    try:
        return compiled(template).render(values_of(message), str, LONGEST_BODY)
    except ValueError as error:
        raise ConfigurationError(f"the template of the body failed: {error}") from error


def _rendered(options: WebhookOptions, message: Message) -> str:
    if options.body is not None:
        return own_body(options.body, message)
    return json.dumps(webhook_body(message), indent=2, ensure_ascii=False)


def build(options: WebhookOptions, environment: ReceiverEnvironment) -> Receiver:
    """A receiver that posts."""
    return WebhookReceiver(options, environment)


TYPE: Final = ReceiverType(
    name="webhook",
    options=WebhookOptions,
    target=lambda options: host_of(options.url),
    timeout=lambda options: options.timeout,
    build=build,
    render=_rendered,
)
