"""The long tail of services by Apprise: https://github.com/caronc/apprise

Rule: a plug-in blocks, and may do so for ever. It runs in a thread of its own, of which there are
few; when all hang, messages wait in the outbox. Apprise says only whether a message arrived, so
what did not is tried again until its time is over.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

from pydantic import Field, field_validator

from cbmon.config.fields import Duration, Secret, SecretFile, secret_from
from cbmon.errors import ConfigurationError, MissingExtraError
from cbmon.interfaces import Receiver
from cbmon.model import Delivery, Message, Reason, Verdict
from cbmon.notify.receivers.answers import from_failure
from cbmon.notify.receivers.colours import Colour, colour_of
from cbmon.notify.receivers.kind import ReceiverEnvironment, ReceiverType
from cbmon.notify.receivers.said import Channel, Said, WordedOptions, said, saying
from cbmon.notify.receivers.wording import clipped, description, facts, links, summary

WORKERS: Final = 4
"""Deliveries by plug-ins at the same time, over all receivers."""
TITLE_LIMIT: Final = 250
TEXT_LIMIT: Final = 2000
PART_LIMIT: Final = 500
KINDS: Final = {Colour.RED: "failure", Colour.GREEN: "success", Colour.GREY: "info"}
CHANNEL: Final = Channel(title=TITLE_LIMIT, text=TEXT_LIMIT)


class Service(Protocol):
    """What a URL of Apprise becomes."""

    def notify(self, *, title: str, body: str, notify_type: str) -> Any:
        """Whether the message arrived, as something true or false."""
        ...


class AppriseOptions(WordedOptions):
    """Messages to any service that Apprise knows."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("url",),)

    url: Secret | None = Field(
        None, description="An Apprise URL, such as mqtts://user:password@host/topic; a secret."
    )
    url_file: SecretFile | None = Field(None, description="A file that holds the url.")
    timeout: Duration = Field(30.0, description="How long one delivery may take.")

    @field_validator("url")
    @classmethod
    def _known(cls, url: Secret | None) -> Secret | None:
        if url is not None:
            try:
                service_of(url.reveal())
            except (ConfigurationError, MissingExtraError) as error:
                raise ValueError(str(error)) from None
        return url


def service_of(url: str) -> Service:
    """The service behind a URL; ConfigurationError if Apprise knows none."""
    try:
        import apprise  # noqa: PLC0415 - takes 240 ms, and few have it
    except ImportError as error:
        raise MissingExtraError("the receiver apprise", "apprise") from error
    # It writes URLs into its log.
    logging.getLogger("apprise").disabled = True
    made = apprise.Apprise(asset=apprise.AppriseAsset(app_id="cbmon", async_mode=False))
    if not made.add(url):
        raise ConfigurationError("apprise knows no such url; see its list of services")
    return made


class Threads:
    """A few threads that may hang without anybody waiting for them, not even at the end."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy = 0

    @property
    def full(self) -> bool:
        """Whether all are busy."""
        return self._busy >= self._most

    async def run(self, work: Callable[[], bool]) -> bool:
        """What the work gives, from a thread of its own; raises what it raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bool] = loop.create_future()

        def ended(result: bool | None, error: Exception | None) -> None:
            self._busy -= 1
            if done.cancelled():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(bool(result))

        def body() -> None:
            result, error = None, None
            try:
                result = work()
            except Exception as raised:  # noqa: BLE001 - a plug-in of somebody else
                error = raised
            if not loop.is_closed():
                loop.call_soon_threadsafe(ended, result, error)

        self._busy += 1
        threading.Thread(target=body, name="apprise", daemon=True).start()
        return await done


THREADS: Final = Threads(WORKERS)


class AppriseReceiver:
    """See the module."""

    def __init__(self, options: AppriseOptions, threads: Threads = THREADS) -> None:
        self._options = options
        self._threads = threads

    async def deliver(self, message: Message) -> Delivery:
        """Send one message by the plug-in of its URL."""
        if self._threads.full:
            why = f"all {WORKERS} threads for apprise are busy"
            return Delivery(verdict=Verdict.TEMPORARY, reason=Reason.TIMEOUT, error=why)
        texts = await saying(self._options, message, CHANNEL)
        try:
            url = secret_from(self._options.url, self._options.url_file)
            service = service_of("" if url is None else url.reveal().strip())
        except ConfigurationError as error:
            return from_failure(error, "apprise")
        title, body = words_of(message, texts)
        kind = KINDS[colour_of(message)]
        arrived = await self._threads.run(
            lambda: bool(service.notify(title=title, body=body, notify_type=kind))
        )
        if arrived:
            return Delivery(verdict=Verdict.DELIVERED)
        why = "apprise could not deliver it; it does not say why"
        return Delivery(verdict=Verdict.TEMPORARY, reason=Reason.PROTOCOL, error=why)

    async def close(self) -> None:
        """Nothing is kept."""


def words_of(message: Message, texts: Said) -> tuple[str, str]:
    """Headline and text."""
    title = texts.title or clipped(summary(message), TITLE_LIMIT)
    if texts.text is not None:
        return title, texts.text or title
    lines = [clipped(description(message), PART_LIMIT)]
    if error := message.body.get("last_error"):
        lines.append(clipped(str(error), PART_LIMIT))
    lines += [f"{clipped(name, 100)}: {clipped(value, 100)}" for name, value in facts(message)]
    text = clipped("\n".join(line for line in lines if line), TEXT_LIMIT)
    pages = "\n".join(f"{words}: {url}" for words, url in links(message))
    return title, f"{text}\n{pages}".strip() or title


def build(options: AppriseOptions, _: ReceiverEnvironment) -> Receiver:
    """A receiver that sends by Apprise."""
    return AppriseReceiver(options)


def _rendered(options: AppriseOptions, message: Message) -> str:
    return "\n".join(words_of(message, said(options, message, CHANNEL)))


def _target(options: AppriseOptions) -> str:
    return "from a file" if options.url is None else options.url.reveal().partition(":")[0]


TYPE: Final = ReceiverType(
    name="apprise",
    options=AppriseOptions,
    target=_target,
    timeout=lambda options: options.timeout,
    build=build,
    render=_rendered,
)
