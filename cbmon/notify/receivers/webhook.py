"""An HTTP POST in the form of Alertmanager's webhook, signed if a secret is given.

Rule: every try of a message is the same request but for the time: same id, same body. Redirects
are not followed, because the body would go where nobody configured it to go.
"""

from __future__ import annotations

import json
import re
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
from cbmon.notify.receivers.http import host_of, post, url_from
from cbmon.notify.receivers.kind import ReceiverEnvironment, ReceiverType
from cbmon.notify.receivers.signature import keys_of, signature_headers

OWN_HEADERS: Final = frozenset(
    {"content-length", "content-type", "host", "transfer-encoding", "webhook-id"}
    | {"webhook-timestamp", "webhook-signature"}
)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


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

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: Mapping[str, Secret]) -> Mapping[str, Secret]:
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name):
                raise ValueError(f'"{name}" is no name of a header')
            if name.lower() in OWN_HEADERS:
                raise ValueError(f'the header "{name}" is set by cbmon')
            if any(char in value.reveal() for char in "\r\n\0"):
                raise ValueError(f'the value of the header "{name}" holds a line break')
        return headers


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
            body = json.dumps(webhook_body(message), separators=(",", ":")).encode()
            headers = self._headers(message, body)
        except ConfigurationError as error:
            return from_failure(error, "webhook")
        return await post(self._environment, url, body, headers)

    async def close(self) -> None:
        """Nothing is kept: the HTTP client belongs to the environment."""

    def _headers(self, message: Message, body: bytes) -> dict[str, str]:
        headers = {name: value.reveal() for name, value in self._options.headers.items()}
        secret = secret_from(self._options.secret, self._options.secret_file)
        if secret is None:
            return {**headers, "webhook-id": message.id}
        now = self._environment.clock.time()
        return {**headers, **signature_headers(message.id, now, body, keys_of(secret.reveal()))}


def build(options: WebhookOptions, environment: ReceiverEnvironment) -> Receiver:
    """A receiver that posts."""
    return WebhookReceiver(options, environment)


TYPE: Final = ReceiverType(
    name="webhook",
    options=WebhookOptions,
    target=lambda options: host_of(options.url),
    timeout=lambda options: options.timeout,
    build=build,
    render=lambda _, message: json.dumps(webhook_body(message), indent=2, ensure_ascii=False),
)
