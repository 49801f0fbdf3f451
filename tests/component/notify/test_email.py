"""E-mail on a real SMTP server: threaded, marked as automatic, and nothing in clear by accident."""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cbmon.model import Message, Reason, Verdict
from cbmon.notify.receivers.email import EmailOptions, build
from cbmon.notify.receivers.kind import ReceiverEnvironment
from cbmon.testing import ManualClock

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
Serve = Callable[..., Awaitable[int]]


class Mailbox:
    """A handler that keeps what it took; ``answers`` refuse recipients by address."""

    def __init__(self) -> None:
        self.taken: list[tuple[list[str], EmailMessage]] = []
        self.answers: dict[str, str] = {}
        self.seen: list[str] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        self.seen.append(address)
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        self.taken.append((list(envelope.rcpt_tos), letter))
        return "250 OK"


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
async def serve(mailbox: Mailbox) -> AsyncIterator[Serve]:
    """Starts an SMTP server on the running loop; gives its port."""
    try:
        from aiosmtpd.smtp import SMTP
    except ImportError:
        if os.environ.get("CI") == "true":
            pytest.fail("aiosmtpd is not installed")
        pytest.skip("aiosmtpd is not installed")
    servers: list[asyncio.Server] = []

    async def start(**options: Any) -> int:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(mailbox, **options), "127.0.0.1", 0)
        servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1, and a server context that uses it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    extra = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *extra], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context


def receiver_for(port: int, *, to: tuple[str, ...] = ("ops@example.net",), **smtp: Any) -> Any:
    options = EmailOptions.model_validate(
        {
            "to": to,
            "from": "cbmon@example.net",
            "timeout": 5.0,
            "smtp": {"host": "127.0.0.1", "port": port, "tls": "plain"} | smtp,
        }
    )
    return build(options, ReceiverEnvironment(clock=ManualClock()))


def message(kind: str = "opened", **body: Any) -> Message:
    facts = {
        "component": "shop-api",
        "category": "check",
        "labels": {},
        "started_at": 1_767_225_600.0,
        "ended_at": None if kind == "opened" else 1_767_226_800.0,
        "state": "open" if kind == "opened" else "closed",
        "text": "5 failures in a row",
        "last_error": "<b>refused</b>",
    }
    return Message(
        id=f"msg_{kind}",
        receiver="oncall/email",
        incident="00063f-ab12",
        sequence=1,
        kind=kind,
        created_at=0.0,
        body=facts | body,
    )


async def test_an_outage_and_its_end_are_one_thread(serve: Serve, mailbox: Mailbox) -> None:
    receiver = receiver_for(await serve(), to=("ops@example.net", "boss@example.net"))
    assert (await receiver.deliver(message())).verdict is Verdict.DELIVERED
    assert (await receiver.deliver(message("recovered"))).verdict is Verdict.DELIVERED
    [(to, opened), (_, recovered)] = mailbox.taken
    assert to == ["ops@example.net", "boss@example.net"]
    assert opened["Subject"] == "[DOWN] shop-api is open"
    assert recovered["Subject"] == "[OK] shop-api has recovered after 20m"
    assert opened["Message-ID"] == "<00063f-ab12.oncall-email@example.net>"
    assert recovered["In-Reply-To"] == recovered["References"] == opened["Message-ID"]
    assert recovered["Message-ID"] != opened["Message-ID"]
    assert opened["Auto-Submitted"] == "auto-generated"
    assert opened["Date"].datetime.timestamp() == 1_767_225_600.0


async def test_what_a_target_said_is_escaped_and_forges_no_header(
    serve: Serve, mailbox: Mailbox
) -> None:
    evil = "api\r\nBcc: evil@example.net"
    receiver = receiver_for(await serve())
    assert (await receiver.deliver(message(component=evil))).verdict is Verdict.DELIVERED
    [(to, letter)] = mailbox.taken
    assert to == ["ops@example.net"]
    assert letter["Bcc"] is None
    html = letter.get_body(("html",))
    text = letter.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert "&lt;b&gt;refused&lt;/b&gt;" in html.get_content()
    assert "<b>refused</b>" in text.get_content()


