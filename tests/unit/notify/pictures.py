"""Pictures of messages for the documents, drawn from what is really sent.

Rule: text and boxes only, the same on every machine; one function for each form of payload.
"""

from __future__ import annotations

import email
import email.policy
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from html import escape, unescape
from typing import Any, Final, NamedTuple

WIDTH: Final = 88
LINE: Final = 20
LEFT: Final = 28
SMALL, BIG, CODE = "small", "big", "code"
STYLES: Final = {
    BIG: 'font-size="16" font-weight="bold" fill="#101828"',
    SMALL: 'font-size="13" fill="#344054"',
    CODE: 'font-size="12" fill="#344054" font-family="monospace"',
}
RED: Final = "#d92d20"


class Card(NamedTuple):
    """What is drawn: a colour and lines, each in a style."""

    colour: str
    lines: list[tuple[str, str]]


def picture(kind: str, rendered: str) -> str:
    """An SVG of a rendered message."""
    card = CARDS[kind](rendered)
    rows = [(style, part) for style, text in card.lines for part in _wrapped(style, text)]
    height = LINE * len(rows) + 32
    texts = "\n".join(
        f'<text x="{LEFT}" y="{36 + LINE * number}" xml:space="preserve" {STYLES[style]}>'
        f"{escape(text)}</text>"
        for number, (style, text) in enumerate(rows)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" '
        f'viewBox="0 0 720 {height}" font-family="sans-serif">\n'
        f'<rect x="1" y="1" width="718" height="{height - 2}" rx="8" fill="#ffffff" '
        f'stroke="#d0d5dd"/>\n<rect x="12" y="14" width="4" height="{height - 28}" '
        f'rx="2" fill="{card.colour}"/>\n{texts}\n</svg>\n'
    )


def _wrapped(style: str, text: str) -> Iterator[str]:
    for line in text.splitlines() or [""]:
        found = textwrap.wrap(line, WIDTH - 8 if style == BIG else WIDTH, drop_whitespace=False)
        yield from found or [""]


def _slack(rendered: str) -> Card:
    [attachment] = json.loads(rendered)["attachments"]
    lines: list[tuple[str, str]] = []
    for block in attachment["blocks"]:
        if "text" in block:
            style = BIG if not lines else SMALL
            lines.append((style, _mrkdwn(block["text"]["text"])))
        lines += [
            (SMALL, _mrkdwn(one["text"]).replace("\n", ": ")) for one in block.get("fields", ())
        ]
    return Card(attachment["color"], lines)


def _mrkdwn(text: str) -> str:
    linked = re.sub(r"<([^|>]+)\|([^>]+)>", r"\2", text)
    return unescape(linked.replace("```", "").replace("*", ""))


def _discord(rendered: str) -> Card:
    [embed] = json.loads(rendered)["embeds"]
    said = re.sub(r"\[([^]]+)\]\(<[^>]+>\)", r"\1", embed["description"]).replace("```", "")
    fields = [f"{one['name']}: {one['value']}" for one in embed["fields"]]
    lines = [(BIG, embed["title"]), *((SMALL, one) for one in [said, *fields])]
    return Card(
        f"#{embed['color']:06x}", [(style, text.replace("\\", "")) for style, text in lines]
    )


def _telegram(rendered: str) -> Card:
    text = unescape(re.sub(r"</?\w[^>]*>", "", json.loads(rendered)["text"]))
    first, *rest = text.splitlines()
    return Card(RED, [(BIG, first), *((SMALL, one) for one in rest)])


def _ntfy(rendered: str) -> Card:
    told = json.loads(rendered)
    buttons = "  ".join(f"[{one['label']}]" for one in told["actions"])
    first = f"{told['title']}  (priority {told['priority']})"
    return Card(RED, [(BIG, first), (SMALL, told["message"]), (SMALL, buttons)])


def _teams(rendered: str) -> Card:
    [attachment] = json.loads(rendered)["attachments"]
    card = attachment["content"]
    blocks = ["".join(run["text"] for run in block["inlines"]) for block in card["body"]]
    buttons = "  ".join(f"[{one['title']}]" for one in card["actions"])
    return Card(RED, [(BIG, blocks[0]), *((SMALL, one) for one in [*blocks[1:], buttons])])


def _pagerduty(rendered: str) -> Card:
    event = json.loads(rendered)[0]
    told = event["payload"]
    details = [f"{name}: {value}" for name, value in told["custom_details"].items()]
    head = f"{event['event_action']}  {told['severity']}  {event['dedup_key']}"
    links = "  ".join(f"[{one['text']}]" for one in event["links"])
    more = [head, f"source: {told['source']}", *details, links]
    return Card(RED, [(BIG, told["summary"]), *((SMALL, one) for one in more)])


def _email(rendered: str) -> Card:
    letter = email.message_from_string(rendered, policy=email.policy.default)
    head = [f"{name}: {letter[name]}" for name in ("From", "To")]
    text = letter.get_body(("plain",))
    assert text is not None
    lines = [(SMALL, one) for one in [*head, "", *text.get_content().splitlines()]]
    return Card(RED, [(BIG, letter["Subject"]), *lines])


def _alertmanager(rendered: str) -> Card:
    [alert] = json.loads(rendered)
    labels = ", ".join(f'{name}="{value}"' for name, value in alert["labels"].items())
    notes = [f"{name}: {value}" for name, value in alert["annotations"].items()]
    more = [f"startsAt {alert['startsAt']}", labels, *notes]
    return Card(RED, [(BIG, alert["labels"]["alertname"]), *((SMALL, one) for one in more)])


def _json(rendered: str) -> Card:
    told: dict[str, Any] = json.loads(rendered)
    short = {name: told[name] for name in ("version", "status", "groupLabels", "alerts")}
    return Card(RED, [(CODE, line) for line in json.dumps(short, indent=2).splitlines()])


def _plain(rendered: str) -> Card:
    first, *rest = rendered.splitlines()
    return Card(RED, [(BIG, first), *((SMALL, one) for one in rest)])


CARDS: Final[dict[str, Callable[[str], Card]]] = {
    "alertmanager": _alertmanager,
    "apprise": _plain,
    "discord": _discord,
    "email": _email,
    "ntfy": _ntfy,
    "pagerduty": _pagerduty,
    "slack": _slack,
    "teams": _teams,
    "telegram": _telegram,
    "webhook": _json,
}
