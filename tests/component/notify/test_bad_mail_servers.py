"""Mail servers that refuse, hang or break off, at every stage of a mail.

The server is a script: what it answers to each command; by default it takes the mail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cbmon.model import Delivery, Reason, Verdict
from cbmon.notify.receivers.email import EmailOptions, build
from cbmon.notify.receivers.kind import ReceiverEnvironment
from cbmon.testing import ManualClock
from tests.unit.notify.samples import message

DELIVERED, TEMPORARY, PERMANENT, _ = Verdict
DROPS, HANGS = "", "hangs"


class Mailer:
    """As much of a server as a client needs; ``answers`` are by the beginning of a command."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {"EHLO": "250-mail\r\n250-AUTH PLAIN LOGIN\r\n250 HELP"}
        self.taken = 0
        self.commands: list[str] = []
        self.over = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            going_on = await self.answer("hello", writer)
            while going_on and (line := await reader.readline()):
                command = line.decode().strip()
                self.commands.append(command)
                going_on = await self.answer(command, writer)
                if going_on and command == "DATA" and "DATA" not in self.answers:
                    await reader.readuntil(b"\r\n.\r\n")
                    self.taken += "text" not in self.answers
                    going_on = await self.answer("text", writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def answer(self, command: str, writer: asyncio.StreamWriter) -> bool:
        said = next((a for name, a in self.answers.items() if command.startswith(name)), None)
        if said == HANGS:
            await self.over.wait()
        if said in {DROPS, HANGS}:
            return False
        usual = {"hello": "220 mail", "DATA": "354 go", "QUIT": "221 bye", "AUTH": "235 in"}
        writer.write(f"{said or usual.get(command.split(maxsplit=1)[0], '250 ok')}\r\n".encode())
        return command != "QUIT"


@pytest.fixture
async def mailer() -> AsyncIterator[Mailer]:
    made = Mailer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    made.over.set()
    server.close()


async def mail(mailer: Mailer, *, timeout: float = 2.0, **smtp: Any) -> Delivery:
    """One mail, cut off after ``timeout`` seconds as a line would do it."""
    to = ("one@example.net", "two@example.net")
    server = {"host": "127.0.0.1", "port": mailer.port, "tls": "plain"} | smtp
    options = EmailOptions.model_validate({"to": to, "timeout": timeout, "smtp": server})
    receiver = build(options, ReceiverEnvironment(clock=ManualClock()))
    async with asyncio.timeout(timeout):
        return await receiver.deliver(message())


LOGIN: dict[str, Any] = {"username": "cbmon", "password": "hunter2"}
STAGES: dict[str, tuple[str, str, Verdict, Reason]] = {
    "4xx at the greeting": ("hello", "421 too busy", TEMPORARY, Reason.STATUS),
    "5xx at the greeting": ("hello", "554 no service for you", TEMPORARY, Reason.STATUS),
    "nothing at the greeting": ("hello", DROPS, TEMPORARY, Reason.CONNECT),
    "4xx at EHLO": ("EHLO", "421 closing", TEMPORARY, Reason.STATUS),
    "4xx at AUTH": ("AUTH", "454 later", TEMPORARY, Reason.AUTH),
    "5xx at AUTH": ("AUTH", "535 wrong password", TEMPORARY, Reason.AUTH),
    "nothing at AUTH": ("AUTH", DROPS, TEMPORARY, Reason.CONNECT),
    "4xx at MAIL": ("MAIL", "452 disk full", TEMPORARY, Reason.STATUS),
    "5xx at MAIL": ("MAIL", "553 sender not allowed", PERMANENT, Reason.STATUS),
    "a login is wanted at MAIL": ("MAIL", "530 5.7.0 log in first", TEMPORARY, Reason.AUTH),
    "4xx for everyone": ("RCPT", "451 greylisted", TEMPORARY, Reason.STATUS),
    "5xx for everyone": ("RCPT", "550 no such user", PERMANENT, Reason.STATUS),
    "4xx for one": ("RCPT TO:<one", "451 greylisted", TEMPORARY, Reason.STATUS),
    "5xx for one": ("RCPT TO:<one", "550 no such user", DELIVERED, Reason.STATUS),
    "nothing at RCPT": ("RCPT", DROPS, TEMPORARY, Reason.CONNECT),
    "4xx at DATA": ("DATA", "451 not now", TEMPORARY, Reason.STATUS),
    "5xx at DATA": ("DATA", "554 no", PERMANENT, Reason.STATUS),
    "4xx after the text": ("text", "452 disk full", TEMPORARY, Reason.STATUS),
    "5xx after the text": ("text", "554 looks like spam", PERMANENT, Reason.STATUS),
    "nothing after the text": ("text", DROPS, TEMPORARY, Reason.CONNECT),
    "no words at all": ("MAIL", "banana", TEMPORARY, Reason.STATUS),
}


@pytest.mark.parametrize(("stage", "said", "verdict", "reason"), STAGES.values(), ids=STAGES.keys())
async def test_a_server_that_answers(
    mailer: Mailer, stage: str, said: str, verdict: Verdict, reason: Reason
) -> None:
    mailer.answers[stage] = said
    delivery = await mail(mailer, **LOGIN)
    assert (delivery.verdict, delivery.reason) == (verdict, reason), delivery
    assert mailer.taken == stage.startswith("RCPT TO")
    assert "hunter2" not in str(delivery.error)


@pytest.mark.parametrize("goodbye", [DROPS, HANGS, "421 closing", "500 what", "banana"])
async def test_what_happens_after_the_mail_was_taken_changes_nothing(
    mailer: Mailer, goodbye: str
) -> None:
    mailer.answers["QUIT"] = goodbye
    assert (await mail(mailer)).verdict is DELIVERED
    assert mailer.taken == 1


async def test_a_server_without_a_login_is_sent_nothing(mailer: Mailer) -> None:
    mailer.answers["EHLO"] = "250-mail\r\n250 HELP"
    delivery = await mail(mailer, **LOGIN)
    assert (delivery.verdict, delivery.reason) == (TEMPORARY, Reason.AUTH)
    assert delivery.error == (
        "127.0.0.1: the server offers no login that can be used; nothing was sent"
    )
    assert not [said for said in mailer.commands if said.startswith(("AUTH", "MAIL"))]


async def test_an_offer_of_tls_that_is_taken_back_sends_nothing(mailer: Mailer) -> None:
    mailer.answers["EHLO"] = "250-mail\r\n250 STARTTLS"
    for refusal in ("454 not now", "502 what", "220 go on"):
        mailer.answers["STARTTLS"] = refusal
        delivery = await mail(mailer, tls="starttls", timeout=3.0, **LOGIN)
        assert delivery.verdict is TEMPORARY, refusal
    said = [one for one in mailer.commands if one.startswith(("AUTH", "MAIL"))]
    assert said == []


async def test_half_characters_and_control_characters_reach_nobody(mailer: Mailer) -> None:
    options = EmailOptions.model_validate(
        {
            "to": ["ops@example.net"],
            "timeout": 2.0,
            "smtp": {"host": "127.0.0.1", "port": mailer.port, "tls": "plain"},
        }
    )
    bad = "a\ud800b\x00c\u202ed\x1b[31m"
    receiver = build(options, ReceiverEnvironment(clock=ManualClock()))
    hostile = message(component=bad, text=bad, actor=bad, last_error=bad, target=bad)
    assert (await receiver.deliver(hostile)).verdict is DELIVERED
