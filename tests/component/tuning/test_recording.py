"""What people did goes on record; a flood of what anybody can provoke is counted."""

from __future__ import annotations

from typing import Any

import pytest

from cbmon.recording import MOST_OF_A_FLOOD, Recorder
from cbmon.settings.sheet import Author
from cbmon.store import Journal
from cbmon.web.refusals import Refusal
from cbmon.web.services import ReloadOutcome


@pytest.fixture
def recorder(house: Any) -> Recorder:
    journal = Journal(house.store)
    return Recorder(house.store.record, journal, house.events.append, house.clock)


def refusal(actor: str = "stranger") -> Refusal:
    return Refusal(
        actor=actor,
        method="POST",
        route="/api/v1/breakers/{name}/open",
        name="api",
        status=401,
        code="unauthorized",
        text="this needs a token",
        client="192.0.2.1",
    )


def test_a_note_has_who_what_why_and_the_request(recorder: Recorder, house: Any) -> None:
    author = Author(actor="ada", reason="deploy", request="r1")
    recorder.note("silence", author, component="api", details={"id": "s1"})
    (event,) = house.events
    assert (event.action, event.actor, event.text) == ("silence", "ada", "deploy")
    assert (event.component, event.request, event.details) == ("api", "r1", {"id": "s1"})
    assert event.refused is None


def test_a_flood_is_counted_and_the_next_one_says_how_many(recorder: Recorder, house: Any) -> None:
    for _ in range(MOST_OF_A_FLOOD + 70):
        recorder.turned_away(refusal())
    assert len(house.events) == MOST_OF_A_FLOOD
    recorder.turned_away(refusal("local"))
    assert len(house.events) == MOST_OF_A_FLOOD + 1, "another one is told"
    house.clock.advance(60)
    recorder.turned_away(refusal())
    assert house.events[-1].details["unwritten_before"] == 70
    house.clock.advance(60)
    recorder.turned_away(refusal())
    assert "unwritten_before" not in house.events[-1].details


def test_a_refused_request_says_what_was_asked_from_where(recorder: Recorder, house: Any) -> None:
    recorder.turned_away(refusal())
    (event,) = house.events
    assert event.refused == "POST /api/v1/breakers/{name}/open: this needs a token"
    assert (event.action, event.component) == ("request", "api")
    assert event.details == {"status": 401, "code": "unauthorized", "client": "192.0.2.1"}


def test_many_senders_do_not_fill_the_memory(recorder: Recorder, house: Any) -> None:
    for number in range(3000):
        recorder.turned_away(refusal(f"nobody-{number}"))
    assert len(house.events) == 1000
    assert len(recorder._counts) == 1000


def test_a_reload_is_on_record_with_what_was_wrong(recorder: Recorder, house: Any) -> None:
    recorder.reloaded(ReloadOutcome(ok=True), "SIGHUP")
    recorder.reloaded(ReloadOutcome(ok=False, problems=("a: x", "b: y" * 2000)), "ada")
    good, bad = house.events
    assert (good.action, good.actor, good.refused) == ("reload", "SIGHUP", None)
    assert bad.refused.startswith("a: x; b: y")
    assert len(bad.refused) == 2000
