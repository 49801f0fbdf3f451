"""Silences, messages and test messages over the API and from the command line."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cbmon.cli.root import cli
from cbmon.model import Message, MessageState

OTTO = "operator-token"


async def cbmon(web: Any, *arguments: str) -> Result:
    environment = {"CBMON_TOKEN": OTTO, "CBMON_URL": web.url, "CBMON_SOCKET": None}
    return await asyncio.to_thread(CliRunner().invoke, cli, list(arguments), env=environment)


def letter(name: str, state: MessageState = MessageState.DEAD) -> Message:
    return Message(
        id=name,
        receiver="oncall/slack",
        incident="i1",
        sequence=1,
        kind="opened",
        created_at=1000.0,
        body={"component": "api"},
        last_error="answered 410 Gone",
        state=state,
    )


async def test_a_silence_is_made_listed_and_ended(guarded: Any, daemon: Any) -> None:
    order = {"matchers": ['team="shop"', "component=~api.*"], "for_seconds": 60, "reason": "deploy"}
    made = await guarded.post("/api/v1/silences", token=OTTO, json=order)
    assert made.status == 200
    assert (made.json["author"], made.json["state"]) == ("otto", "active")
    assert made.json["matchers"] == ['team="shop"', 'component=~"api.*"']
    listed = (await guarded.get("/api/v1/silences", token=OTTO)).json["silences"]
    assert listed == [made.json]
    daemon.clock.advance(10.0)
    ended = await guarded.ask("DELETE", f"/api/v1/silences/{made.json['id']}", token=OTTO)
    assert ended.json["state"] == "expired"
    assert (await guarded.get("/api/v1/silences", token=OTTO)).json["silences"] == []
    again = await guarded.ask("DELETE", f"/api/v1/silences/{made.json['id']}", token=OTTO)
    assert (again.status, again.code) == (404, "not_found")
    everything = await guarded.get("/api/v1/silences?expired=true", token=OTTO)
    assert len(everything.json["silences"]) == 1


async def test_silences_are_listed_page_by_page(guarded: Any, daemon: Any) -> None:
    order = {"matchers": ["team=shop"], "for_seconds": 60, "reason": "deploy"}
    for _ in range(5):
        assert (await guarded.post("/api/v1/silences", token=OTTO, json=order)).status == 200
    pages, cursor = [], ""
    for _ in range(3):
        page = await guarded.get(f"/api/v1/silences?limit=2{cursor}", token=OTTO)
        pages.append([one["id"] for one in page.json["silences"]])
        cursor = f"&cursor={page.json['next_cursor']}"
    assert pages == [["silence-4", "silence-3"], ["silence-2", "silence-1"], ["silence-0"]]
    assert page.json["next_cursor"] is None
    wrong = await guarded.get("/api/v1/silences?limit=0", token=OTTO)
    assert (wrong.status, wrong.code) == (400, "bad_request")


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({}, "matchers"),
        ({"matchers": [], "for_seconds": 1, "reason": "x"}, "matchers"),
        ({"matchers": ["team"], "for_seconds": 1, "reason": "x"}, "matchers"),
        ({"matchers": ["a=~("], "for_seconds": 1, "reason": "x"}, "matchers"),
        ({"matchers": [5], "for_seconds": 1, "reason": "x"}, "matchers"),
        ({"matchers": "a=b", "for_seconds": 1, "reason": "x"}, "matchers"),
        ({"matchers": ["a=b"], "reason": "x"}, "for_seconds"),
        ({"matchers": ["a=b"], "for_seconds": -1, "reason": "x"}, "for_seconds"),
        ({"matchers": ["a=b"], "for_seconds": 1}, "reason"),
        ({"matchers": ["a=b"], "for_seconds": 1, "reason": " "}, "reason"),
        ({"matchers": ["a=b"], "for_seconds": 1, "reason": "x" * 501}, "reason"),
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused(
    guarded: Any, daemon: Any, order: dict[str, Any], field: str
) -> None:
    reply = await guarded.post("/api/v1/silences", token=OTTO, json=order)
    assert reply.status == 400
    assert reply.json["error"]["details"]["field"] == field
    assert daemon.notifying.made == []


async def test_messages_are_paged_and_filtered(guarded: Any, daemon: Any) -> None:
    daemon.notifying.outbox = [letter(f"m{n}") for n in range(5)]
    daemon.notifying.outbox.append(letter("m9", MessageState.DELIVERED))
    first = (await guarded.get("/api/v1/notifications?outcome=dead&limit=3", token=OTTO)).json
    assert [one["id"] for one in first["notifications"]] == ["m4", "m3", "m2"]
    query = f"?outcome=dead&limit=3&cursor={first['next_cursor']}"
    rest = (await guarded.get(f"/api/v1/notifications{query}", token=OTTO)).json
    assert [one["id"] for one in rest["notifications"]] == ["m1", "m0"]
    assert rest["next_cursor"] is None
    assert rest["notifications"][0]["last_error"] == "answered 410 Gone"
    reply = await guarded.get("/api/v1/notifications?outcome=lost", token=OTTO)
    assert reply.status == 400


async def test_only_a_dead_letter_is_sent_again(guarded: Any, daemon: Any) -> None:
    daemon.notifying.outbox = [letter("m1"), letter("m2", MessageState.DELIVERED)]
    assert (await guarded.post("/api/v1/notifications/m1/retry", token=OTTO)).status == 200
    reply = await guarded.post("/api/v1/notifications/m2/retry", token=OTTO)
    assert (reply.status, reply.code) == (404, "not_found")


async def test_the_command_line_makes_lists_and_ends_silences(guarded: Any) -> None:
    for_two_hours = ("--for", "2h", "--reason", "deploy 1.4")
    made = await cbmon(guarded, "silence", "add", "team=shop", *for_two_hours, "--json")
    [silence] = json.loads(made.stdout)
    assert silence["reason"] == "deploy 1.4"
    listed = await cbmon(guarded, "silence")
    assert 'team="shop"' in listed.stdout
    ended = await cbmon(guarded, "silence", "expire", silence["id"])
    assert (ended.exit_code, "expired" in ended.stdout) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("silence", "add", "a=b"),
        ("silence", "add", "--for", "1h", "--reason", "x"),
        ("silence", "add", "a=b", "--for", "soon", "--reason", "x"),
        ("silence", "expire"),
        ("silence", "list", "a=b"),
        ("notify", "test"),
        ("notify", "retry"),
        ("notify", "retry", "m1", "--all"),
    ],
)
async def test_wrong_usage_is_said_and_changes_nothing(
    guarded: Any, daemon: Any, arguments: tuple[str, ...]
) -> None:
    result = await cbmon(guarded, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("cbmon: ")
    assert daemon.notifying.made == daemon.notifying.retried == []


async def test_the_command_line_lists_dead_letters_and_sends_them_again(
    guarded: Any, daemon: Any
) -> None:
    daemon.notifying.outbox = [letter("m1"), letter("m2")]
    listed = await cbmon(guarded, "notify", "dead")
    assert [line.split("\t")[0] for line in listed.stdout.splitlines()] == ["m2", "m1"]
    again = await cbmon(guarded, "notify", "retry", "--all")
    assert again.stdout == "2 messages are sent again\n"
    assert daemon.notifying.retried == ["m2", "m1"]
    assert (await cbmon(guarded, "notify", "retry", "gone")).exit_code != 0


async def test_a_receiver_is_tried_from_the_command_line(guarded: Any) -> None:
    shown = await cbmon(guarded, "notify", "test", "oncall", "--dry-run")
    assert (shown.exit_code, shown.stdout) == (0, "oncall/slack: rendered\nthe text\n")
    tried = await cbmon(guarded, "notify", "test", "oncall")
    assert tried.exit_code == 1
    assert "oncall/email: temporary (no answer)" in tried.stdout
    assert (await cbmon(guarded, "notify", "test", "nobody")).exit_code != 0