async def test_greylisting_is_tried_again(serve: Serve, mailbox: Mailbox) -> None:
    receiver = receiver_for(await serve())
    mailbox.answers["ops@example.net"] = "451 4.7.1 greylisted, come back later"
    delivery = await receiver.deliver(message())
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, Reason.STATUS)
    assert delivery.error == "ops@example.net: 451 4.7.1 greylisted, come back later"
    mailbox.answers.clear()
    assert (await receiver.deliver(message())).verdict is Verdict.DELIVERED


async def test_one_refused_recipient_of_two_does_not_cost_the_other_the_mail(
    serve: Serve, mailbox: Mailbox
) -> None:
    receiver = receiver_for(await serve(), to=("gone@example.net", "ops@example.net"))
    mailbox.answers["gone@example.net"] = "550 5.1.1 no such user"
    delivery = await receiver.deliver(message())
    assert delivery.verdict is Verdict.DELIVERED
    assert delivery.error == "gone@example.net: 550 5.1.1 no such user"
    assert [to for to, _ in mailbox.taken] == [["ops@example.net"]]


async def test_who_has_the_mail_does_not_get_it_again_for_someone_elses_sake(
    serve: Serve, mailbox: Mailbox
) -> None:
    receiver = receiver_for(
        await serve(), to=("gone@example.net", "busy@example.net", "ops@example.net")
    )
    mailbox.answers["busy@example.net"] = "451 later"
    mailbox.answers["gone@example.net"] = "550 never"
    assert (await receiver.deliver(message())).verdict is Verdict.TEMPORARY
    del mailbox.answers["busy@example.net"]
    assert (await receiver.deliver(message())).verdict is Verdict.DELIVERED
    assert [to for to, _ in mailbox.taken] == [["ops@example.net"], ["busy@example.net"]]


async def test_when_nobody_exists_it_is_given_up(serve: Serve, mailbox: Mailbox) -> None:
    receiver = receiver_for(await serve())
    mailbox.answers["ops@example.net"] = "550 5.1.1 no such user"
    assert (await receiver.deliver(message())).verdict is Verdict.PERMANENT


async def test_a_server_without_starttls_gets_nothing_and_no_password(
    serve: Serve, mailbox: Mailbox
) -> None:
    receiver = receiver_for(await serve(), tls="starttls", username="cbmon", password="hunter2")
    delivery = await receiver.deliver(message())
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, Reason.TLS)
    assert delivery.error == "127.0.0.1: the server does not offer STARTTLS; nothing was sent"
    assert mailbox.seen == []


async def test_starttls_with_a_trusted_certificate_delivers(
    serve: Serve, mailbox: Mailbox, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    cert, context = certificate
    port = await serve(tls_context=context, require_starttls=True)
    receiver = receiver_for(port, tls="starttls", ca_file=str(cert))
    assert (await receiver.deliver(message())).verdict is Verdict.DELIVERED
    assert len(mailbox.taken) == 1


async def test_an_untrusted_certificate_gets_nothing(
    serve: Serve, mailbox: Mailbox, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    _, context = certificate
    receiver = receiver_for(await serve(tls_context=context), tls="starttls")
    delivery = await receiver.deliver(message())
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, Reason.TLS)
    assert mailbox.seen == []


async def test_a_server_that_is_not_there_is_tried_again(unused_tcp_port: int) -> None:
    delivery = await receiver_for(unused_tcp_port).deliver(message())
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, Reason.CONNECT)


async def test_a_missing_password_file_is_tried_again(serve: Serve, tmp_path: Path) -> None:
    receiver = receiver_for(
        await serve(), username="cbmon", password_file=str(tmp_path / "missing")
    )
    delivery = await receiver.deliver(message())
    assert (delivery.verdict, delivery.reason) == (Verdict.TEMPORARY, Reason.CONFIG)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "to"),
        ({"to": []}, "to"),
        ({"to": ["ops"]}, "to"),
        ({"to": ["a@b\r\nBcc: c@d"]}, "to"),
        ({"to": ["a@b"], "smtp": {"username": "x"}}, "belong together"),
        (
            {
                "to": ["a@b"],
                "smtp": {"host": "mx", "tls": "plain", "username": "x", "password": "hunter2"},
            },
            "would go out in clear",
        ),
    ],
)
def test_bad_options_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        EmailOptions.model_validate(values)
    assert "hunter2" not in str(caught.value)
