"""Teams, Discord, Telegram and ntfy: within their limits, and what a target says has no effect."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.model import Message
from cbmon.notify.receivers import discord, ntfy, receiver_type, teams, telegram
from cbmon.notify.receivers.http import encoded
from cbmon.notify.receivers.said import DEFAULT_WORDS
from cbmon.notify.receivers.wording import clipped_bytes
from tests.unit.notify.samples import HOSTILE, digest, hostile, message, recovery, texts

OPTIONS: dict[str, dict[str, Any]] = {
    "discord": {"webhook_url": "https://discord.com/api/webhooks/1/TOKEN"},
    "ntfy": {"topic": "cbmon", "token": "TOKEN"},
    "teams": {"webhook_url": "https://x.logic.azure.com/TOKEN"},
    "telegram": {"token": "1:TOKEN", "chat_id": -100},
}
LONG = "\u00fc" * 4000
EMOJI = "\U0001f4a5" * 4000
LARGEST, WIDEST = (
    message(
        text=long,
        last_error=long,
        target=long,
        group=long,
        tags=[long],
        depends_on=[long],
        dependants=[long],
        labels={"x": long},
    )
    for long in (LONG, EMOJI)
)
EVERYTHING = [
    *(message(), recovery(), digest(), digest(3), hostile(), digest(200, text=HOSTILE * 9)),
    *(LARGEST, WIDEST),
]


def payload(kind: str, told: Message, **options: Any) -> dict[str, Any]:
    found = receiver_type(kind)
    made = found.options.model_validate({**OPTIONS[kind], **options})
    assert found.render is not None
    rendered: dict[str, Any] = json.loads(found.render(made, told))
    return rendered


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_secret_shows_neither_in_options_nor_in_what_is_rendered(kind: str) -> None:
    found = receiver_type(kind)
    made = found.options.model_validate(OPTIONS[kind])
    for shown in (repr(made), made.model_dump_json(), found.target(made)):
        assert "TOKEN" not in shown
    assert "TOKEN" not in str(payload(kind, message()))


@pytest.mark.parametrize("kind", OPTIONS)
def test_an_outage_says_what_why_since_when_and_where_to_look(kind: str) -> None:
    said = " ".join(texts(payload(kind, message()))).replace("\\", "")
    for part in (
        "shop-api is open",
        "connection refused",
        "2026-01-01T00:00:00.000Z",
        "5 failures",
    ):
        assert part in said
    assert "https://cbmon.example.net/components/shop-api" in said
    assert "https://cbmon.example.net/runbooks/CircuitBreakerOpen" in said


@pytest.mark.parametrize("kind", OPTIONS)
def test_an_end_says_how_long_it_was_and_needs_no_runbook(kind: str) -> None:
    said = " ".join(texts(payload(kind, recovery()))).replace("\\", "")
    assert "shop-api has recovered after 18m" in said
    assert "runbooks" not in said


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_template_replaces_the_words_and_escapes_what_it_is_given(kind: str) -> None:
    mine = {"title": "{{ component }}!", "text": "why: {{ last_error }}"}
    plain = " ".join(texts(payload(kind, message(), **mine))).replace("\\", "")
    assert "shop-api!" in plain
    assert "why: connection refused" in plain
    assert "5 failures" not in plain


# --- Discord ---------------------------------------------------------------------------------


@pytest.mark.parametrize("told", EVERYTHING)
def test_discord_gets_no_more_than_it_takes(told: Message) -> None:
    made = payload("discord", told)
    [embed] = made["embeds"]
    assert made["allowed_mentions"] == {"parse": []}
    assert len(embed["title"]) <= 256
    assert len(embed["description"]) <= 4096
    assert len(embed["fields"]) <= 25
    for field in embed["fields"]:
        assert 1 <= len(field["name"]) <= 256
        assert 1 <= len(field["value"]) <= 1024
    counted = [embed["title"], embed["description"]]
    counted += [text for field in embed["fields"] for text in (field["name"], field["value"])]
    assert sum(map(len, counted)) <= 6000


def test_discord_shows_what_a_target_said_as_it_is() -> None:
    [embed] = payload("discord", hostile())["embeds"]
    outside = re.sub(r"```.*?```", "", embed["description"], flags=re.DOTALL)
    for text in (embed["title"], *(field["value"] for field in embed["fields"])):
        assert not re.search(r"(?<!\\)[*_`<\[]", re.sub(r"\\\\", "", text))
    assert embed["description"].count("```") == 2
    assert "[x](http" not in outside


@given(st.text(), st.integers(2, 60))
def test_discords_escapes_are_never_cut(text: str, limit: int) -> None:
    made = discord.escaped(text, limit)
    assert len(made) <= limit
    assert not re.sub(r"\\.", "", made).endswith("\\")


# --- Telegram --------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Holds every tag against Telegram's list, and that each is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"b", "a", "pre"}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("told", EVERYTHING)
def test_telegram_gets_whole_tags_and_no_more_than_it_takes(told: Message) -> None:
    made = payload("telegram", told)
    parser = Tags()
    parser.feed(made["text"])
    parser.close()
    assert parser.open == []
    assert len(parser.text.encode("utf-16-le")) // 2 <= 4096
    assert (made["chat_id"], made["parse_mode"]) == (-100, "HTML")


def test_telegram_gets_the_topic() -> None:
    made = payload("telegram", message(), message_thread_id=7)
    assert made["message_thread_id"] == 7


def test_telegram_shows_what_a_target_said_as_it_is() -> None:
    made = payload("telegram", message(last_error="</pre><b>x</b> & y"))
    assert "<pre>&lt;/pre&gt;&lt;b&gt;x&lt;/b&gt; &amp; y</pre>" in made["text"]


# --- ntfy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [*EVERYTHING, message(text="ä" * 5000, last_error="€" * 5000)])
def test_ntfy_gets_no_more_bytes_than_it_takes(told: Message) -> None:
    made = payload("ntfy", told)
    assert 1 <= len(made["message"].encode()) <= 4096
    assert len(made["title"].encode()) <= 250
    assert len(made["actions"]) <= 3
    assert "\n" not in made["title"]


@pytest.mark.parametrize(
    ("told", "options", "priority"),
    [
        (message(), {}, 5),
        (message(category="export"), {}, 4),
        (message(labels={"severity": "info"}), {}, 3),
        (recovery(), {}, 3),
        (message(), {"priority": 2}, 2),
    ],
)
def test_the_priority_at_ntfy_is(told: Message, options: dict[str, Any], priority: int) -> None:
    assert payload("ntfy", told, **options)["priority"] == priority


@given(st.text(), st.integers(3, 50))
def test_text_is_cut_between_characters(text: str, limit: int) -> None:
    made = clipped_bytes(text, limit)
    assert len(made.encode()) <= limit
    assert made == text or made.endswith("…")


# --- Teams -----------------------------------------------------------------------------------


@pytest.mark.parametrize("told", EVERYTHING)
def test_teams_gets_a_card_that_fits(told: Message) -> None:
    made = payload("teams", told)
    assert len(encoded(made)) <= 28 * 1024
    [attachment] = made["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert len(card["actions"]) <= 6


def test_teams_reads_no_markdown_anywhere() -> None:
    [attachment] = payload("teams", hostile())["attachments"]
    for block in attachment["content"]["body"]:
        assert block["type"] == "RichTextBlock"
        assert {run["type"] for run in block["inlines"]} == {"TextRun"}


# --- what they answer ------------------------------------------------------------------------

Escape = Callable[[str], str]


@pytest.mark.parametrize(
    "escape", [telegram.escaped, ntfy.escaped, discord.escaped, teams.CHANNEL.escape]
)
@given(text=st.text())
def test_escaping_never_fails(escape: Escape, text: str) -> None:
    assert isinstance(escape(text), str)


def test_half_a_character_does_not_keep_a_message_from_being_sent() -> None:
    assert encoded({"text": "a\ud800b"}) == b'{"text":"a?b"}'


def test_default_words_stay_without_templates() -> None:
    options = discord.DiscordOptions.model_validate(OPTIONS["discord"])
    same = discord.payload_of(options, message(), DEFAULT_WORDS)
    assert same == payload("discord", message())
