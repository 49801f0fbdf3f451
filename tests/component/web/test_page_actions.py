"""Forms of the pages: every change is asked back and judged by the server; no script is needed."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from cbmon.model import Message, MessageState
from cbmon.settings.sheet import TooManyChangesError
from cbmon.web.confirm import QUESTIONS

OTTO, ADA, VERA = "operator-token", "admin-tokén", "viewer-token"


async def send(web: Any, path: str, *, token: str = OTTO, **fields: str) -> Any:
    return await web.post(path, token=token, data=fields)


def fields_of(text: str) -> set[str]:
    return set(re.findall(r'<(?:input|select|textarea)[^>]*\sname="([^"]+)"', text))


@pytest.fixture
def disabled(daemon: Any) -> Any:
    breaker = daemon.component("flaky").breaker
    breaker.disable(reason="too many cycles")
    return breaker


@pytest.mark.parametrize("operation", QUESTIONS)
async def test_every_action_is_asked_back_with_the_state_and_its_reason(
    guarded: Any, operation: str
) -> None:
    reply = await guarded.get(f"/components/flaky/actions/{operation}", token=OTTO)
    assert reply.status == 200
    assert "flaky is open" in reply.text
    assert "connection refused" in reply.text
    assert "reason" in fields_of(reply.text)


async def test_enabling_offers_both_ways_with_the_counters(guarded: Any, disabled: Any) -> None:
    text = (await guarded.get("/components/flaky/actions/enable", token=OTTO)).text
    assert "Reset counters" in text
    assert "Keep counters" in text
    assert "too many cycles" in text


@pytest.mark.parametrize(("choice", "state"), [("yes", "closed"), ("no", "half_open")])
async def test_the_choice_of_counters_is_carried_out(
    guarded: Any, daemon: Any, disabled: Any, choice: str, state: str
) -> None:
    reply = await send(
        guarded, "/components/flaky/actions/enable", reset_counters=choice, reason="mended"
    )
    assert (reply.status, reply.headers["Location"]) == (303, "/components/flaky?done=enable")
    assert disabled.state == state
    _, order = daemon.orders[-1]
    assert (order.actor, order.reason) == ("otto", "mended")
    assert "Enabled." in (await guarded.get(reply.headers["Location"], token=OTTO)).text


@pytest.mark.parametrize("operation", ["check", "observe"])
async def test_the_request_of_an_action_is_on_record(
    guarded: Any, daemon: Any, operation: str
) -> None:
    await guarded.post(
        f"/components/api/actions/{operation}",
        token=OTTO,
        data={"reason": "deploy"},
        headers={"X-Request-ID": "deploy-17"},
    )
    authors = daemon.authors or [order for _, order in daemon.orders]
    assert [(one.actor, one.reason, one.request) for one in authors] == [
        ("otto", "deploy", "deploy-17")
    ]


async def test_a_row_that_waits_for_its_breaker_is_shown(guarded: Any, daemon: Any) -> None:
    sheet = daemon.settings.sheet(None)
    daemon.settings.sheet = lambda _: replace(sheet, waiting=("shop-<apii>",))
    text = (await guarded.get("/settings", token=VERA)).text
    assert "The row of shop-&lt;apii&gt; waits: no breaker has that name" in text


async def test_too_many_changes_of_settings_are_told_to_the_hook_once(
    guarded: Any, daemon: Any
) -> None:
    async def too_many(*_: Any, **__: Any) -> None:
        raise TooManyChangesError(2.5)

    daemon.settings.put = too_many
    told: list[Any] = []
    guarded.server.access.on_refusal = told.append
    reply = await send(guarded, "/settings", token=ADA, kind="count")
    assert (reply.status, reply.headers["Retry-After"]) == (429, "3")
    assert "too many changes" in reply.text
    assert [(one.code, one.actor, one.route) for one in told] == [
        ("too_many_changes", "ada", "/settings")
    ]


@pytest.mark.parametrize(
    ("fields", "state", "wait"),
    [
        ({"how": "recover"}, "open", 60.0),
        ({"how": "for", "for": "10m"}, "open", 600.0),
        ({"how": "hold"}, "forced_open", None),
    ],
)
async def test_opening_lasts_as_long_as_was_said(
    guarded: Any, daemon: Any, fields: dict[str, str], state: str, wait: float | None
) -> None:
    reply = await send(guarded, "/components/api/actions/open", **fields)
    breaker = daemon.component("api").breaker
    assert reply.status == 303
    assert (breaker.state, breaker.retry_after) == (state, wait)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"how": "for", "for": "soon"}, 'id="for-wrong">expected a duration'),
        ({"how": "for", "for": "0s"}, 'id="for-wrong">expected more than 0'),
        ({"how": "for", "for": "9000d"}, 'id="for-wrong">expected more than 0 and at most a year'),
        ({"how": "hold", "reason": "x" * 501}, 'id="reason-wrong">at most 500 characters'),
    ],
)
async def test_a_wrong_field_is_told_beside_it_and_changes_nothing(
    guarded: Any, daemon: Any, fields: dict[str, str], wrong: str
) -> None:
    reply = await send(guarded, "/components/api/actions/open", **fields)
    assert reply.status == 422
    assert wrong in reply.text
    assert 'aria-invalid="true"' in reply.text
    assert daemon.component("api").breaker.state == "closed"


async def test_an_impossible_move_is_told_and_changes_nothing(guarded: Any, disabled: Any) -> None:
    reply = await send(guarded, "/components/flaky/actions/open", how="hold")
    assert reply.status == 409
    assert "nothing changed" in reply.text
    assert disabled.state == "disabled"


async def test_from_the_overview_one_comes_back_to_it(guarded: Any, disabled: Any) -> None:
    reply = await send(guarded, "/components/flaky/actions/enable", back="overview")
    assert reply.headers["Location"] == "/?done=enable"
    elsewhere = await send(guarded, "/components/api/actions/reset", back="https://evil.example")
    assert elsewhere.headers["Location"] == "/components/api?done=reset"


async def test_a_check_that_the_breaker_does_not_admit_says_so(guarded: Any, daemon: Any) -> None:
    from cbmon.model import SkipCause

    daemon.run_result = SkipCause.BREAKER
    reply = await send(guarded, "/components/flaky/actions/check")
    assert reply.headers["Location"] == "/components/flaky?done=skipped"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/components/api/actions/disable", {"reason": "x"}),
        ("/silences", {"matchers": "component=api", "for": "1h", "reason": "x"}),
        ("/silences/expire", {"id": "x"}),
        ("/notifications/retry", {"id": "x"}),
        ("/components/api/settings", {"failure_threshold": "2"}),
        ("/settings", {"failure_threshold": "2"}),
    ],
)
async def test_no_form_is_taken_from_who_may_not(
    guarded: Any, web: Any, daemon: Any, path: str, fields: dict[str, str]
) -> None:
    assert (await send(guarded, path, token=VERA, **fields)).status == 403
    assert (await guarded.post(path, data=fields)).status == 401
    assert (await web.post(path, data=fields)).status == 403
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    reply = await guarded.post(path, token=ADA, data=fields, headers=foreign)
    assert reply.status == 403
    assert daemon.orders == []
    assert daemon.component("api").breaker.policy.failure_threshold == 5


async def test_without_a_credential_the_buttons_say_how_to_enable_them(web: Any) -> None:
    text = (await web.get("/components/flaky")).text
    assert text.count('<button type="button" class="button" disabled>') >= 5
    assert "web.tokens" in text
    assert "<form" not in (await web.get("/components/flaky/actions/reset")).text


async def test_a_form_that_is_none_of_ours_is_refused(guarded: Any, daemon: Any) -> None:
    path = "/components/api/actions/reset"
    assert (await guarded.post(path, token=OTTO, json={"reason": "x"})).status == 415
    assert (await send(guarded, path, surprise="x")).status == 400
    assert (await guarded.get("/components/api/actions/explode", token=OTTO)).status == 404
    assert daemon.orders == []


# --- settings ------------------------------------------------------------------------------


async def test_each_value_says_where_it_comes_from(guarded: Any) -> None:
    await send(guarded, "/settings", token=ADA, failure_threshold="7")
    await send(guarded, "/components/api/settings", token=ADA, recovery_timeout="90s")
    text = (await guarded.get("/components/api", token=OTTO)).text
    shown = re.sub(r"<[^>]+>", " ", text.partition('id="settings"')[2])
    words = " ".join(shown.split())
    assert "failure threshold 7 defaults" in words
    assert "recovery timeout 1 min 30 s override" in words
    assert "kind count YAML" in words


async def test_typing_is_judged_and_changes_nothing(guarded: Any, daemon: Any) -> None:
    path = "/components/api/settings"
    reply = await send(guarded, path, token=ADA, failure_threshold="0", intent="check")
    assert reply.status == 200
    assert re.search(r'data-wrong="failure_threshold">expected [^<]+<', reply.text)
    fine = await send(guarded, path, token=ADA, failure_threshold="3", intent="check")
    assert fine.status == 200
    assert not re.search(r'data-wrong="failure_threshold">[^<]', fine.text)
    assert daemon.component("api").breaker.policy.failure_threshold == 5


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("failure_threshold", "many"),
        ("recovery_timeout", "-3s"),
        ("recovery_timeout", "soon"),
        ("recovery_jitter", "120%"),
        ("kind", "magic"),
        ("auto_disable_enabled", "perhaps"),
    ],
)
async def test_an_invalid_value_is_told_at_its_field(guarded: Any, field: str, text: str) -> None:
    reply = await send(guarded, "/components/api/settings", token=ADA, **{field: text})
    assert reply.status == 422
    assert re.search(rf'data-wrong="{field}">expected [^<]+<', reply.text)


async def test_everything_that_is_wrong_is_told_at_once(guarded: Any) -> None:
    wrong = {"failure_threshold": "0", "recovery_timeout": "soon"}
    reply = await send(guarded, "/components/api/settings", token=ADA, **wrong)
    for field in wrong:
        assert re.search(rf'data-wrong="{field}">expected [^<]+<', reply.text)


async def test_saved_settings_are_in_force_and_reset_gives_them_up(
    guarded: Any, daemon: Any
) -> None:
    path = "/components/api/settings"
    reply = await send(guarded, path, token=ADA, failure_threshold="9", recovery_timeout="2m")
    assert reply.headers["Location"] == "/components/api?done=settings"
    policy = daemon.component("api").breaker.policy
    assert (policy.failure_threshold, policy.recovery_timeout) == (9, 120.0)
    assert 'value="9"' in (await guarded.get(path, token=ADA)).text
    await send(guarded, path, token=ADA, intent="reset")
    assert daemon.component("api").breaker.policy.failure_threshold == 5


async def test_what_somebody_else_changed_is_not_overwritten(guarded: Any, daemon: Any) -> None:
    path = "/components/api/settings"
    seen = re.search(r'name="tag" value="([^"]+)"', (await guarded.get(path, token=ADA)).text)
    assert seen is not None
    tag = seen[1].replace("&#34;", '"')
    await send(guarded, path, token=ADA, failure_threshold="9")
    reply = await send(guarded, path, token=ADA, failure_threshold="2", tag=tag)
    assert reply.status == 409
    assert "Somebody else changed these settings" in reply.text
    assert 'value="2"' in reply.text
    assert daemon.component("api").breaker.policy.failure_threshold == 9


async def test_what_differs_from_yaml_is_listed(guarded: Any) -> None:
    await send(guarded, "/components/api/settings", token=ADA, failure_threshold="9")
    text = (await guarded.get("/settings", token=OTTO)).text
    table = " ".join(re.sub(r"<[^>]+>", " ", text.partition("<tbody>")[2]).split())
    assert table.startswith("api failure threshold 9 5 override")


# --- silences and messages -----------------------------------------------------------------


async def test_a_silence_is_made_shown_and_ended(guarded: Any, daemon: Any) -> None:
    reply = await send(
        guarded, "/silences", matchers='component="flaky"', reason="deploy", **{"for": "2h"}
    )
    assert reply.headers["Location"] == "/silences?done=made"
    text = (await guarded.get("/silences", token=OTTO)).text
    assert "deploy" in text
    assert "by otto" in text
    assert "silenced" in (await guarded.get("/", token=OTTO)).text
    assert "Silenced until" in (await guarded.get("/components/flaky", token=OTTO)).text
    assert "Silenced until" not in (await guarded.get("/components/api", token=OTTO)).text
    made = daemon.notifying.made[0]
    ended = await send(guarded, "/silences/expire", id=made.id)
    assert ended.headers["Location"] == "/silences?done=ended"
    assert "Nothing is silenced" in (await guarded.get("/silences", token=OTTO)).text
    assert (await send(guarded, "/silences/expire", id="nope")).status == 404


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"matchers": "", "for": "1h", "reason": "x"}, "w-matchers"),
        ({"matchers": "no matcher", "for": "1h", "reason": "x"}, "w-matchers"),
        ({"matchers": "a=b", "for": "long", "reason": "x"}, "w-for"),
        ({"matchers": "a=b", "for": "1h", "reason": ""}, "w-reason"),
    ],
)
async def test_a_silence_that_makes_no_sense_is_told_at_its_field(
    guarded: Any, daemon: Any, fields: dict[str, str], wrong: str
) -> None:
    reply = await send(guarded, "/silences", **fields)
    assert reply.status == 422
    assert re.search(rf'id="{wrong}"[^>]*>[^<]+<', reply.text)
    assert daemon.notifying.made == []


async def test_the_form_says_whom_a_silence_would_cover(guarded: Any, daemon: Any) -> None:
    fields = {"matchers": 'component=~"api|db"', "for": "1h", "reason": "x", "intent": "check"}
    assert "covers 2: api, db" in (await send(guarded, "/silences", **fields)).text
    assert daemon.notifying.made == []
    filled = (await guarded.get("/silences?component=db", token=OTTO)).text
    assert "component=&#34;db&#34;</textarea>" in filled


async def test_a_dead_letter_is_shown_and_sent_again(guarded: Any, daemon: Any) -> None:
    daemon.notifying.outbox.append(
        Message(
            id="m1",
            receiver="oncall/slack",
            incident="i",
            sequence=1,
            kind="opened",
            created_at=daemon.clock.time(),
            body={"component": "flaky"},
            attempts=3,
            last_error="no such channel",
            state=MessageState.DEAD,
        )
    )
    text = (await guarded.get("/notifications", token=OTTO)).text
    assert "1 message could not be delivered" in text
    assert "no such channel" in text
    reply = await send(guarded, "/notifications/retry", id="m1")
    assert reply.headers["Location"] == "/notifications?outcome=dead&done=retry"
    assert daemon.notifying.retried == ["m1"]
    assert (await send(guarded, "/notifications/retry", id="m2")).status == 404


async def test_incidents_that_go_on_stand_first(guarded: Any, daemon: Any) -> None:
    def outage(number: int, component: str, ended: float | None) -> dict[str, Any]:
        return {
            "id": f"{number:04}", "component": component, "category": "check",
            "started_at": daemon.clock.time() - 60, "ended_at": ended, "cause": "",
            "last_state": "open" if ended is None else "closed", "reason": "connect",
            "last_error": "refused", "moves": 2, "trials": 1, "receivers": [], "sequence": 0,
        }  # fmt: skip

    daemon.outages = [outage(2, "db", daemon.clock.time()), outage(1, "flaky", None)]
    text = (await guarded.get("/incidents", token=VERA)).text
    assert text.index("Going on") < text.index("flaky") < text.index(">Over<") < text.index(">db<")
    assert "nobody was told" in text


async def test_the_audit_page_shows_who_did_what_and_what_was_refused(
    guarded: Any, daemon: Any
) -> None:
    from cbmon.settings.sheet import Author

    daemon.record.note("disable", Author(actor="otto", reason="broken"), component="api")
    daemon.record.note("open", Author(actor="vera"), component="db", refused="role viewer")
    text = (await guarded.get("/audit", token=VERA)).text
    assert "broken" in text
    assert "role viewer" in text
    only = (await guarded.get("/audit?refused=yes&actor=vera", token=VERA)).text
    assert "broken" not in only
    for wrong in ("refused=maybe", "cursor=%2A", "surprise=1"):
        assert (await guarded.get(f"/audit?{wrong}", token=VERA)).status == 400


async def test_the_events_page_tells_of_one_component_or_of_all(guarded: Any, daemon: Any) -> None:
    daemon.component("flaky").breaker.reset(actor="otto", reason="again")
    text = (await guarded.get("/events?component=flaky", token=VERA)).text
    assert "Events of flaky" in text
    assert "by otto" in text
    assert "again" in text
    assert "Nothing matches" in (await guarded.get("/events?component=api", token=VERA)).text
    for wrong in ("kind=magic", "cursor=%2A", "surprise=1"):
        assert (await guarded.get(f"/events?{wrong}", token=VERA)).status == 400
