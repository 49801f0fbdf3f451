"""A receiver that makes one HTTP POST of each message: all that most services need.

Rule: what is sent is a pure function of options, message and texts; the secret part of it, the
address or a header, is read at each delivery.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from cbmon.errors import ConfigurationError
from cbmon.model import Delivery, Message
from cbmon.notify.receivers.answers import from_failure
from cbmon.notify.receivers.http import COURTESY, Answer, encoded, judged, post
from cbmon.notify.receivers.kind import ReceiverEnvironment, ReceiverType
from cbmon.notify.receivers.said import Channel, Said, WordedOptions, said, saying

OptionsT = TypeVar("OptionsT", bound=WordedOptions)
Payload = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a POST goes, and what goes with it."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Generic[OptionsT]):
    """What distinguishes one service from the other."""

    name: str
    channel: Channel
    payload: Callable[[OptionsT, Message, Said], Payload]
    address: Callable[[OptionsT], Address]
    """ConfigurationError when a file that it needs is not there."""
    judge: Callable[[Answer], Delivery] = judged


class Poster(Generic[OptionsT]):
    """A receiver for a service."""

    def __init__(
        self, service: Service[OptionsT], options: OptionsT, environment: ReceiverEnvironment
    ) -> None:
        self._service = service
        self._options = options
        self._environment = environment

    async def deliver(self, message: Message) -> Delivery:
        """Post one message."""
        service, options = self._service, self._options
        try:
            address = service.address(options)
        except ConfigurationError as error:
            return from_failure(error, service.name)
        texts = await saying(options, message, service.channel)
        body = encoded(service.payload(options, message, texts))
        judge, headers = service.judge, address.headers
        patience = COURTESY if judge is judged else None
        return await post(self._environment, address.url, body, headers, judge, patience=patience)

    async def close(self) -> None:
        """Nothing is kept: the HTTP client belongs to the environment."""


def posting(
    service: Service[OptionsT],
    options: type[OptionsT],
    target: Callable[[OptionsT], str],
    timeout: Callable[[OptionsT], float],
) -> ReceiverType[OptionsT]:
    """The kind of receiver that posts to a service."""

    def render(given: OptionsT, message: Message) -> str:
        payload = service.payload(given, message, said(given, message, service.channel))
        return json.dumps(payload, indent=2, ensure_ascii=False)

    return ReceiverType(
        name=service.name,
        options=options,
        target=target,
        timeout=timeout,
        build=lambda given, environment: Poster(service, given, environment),
        render=render,
    )
