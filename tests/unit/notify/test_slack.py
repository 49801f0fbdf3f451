"""What Slack gets: within its limits, escaped, and the same on every machine."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.model import Message
from cbmon.notify.receivers.slack_blocks import SECTION_LIMIT, escaped, payload_of

BODY = {
    "component": "shop-api",
    "category": "check",
    "group": "shop",
    "target": "https://shop.example.net/health",
    "labels": {"team": "shop"},
    "tags": ["critical"],
    "depends_on": ["shop-db"],
    "external_url": "https://cbmon.example.net",
    "started_at": 1_767_225_600.0,
    "ended_at": None,
    "trials": 3,
    "reason": "connect",
    "last_error": "connection refused",
    "state": "open",
    "text": "5 failures in a row",
}


def message(kind: str = "opened", **body: Any) -> Message:
    return Message(
        id="m1",
        receiver="oncall/slack",
        incident="i1",
        sequence=1,
        kind=kind,
        created_at=0.0,
        body=BODY | body,
    )


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    return [text for item in value for text in texts(item)] if isinstance(value, list) else []


def test_an_outage_looks_like_this() -> None:
    assert payload_of(message()) == {
        "text": ":red_circle: shop-api is open",
        "attachments": [
            {
                "color": "#d92d20",
                "fallback": "shop-api is open",
                "blocks": [
                    _section(
                        "*shop-api is open*"
                        "  <https://cbmon.example.net/components/shop-api|Open in cbmon>"
                        " · <https://cbmon.example.net/runbooks/CircuitBreakerOpen|Runbook>"
                    ),
                    _section("5 failures in a row"),
                    _section("```connection refused```"),
                    {
                        "type": "section",
                        "fields": [
                            _field("*Reason*\nconnect"),
                            _field("*Target*\nhttps://shop.example.net/health"),
                            _field("*Since*\n2026-01-01T00:00:00.000Z"),
                            _field("*Trials*\n3"),
                            _field("*Group*\nshop"),
                            _field("*Depends on*\nshop-db"),
                            _field("*Tags*\ncritical"),
                            _field("*Labels*\nteam=shop"),
                        ],
                    },
                ],
            }
        ],
    }


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _field(text)}


def _field(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text}


def test_its_end_is_green_and_says_how_long_it_was() -> None:
    payload = payload_of(message("recovered", ended_at=1_767_226_800.0, state="closed"))
    assert payload["text"] == ":large_green_circle: shop-api has recovered after 20m"
    assert payload["attachments"][0]["color"] == "#12b76a"


def test_a_target_cannot_mention_a_channel_or_leave_its_fence() -> None:
    evil = "<!channel> ``` <https://evil.example.net|click> &"
    found = "\n".join(texts(payload_of(message(last_error=evil, text=evil, target=evil))))
    assert "<!" not in found
    assert "<https://evil" not in found
    assert found.count("```") <= 2 + 2 * evil.count("```")
    assert "&lt;!channel&gt; ''' " in found


@given(st.text(alphabet=st.sampled_from("a&<>…\n\0ä"), max_size=60), st.integers(1, 50))
def test_escaping_stays_within_the_limit_and_cuts_no_escape(text: str, limit: int) -> None:
    result = escaped(text, limit)
    assert len(result) <= limit
    rest = result.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert not set(rest) & set("&<>\0")


def test_slacks_own_models_accept_the_longest_message() -> None:
    try:
        from slack_sdk.models.blocks import SectionBlock
    except ImportError:
        if os.environ.get("CI") == "true":
            pytest.fail("slack_sdk is not installed")
        pytest.skip("slack_sdk is not installed")
    long = "<&>" * 20_000
    payload = payload_of(
        message(
            component=long,
            text=long,
            last_error=long,
            target=long,
            labels={long: long},
            tags=[long] * 50,
            external_url="https://cbmon.example.net",
        )
    )
    for block in payload["attachments"][0]["blocks"]:
        SectionBlock(**{key: value for key, value in block.items() if key != "type"}).to_dict()
        assert all(len(text) <= SECTION_LIMIT for text in texts(block))
