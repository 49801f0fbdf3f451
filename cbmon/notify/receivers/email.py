"""E-mail by SMTP, with TLS that is asked for by name.

Rule: with ``starttls`` or ``tls`` nothing, credentials least of all, ever goes out in clear: a
server that does not offer it gets no message. A recipient that took a message does not get it
again because another one did not, nor because of anything that happens after the mail was taken.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from contextlib import suppress
from typing import Annotated, Final, Literal

import aiosmtplib
from pydantic import Field, StringConstraints, model_validator

from cbmon.config.fields import (
    Duration,
    LocalPath,
    Options,
    Secret,
    SecretFile,
    fault,
    secret_from,
)
from cbmon.errors import ConfigurationError
from cbmon.interfaces import Receiver
from cbmon.model import Delivery, Message, Reason, Verdict
from cbmon.notify.receivers.kind import ReceiverEnvironment, ReceiverType
from cbmon.notify.receivers.letter import CHANNEL, letter_of
from cbmon.notify.receivers.said import WordedOptions, said, saying
from cbmon.notify.receivers.wording import clipped

REMEMBERED: Final = 1000
"""Half-delivered messages whose recipients are kept in mind."""
SAID_LIMIT: Final = 200
COURTESY: Final = 0.5
"""Seconds that the server gets to say goodbye."""
LOGIN_WANTED: Final = frozenset({530, 534, 535, 538})
"""Answers that ask for another login (RFC 4954): a matter of options, not of the message."""
OF_THE_MAIL: Final = (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPDataError)
"""Answers to what is in the mail."""
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

Address = Annotated[str, StringConstraints(pattern=r"^[^\s@<>,;\x00-\x1f]+@[^\s@<>,;\x00-\x1f]+$")]


class SmtpOptions(Options):
    """The server that takes the mail."""

    host: str = Field("127.0.0.1", min_length=1, description="Name or address of the server.")
    port: int | None = Field(
        None, ge=1, le=65_535, description="Its port; 587 for starttls, 465 for tls, 25 for plain."
    )
    tls: Literal["starttls", "tls", "plain"] = Field(
        "starttls",
        description="starttls: begin in clear and insist on TLS; tls: TLS from the start; "
        "plain: no TLS, for a server on this machine.",
    )
    ca_file: LocalPath | None = Field(
        None, description="Trust the certificates in this file instead of the system's."
    )
    username: str | None = Field(None, description="Log in as.")
    password: Secret | None = Field(None, description="Log in with.")
    password_file: SecretFile | None = Field(None, description="A file that holds the password.")

    @model_validator(mode="after")
    def _credentials_stay_hidden(self) -> SmtpOptions:
        has_password = self.password is not None or self.password_file is not None
        if (self.username is not None) != has_password:
            raise fault("username and password belong together; give both or none")
        if has_password and self.tls == "plain" and self.host not in LOOPBACK:
            raise fault("with tls: plain the password would go out in clear; use starttls or tls")
        return self

    @property
    def usual_port(self) -> int:
        """The port to use."""
        return self.port or {"starttls": 587, "tls": 465, "plain": 25}[self.tls]


class EmailOptions(WordedOptions):
    """Messages by e-mail."""

    to: tuple[Address, ...] = Field(min_length=1, description="Who gets the mail.")
    from_: Address = Field(
        "cbmon@localhost", alias="from", description="The sender's address; replies go there."
    )
    smtp: SmtpOptions = Field(
        default_factory=lambda: SmtpOptions.model_validate({}),
        description="The server that takes the mail.",
    )
    timeout: Duration = Field(30.0, description="How long one delivery may take.")


class EmailReceiver:
    """See the module. ``_taken`` holds who has a message that others do not have yet."""

    def __init__(self, options: EmailOptions, environment: ReceiverEnvironment) -> None:
        self._options = options
        self._clock = environment.clock
        self._tls: ssl.SSLContext | None = None
        self._taken: OrderedDict[str, frozenset[str]] = OrderedDict()

    async def deliver(self, message: Message) -> Delivery:
        """Send one mail to everyone who does not have it yet."""
        done = self._taken.get(message.id, frozenset())
        left = [address for address in self._options.to if address not in done]
        texts = await saying(self._options, message, CHANNEL)
        sender, to = self._options.from_, self._options.to
        letter = letter_of(message, sender, to, self._clock.time(), texts)
        try:
            refused = await self._send(letter.as_bytes(), left)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = {one.recipient: (one.code, one.message) for one in error.recipients}
        except (aiosmtplib.SMTPException, ConfigurationError, OSError) as error:
            return classified(error, self._options.smtp.host)
        return self._judged(message.id, left, refused, done)

    async def close(self) -> None:
        """Nothing is kept: each delivery has a connection of its own."""

    async def _send(self, letter: bytes, to: list[str]) -> dict[str, tuple[int, str]]:
        smtp = self._options.smtp
        if smtp.tls != "plain" and self._tls is None:
            # Reading the trusted certificates takes 20 ms.
            self._tls = await asyncio.to_thread(_tls_context, smtp)
        password = secret_from(smtp.password, smtp.password_file)
        client = aiosmtplib.SMTP(
            hostname=smtp.host,
            port=smtp.usual_port,
            timeout=self._options.timeout,
            use_tls=smtp.tls == "tls",
            start_tls=smtp.tls == "starttls",
            tls_context=self._tls,
        )
        try:
            await client.connect()
            if smtp.username is not None and password is not None:
                await client.login(smtp.username, password.reveal())
            answers, _ = await client.sendmail(self._options.from_, to, letter)
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=COURTESY)
        finally:
            client.close()
        return {address: (answer.code, answer.message) for address, answer in answers.items()}

    def _judged(
        self,
        message_id: str,
        asked: list[str],
        refused: dict[str, tuple[int, str]],
        done: frozenset[str],
    ) -> Delivery:
        """Delivered when everyone has it or never will; temporary while someone may yet."""
        taken = done | {address for address in asked if address not in refused}
        later = {address for address, (code, _) in refused.items() if code < 500}
        self._taken.pop(message_id, None)
        if not refused:
            return Delivery(verdict=Verdict.DELIVERED)
        error = "; ".join(
            f"{address}: {code} {_line(said)}" for address, (code, said) in refused.items()
        )
        if later:
            never = frozenset(refused) - later
            self._taken[message_id] = taken | never
            while len(self._taken) > REMEMBERED:
                self._taken.popitem(last=False)
            return Delivery(verdict=Verdict.TEMPORARY, reason=Reason.STATUS, error=error)
        if taken:
            return Delivery(verdict=Verdict.DELIVERED, reason=Reason.STATUS, error=error)
        return Delivery(verdict=Verdict.PERMANENT, reason=Reason.STATUS, error=error)


def classified(error: Exception, host: str) -> Delivery:
    """The delivery behind a mail that nobody got.

    Permanent is only what the server said of the mail itself: its sender or its text.
    """
    verdict, reason, text = Verdict.TEMPORARY, Reason.PROTOCOL, type(error).__name__
    if isinstance(error, ConfigurationError):
        return Delivery(verdict=verdict, reason=Reason.CONFIG, error=str(error))
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        # Not permanent: the password may be exchanged while the message waits.
        reason, text = Reason.AUTH, f"the login was refused with {error.code}"
    elif isinstance(error, aiosmtplib.SMTPResponseException):
        reason, text = Reason.STATUS, f"answered {error.code} {_line(error.message)}"
        if error.code in LOGIN_WANTED:
            reason = Reason.AUTH
        elif error.code >= 500 and isinstance(error, OF_THE_MAIL):
            verdict = Verdict.PERMANENT
    elif isinstance(error, TimeoutError):
        reason, text = Reason.TIMEOUT, "no answer in time"
    elif isinstance(error.__cause__, ssl.SSLError) or isinstance(error, ssl.SSLError):
        reason, text = Reason.TLS, "no trusted TLS connection; nothing was sent"
    elif isinstance(error, aiosmtplib.SMTPServerDisconnected):
        reason, text = Reason.CONNECT, "it closed the connection before it took the mail"
    elif isinstance(error, aiosmtplib.SMTPConnectError | OSError):
        reason, text = Reason.CONNECT, "cannot connect"
    elif "STARTTLS extension" in str(error):
        reason, text = Reason.TLS, "the server does not offer STARTTLS; nothing was sent"
    elif "AUTH" in str(error) or "authentication" in str(error):
        reason, text = Reason.AUTH, "the server offers no login that can be used; nothing was sent"
    return Delivery(verdict=verdict, reason=reason, error=f"{host}: {text}")


def _line(said: str) -> str:
    return clipped(" ".join(said.split()), SAID_LIMIT)


def _tls_context(smtp: SmtpOptions) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=smtp.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"cannot use ca_file {smtp.ca_file}: {error}") from error


def build(options: EmailOptions, environment: ReceiverEnvironment) -> Receiver:
    """A receiver that sends mail."""
    return EmailReceiver(options, environment)


def _rendered(options: EmailOptions, message: Message) -> str:
    texts = said(options, message, CHANNEL)
    made = letter_of(message, options.from_, options.to, message.created_at, texts)
    return made.as_string()


TYPE: Final = ReceiverType(
    name="email",
    options=EmailOptions,
    target=lambda options: ", ".join(options.to),
    timeout=lambda options: options.timeout,
    build=build,
    render=_rendered,
)
