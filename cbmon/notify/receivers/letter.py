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
from cbmon.notify.receivers.colours import colour_of
from cbmon.notify.receivers.said import DEFAULT_WORDS, Channel, Said
from cbmon.notify.receivers.wording import (
    clipped,
    description,
    facts,
    is_over,
    links,
    summary,
)

SUBJECT_LIMIT: Final = 200
TEXT_LIMIT: Final = 4000
CHANNEL: Final = Channel(title=SUBJECT_LIMIT, text=TEXT_LIMIT)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.-]")


def letter_of(
    message: Message,
    sender: str,
    to: Sequence[str],
    now: float,
    texts: Said = DEFAULT_WORDS,
) -> EmailMessage:
    """The mail for a message, sent at Unix time ``now``."""
    letter = EmailMessage(policy=SMTP)
    letter["From"] = sender
    letter["To"] = ", ".join(to)
    subject = texts.title or _subject(message)
    letter["Subject"] = clipped(" ".join(subject.split()), SUBJECT_LIMIT)
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
    letter.set_content(_text(message, texts))
    letter.add_alternative(_html(message, texts), subtype="html")
    return letter


def _subject(message: Message) -> str:
    """The same words at the beginning and the end, for clients that thread by subject."""
    mark = "OK" if is_over(message) else "DOWN"
    return f"[{mark}] {summary(message)}"


def _text(message: Message, texts: Said) -> str:
    lines = [clipped(texts.title or summary(message), SUBJECT_LIMIT)]
    lines += _own_text(message) if texts.text is None else [clipped(texts.text, TEXT_LIMIT)]
    if pages := links(message):
        lines += ["", *(f"{words}: {url}" for words, url in pages)]
    return "\n".join(lines) + "\n"


def _own_text(message: Message) -> list[str]:
    lines = [clipped(description(message), TEXT_LIMIT), ""]
    lines += [f"{name}: {clipped(value, TEXT_LIMIT)}" for name, value in facts(message)]
    if error := message.body.get("last_error"):
        lines += ["", "Last error:", clipped(str(error), TEXT_LIMIT)]
    return lines


def _html(message: Message, texts: Said) -> str:
    title = escape(clipped(texts.title or summary(message), SUBJECT_LIMIT))
    pages = " · ".join(
        f'<a href="{escape(url)}">{escape(words)}</a>' for words, url in links(message)
    )
    below = f"<p>{pages}</p>" if pages else ""
    said, shown = escape(clipped(description(message), TEXT_LIMIT)), _own_html(message)
    if texts.text is not None:
        said, shown = escape(clipped(texts.text, TEXT_LIMIT)).replace("\n", "<br>\n"), ""
    return (
        '<div style="font-family:sans-serif;font-size:14px;color:#101828">'
        f'<p style="border-left:4px solid {colour_of(message).value};padding-left:12px;'
        f'font-size:16px"><b>{title}</b><br>{said}</p>{shown}{below}</div>\n'
    )


def _own_html(message: Message) -> str:
    rows = "".join(
        f'<tr><td style="padding:2px 16px 2px 0;color:#667085">{escape(name)}</td>'
        f"<td>{escape(clipped(value, TEXT_LIMIT))}</td></tr>"
        for name, value in facts(message)
    )
    error = message.body.get("last_error")
    if not error:
        return f"<table>{rows}</table>"
    return (
        f"<table>{rows}</table>"
        '<pre style="background:#f2f4f7;padding:8px;white-space:pre-wrap">'
        f"{escape(clipped(str(error), TEXT_LIMIT))}</pre>"
    )


def _safe(text: str) -> str:
    return _UNSAFE.sub("-", text)


def _domain(sender: str) -> str:
    return _safe(sender.rpartition("@")[2]) or "localhost"
