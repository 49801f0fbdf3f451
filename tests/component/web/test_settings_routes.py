"""Settings over HTTP: tags, preconditions, every problem at once; and what was done is on record.

Everything below the web is real: the store, the monitor, the settings.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cbmon.model import Category
from cbmon.recording import Recorder
from cbmon.settings import FIELDS
from cbmon.store import Journal
from cbmon.web.schemas import SCHEMAS
from tests.component.tuning.conftest import House
from tests.component.web.conftest import TOKENS, FakeDaemon, Served, serving

API = "/api/v1/breakers/api/settings"
ALL = "/api/v1/config/breaker"
ADMIN = {"token": "admin-tokén"}


def fits(schema: str, data: Any) -> None:
    document = {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": SCHEMAS}}
    jsonschema.Draft202012Validator(document).validate(data)


class Real(FakeDaemon):
    """The fake daemon of the other tests over a real store, monitor and settings."""

    def take(self, house: House) -> None:
        self.house, self.clock = house, house.clock
        self.journal = Journal(house.store)
        self.settings: Any = house.tuning
        self.record: Any = Recorder(
            house.store.record, self.journal, house.monitor.publish, house.clock
        )
        house.monitor._sinks = (house.events.append, self._write)

    def _write(self, event: Any) -> None:
        if event.kind in {"transition", "action"}:
            self.journal.write(event)
        elif event.kind == "failed":
            self.journal.note(event)

    def components(self) -> Any:
        return iter(self.house.monitor)

    def component(self, name: str) -> Any:
        return self.house.monitor.component(name)

    async def act(self, name: str, order: Any) -> None:
        self.house.monitor.act(
            name,
            order.operation.value,
            actor=order.actor,
            reason=order.reason or "",
            request=order.request,
        )


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path / "cbmon.db", api={}, db={"recovery_timeout": 120.0})
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def web(house: House) -> AsyncIterator[Served]:
    daemon = Real()
    daemon.take(house)
    daemon.journal.start()
    async with serving(daemon, tokens=TOKENS) as served:
        served.server.access.on_refusal = daemon.record.turned_away
        yield served
    await daemon.journal.stop(2.0)


async def put(web: Any, path: str, body: Any, **headers: str) -> Any:
    return await web.ask("PUT", path, json=body, headers=headers, **ADMIN)


async def test_an_answer_says_where_every_value_comes_from(web: Any) -> None:
    assert (await put(web, ALL, {"max_failure_cycles": 2})).status == 200
    reply = await put(web, API, {"failure_threshold": 3, "recovery_timeout": "90s"})
    fits("BreakerSettings", reply.json)
    its = reply.json
    assert its["settings"] == {"failure_threshold": 3, "recovery_timeout": 90.0}
    assert set(its["effective"]) == set(its["sources"]) == set(FIELDS)
    assert its["effective"]["failure_threshold"] == 3
    assert its["yaml"]["failure_threshold"] == 5
    assert its["sources"]["failure_threshold"] == "override"
    assert its["sources"]["max_failure_cycles"] == "database"
    assert its["sources"]["window_size"] == "yaml"
    assert its["changed_by"] == "ada"
    shown = (await web.get("/api/v1/breakers/api", token="viewer-token")).json
    assert shown["policy"]["failure_threshold"] == 3
    assert shown["policy_sources"]["failure_threshold"] == "override"


async def test_the_defaults_name_who_has_settings_of_his_own(web: Any) -> None:
    await put(web, API, {"failure_threshold": 3})
    reply = await put(web, ALL, {"timeout_seconds": 30, "reason": "shorter"})
    fits("DefaultSettings", reply.json)
    assert reply.json["settings"] == {"recovery_timeout": 30.0}
    assert reply.json["overrides"] == ["api"]


async def test_the_defaults_are_taken_away_as_a_whole(web: Any, house: Any) -> None:
    await put(web, ALL, {"max_failure_cycles": 2, "recovery_timeout": 9})
    tag = (await web.get(ALL, token="viewer-token")).headers["ETag"]
    stale = await web.ask("DELETE", ALL, headers={"If-Match": '"other"'}, **ADMIN)
    assert (stale.status, stale.code) == (412, "precondition_failed")
    for _ in range(2):
        gone = await web.ask("DELETE", f"{ALL}?reason=enough", headers={"If-Match": tag}, **ADMIN)
        fits("DefaultSettings", gone.json)
        assert (gone.status, gone.json["settings"]) == (200, {})
        tag = gone.headers["ETag"]
    assert house.breaker("db").policy == house.config().checks[1].policy
    newest = (await web.get("/api/v1/audit", token="viewer-token")).json["audit"][0]
    told = (newest["action"], newest["component"], newest["actor"], newest["text"])
    assert told == ("remove_settings", "*", "ada", "enough")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("category", ["app", "receiver"])
async def test_a_breaker_that_has_its_settings_elsewhere_says_where(
    guarded: Any, daemon: Any, method: str, category: str
) -> None:
    daemon.settings.sheet = daemon.settings.put = daemon.settings.remove = unknown
    daemon.add("shop:redis", category=Category(category))
    path = "/api/v1/breakers/shop:redis/settings"
    reply = await guarded.ask(method, path, json={}, **ADMIN)
    assert (reply.status, reply.code) == (409, "settings_elsewhere")
    fits("Error", reply.json)


def unknown(*_: Any, **__: Any) -> Any:
    raise KeyError("shop:redis")


async def test_a_tag_guards_a_change(web: Any) -> None:
    first = await web.get(API, token="viewer-token")
    tag = first.headers["ETag"]
    done = await put(web, API, {"failure_threshold": 3}, **{"If-Match": tag})
    assert (done.status, done.headers["ETag"] != tag) == (200, True)
    stale = await put(web, API, {"failure_threshold": 4}, **{"If-Match": tag})
    fits("Error", stale.json)
    assert (stale.status, stale.code) == (412, "precondition_failed")
    same = await web.get(API, token="viewer-token", headers={"If-None-Match": done.headers["ETag"]})
    assert (same.status, same.body) == (304, b"")


async def test_what_would_be_lost_unseen_needs_a_tag(web: Any) -> None:
    await put(web, API, {"failure_threshold": 3})
    again = await put(web, API, {"failure_threshold": 3})
    assert again.status == 200
    lost = await put(web, API, {"recovery_timeout": 9})
    assert (lost.status, lost.code) == (428, "precondition_required")
    assert lost.json["error"]["details"]["unset"] == ["failure_threshold"]
    assert (await put(web, API, {"recovery_timeout": 9}, **{"If-Match": "*"})).status == 200


async def test_taking_settings_away_twice_is_as_good_as_once(web: Any) -> None:
    await put(web, API, {"failure_threshold": 3})
    for _ in range(2):
        reply = await web.ask("DELETE", API, **ADMIN)
        assert (reply.status, reply.json["settings"]) == (200, {})
    assert reply.json["effective"]["failure_threshold"] == 5


async def test_a_dry_run_tells_and_changes_nothing(web: Any) -> None:
    reply = await put(web, f"{API}?dry_run=true", {"failure_threshold": 3})
    fits("BreakerSettings", reply.json)
    assert reply.json["effective"]["failure_threshold"] == 3
    wrong = await put(web, f"{API}?dry_run=true", {"failure_threshold": 0})
    assert wrong.status == 422
    assert (await put(web, f"{ALL}?dry_run=true", {"failure_threshold": 3})).status == 200
    assert (await web.get(API, token="viewer-token")).json["settings"] == {}
    assert (await web.get("/api/v1/audit", token="viewer-token")).json["audit"] == []


async def test_every_problem_is_told_with_field_value_and_bound(web: Any) -> None:
    body = {"failure_threshold": 0, "recovery_jitter": 7, "kindd": 1, "window_seconds": "soon"}
    reply = await put(web, API, body)
    fits("Error", reply.json)
    assert (reply.status, reply.code) == (422, "invalid_settings")
    problems = {one["field"]: one for one in reply.json["error"]["details"]["problems"]}
    assert set(problems) == set(body)
    assert problems["recovery_jitter"] == {
        "field": "recovery_jitter",
        "value": 7,
        "expected": "a finite number >= 0 and < 1",
        "breaker": None,
        "message": "recovery_jitter: 7 is not allowed; expected a finite number >= 0 and < 1",
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"not json", 400),
        (b"[1]", 400),
        (b'{"reason": 3}', 400),
        (b'{"failure_threshold": 3, "failure_threshold": 4}', 400),
        (b'{"reason": "two\\nlines"}', 400),
        (b'{"failure_threshold": NaN}', 422),
        (b'{"recovery_timeout": 1e999}', 422),
        (b'{"failure_threshold": ' + b"9" * 500 + b"}", 422),
        (b'{"adaptive_rules": [[1]]}', 422),
        (b'{"kind": {"a": [1, 2, 3]}}', 422),
        (b'{"auto_disable_enabled": "yes"}', 422),
        (b'{"failure_threshold": true}', 422),
        (b'{"failure_threshold": null}', 422),
        (b"[" * 30_000, 400),
    ],
)
async def test_whatever_is_sent_is_refused_in_one_shape(web: Any, body: bytes, status: int) -> None:
    reply = await web.ask("PUT", API, data=body, **ADMIN)
    assert reply.status == status
    fits("Error", reply.json)


async def test_thousands_of_wrong_names_cost_little_and_fill_no_record(
    web: Any, house: Any
) -> None:
    began = time.perf_counter()
    reply = await put(web, API, {f"failure_thresh0ld{n}": 1 for n in range(2000)})
    assert time.perf_counter() - began < 0.5
    assert (reply.status, len(reply.json["error"]["details"]["problems"])) == (422, 2000)
    (refusal,) = house.refusals
    assert len(refusal.refused) == 2000


async def test_two_hundred_wrong_settings_change_nothing_and_are_refused_at_once(
    web: Any, house: Any
) -> None:
    before = (await web.get(API, token="viewer-token")).headers["ETag"]
    junk: list[Any] = [-1, "x", {}, [], float("inf"), -0.5]
    wrong: list[dict[str, Any]] = [
        {name: value}
        for name in FIELDS
        for value in (*junk, 1 if name == "auto_disable_enabled" else True)
    ]
    assert len(wrong) >= 200
    slowest = 0.0
    for body in wrong:
        began = time.perf_counter()
        reply = await put(web, API, body)
        slowest = max(slowest, time.perf_counter() - began)
        assert reply.status == 422, body
    assert slowest < 1.0
    assert (await web.get(API, token="viewer-token")).headers["ETag"] == before
    assert house.breaker().policy == house.config().checks[0].policy


async def test_too_many_changes_are_told_when_to_come_again(web: Any) -> None:
    for number in range(60):
        assert (await put(web, API, {"failure_threshold": number + 1})).status == 200
    reply = await put(web, API, {"failure_threshold": 99})
    assert (reply.status, reply.code) == (429, "too_many_changes")
    assert reply.headers["Retry-After"] == "1"
    refused = (await web.get("/api/v1/audit?refused=true", token="viewer-token")).json["audit"]
    assert [(one["component"], one["details"]["code"]) for one in refused] == [
        ("api", "too_many_changes")
    ]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_only_admins_change_settings(web: Any, method: str) -> None:
    for token in ("viewer-token", "operator-token"):
        reply = await web.ask(method, API, json={}, token=token)
        assert (reply.status, reply.code) == (403, "forbidden")
    assert (await web.get(API, token="viewer-token")).status == 200


async def test_an_unknown_breaker_is_a_404(web: Any) -> None:
    for method in ("GET", "PUT", "DELETE"):
        reply = await web.ask(method, "/api/v1/breakers/nope/settings", json={}, **ADMIN)
        assert (reply.status, reply.code) == (404, "not_found")


async def test_the_difference_to_the_yaml_is_listed(web: Any) -> None:
    await put(web, API, {"failure_threshold": 3})
    reply = await web.get("/api/v1/config/diff", token="viewer-token")
    fits("Differences", reply.json)
    assert reply.json["differences"] == [
        {"name": "api", "field": "failure_threshold", "value": 3, "yaml": 5, "source": "override"}
    ]


async def test_what_was_done_and_refused_is_in_audit_and_events(web: Any, house: Any) -> None:
    ids = {"X-Request-ID": "deploy-17"}
    await put(web, API, {"failure_threshold": 3, "reason": "noisy"}, **ids)
    await put(web, API, {"failure_threshold": 0}, **ids)
    await web.post("/api/v1/breakers/db/disable", token="operator-token", headers=ids)
    await house.fail("api", 3)
    reply = await web.get("/api/v1/audit", token="viewer-token")
    fits("Audit", reply.json)
    assert [(e["action"], e["component"], e["actor"]) for e in reply.json["audit"]] == [
        ("disable", "db", "otto"),
        ("change_settings", "api", "ada"),
        ("change_settings", "api", "ada"),
    ]
    assert {entry["request"] for entry in reply.json["audit"]} == {"deploy-17"}
    assert [entry["refused"] is None for entry in reply.json["audit"]] == [True, False, True]
    assert reply.json["audit"][2]["details"] == {"failure_threshold": [None, 3]}
    events = await web.get("/api/v1/events?limit=20", token="viewer-token")
    fits("Events", events.json)
    kinds = [event["kind"] for event in events.json["events"]]
    assert kinds == [
        *("transition", "failed", "failed", "failed"),
        *("action", "disabled", "refused", "settings_changed"),
    ]
    report = await web.get("/api/v1/audit/verify", token="viewer-token")
    fits("AuditReport", report.json)
    assert (report.json["ok"], report.json["rows"]) == (True, 3)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("kind=failed", 2),
        ("kind=failed,disabled&component=db", 1),
        ("kind=refused", 0),
        ("since=2100-01-01T00:00:00Z", 0),
        ("until=2100-01-01", 4),
        ("since=0&until=99999999999", 4),
        ("component=nobody", 0),
    ],
)
async def test_events_are_filtered(web: Any, house: Any, query: str, count: int) -> None:
    await house.fail("api", 2)
    await web.post("/api/v1/breakers/db/disable", token="operator-token")
    reply = await web.get(f"/api/v1/events?{query}", token="viewer-token")
    assert (reply.status, len(reply.json["events"])) == (200, count)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/events?kind=nonsense",
        "/api/v1/events?kind=failed,",
        "/api/v1/events?since=yesterday",
        "/api/v1/events?since=1.2.3",
        "/api/v1/audit?refused=maybe",
        "/api/v1/audit?cursor=YWJj",
        "/api/v1/audit?limit=0",
        "/api/v1/config/diff?x=1",
    ],
)
async def test_a_wrong_question_is_a_400(web: Any, path: str) -> None:
    reply = await web.get(path, token="viewer-token")
    fits("Error", reply.json)
    assert reply.status == 400


async def test_the_audit_log_pages_without_gap_or_repeat(web: Any) -> None:
    for number in range(7):
        await put(web, API, {"failure_threshold": number + 1})
    found, cursor = [], ""
    while True:
        page = (await web.get(f"/api/v1/audit?limit=3{cursor}", token="viewer-token")).json
        found += [entry["seq"] for entry in page["audit"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == [7, 6, 5, 4, 3, 2, 1]


async def test_an_answer_has_the_id_of_its_request(web: Any) -> None:
    fresh = [(await web.get("/-/healthy")).headers["X-Request-ID"] for _ in range(2)]
    assert fresh[0] != fresh[1]
    mine = await web.get("/nowhere", headers={"X-Request-ID": "a-1.b_C"})
    assert mine.headers["X-Request-ID"] == "a-1.b_C"
    odd = await web.get("/-/healthy", headers={"X-Request-ID": "<script>"})
    assert len(odd.headers["X-Request-ID"]) == 16


async def test_many_at_once_with_tags_make_one_winner(web: Any, house: Any) -> None:
    tag = (await web.get(API, token="viewer-token")).headers["ETag"]
    replies = await asyncio.gather(
        *(put(web, API, {"failure_threshold": n + 10}, **{"If-Match": tag}) for n in range(10))
    )
    assert sorted(reply.status for reply in replies) == [200, *[412] * 9]
    winner = next(reply for reply in replies if reply.status == 200)
    policy = house.breaker().policy
    assert winner.json["effective"]["failure_threshold"] == policy.failure_threshold
