"""A message as a mail: text and HTML, threaded by incident, marked as automatic.

Rule: everything that comes from outside is escaped, and no header can be forged by a line break.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from typing import Final

from cbmon.model import Message
from cbmon.notify.receivers.wording import (
    clipped,
    description,
    facts,
    generator_url,
    is_over,
    runbook_url,
    summary,
)

SUBJECT_LIMIT: Final = 200
TEXT_LIMIT: Final = 4000
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.-]")


def letter_of(message: Message, sender: str, to: Sequence[str], now: float) -> EmailMessage:
    """The mail for a message, sent at Unix time ``now``."""
    letter = EmailMessage(policy=SMTP)
    letter["From"] = sender
    letter["To"] = ", ".join(to)
    letter["Subject"] = clipped(" ".join(_subject(message).split()), SUBJECT_LIMIT)
    letter["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    root = f"<{_safe(message.incident)}.{_safe(message.receiver)}@{_domain(sender)}>"
    if message.sequence <= 1 and not is_over(message):
        letter["Message-ID"] = root
    else:
        letter["Message-ID"] = f"<{_safe(message.id)}@{_domain(sender)}>"
        letter["In-Reply-To"] = root
        letter["References"] = root
    # RFC 3834: keeps vacation replies away.
    letter["Auto-Submitted"] = "auto-generated"
    letter["X-Auto-Response-Suppress"] = "All"
    letter.set_content(_text(message))
    letter.add_alternative(_html(message), subtype="html")
    return letter


def _subject(message: Message) -> str:
    """The same words at the beginning and the end, for clients that thread by subject."""
    mark = "OK" if is_over(message) else "DOWN"
    return f"[{mark}] {summary(message)}"


def _text(message: Message) -> str:
    lines = [summary(message), description(message), ""]
    lines += [f"{name}: {clipped(value, TEXT_LIMIT)}" for name, value in facts(message)]
    if error := message.body.get("last_error"):
        lines += ["", "Last error:", clipped(str(error), TEXT_LIMIT)]
    if url := generator_url(message.body):
        lines += ["", url]
        lines += [] if is_over(message) else [f"Runbook: {runbook_url(message.body)}"]
    return "\n".join(lines) + "\n"


def _html(message: Message) -> str:
    colour = "#12b76a" if is_over(message) else "#d92d20"
    rows = "".join(
        f'<tr><td style="padding:2px 16px 2px 0;color:#667085">{escape(name)}</td>'
        f"<td>{escape(clipped(value, TEXT_LIMIT))}</td></tr>"
        for name, value in facts(message)
    )
    error = message.body.get("last_error")
    shown = (
        '<pre style="background:#f2f4f7;padding:8px;white-space:pre-wrap">'
        f"{escape(clipped(str(error), TEXT_LIMIT))}</pre>"
        if error
        else ""
    )
    url = generator_url(message.body)
    book = f' · <a href="{escape(runbook_url(message.body))}">Runbook</a>'
    more = "" if is_over(message) else book
    link = f'<p><a href="{escape(url)}">Open in cbmon</a>{more}</p>' if url else ""
    return (
        '<div style="font-family:sans-serif;font-size:14px;color:#101828">'
        f'<p style="border-left:4px solid {colour};padding-left:12px;font-size:16px">'
        f"<b>{escape(summary(message))}</b><br>{escape(description(message))}</p>"
        f"<table>{rows}</table>{shown}{link}</div>\n"
    )


def _safe(text: str) -> str:
    return _UNSAFE.sub("-", text)


def _domain(sender: str) -> str:
    return _safe(sender.rpartition("@")[2]) or "localhost"
