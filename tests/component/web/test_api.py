"""What the API shows, in the shapes that its own OpenAPI document promises."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from cbmon.model import Reason, Result
from cbmon.web.schemas import SCHEMAS


def fits(schema: str, data: Any) -> None:
    document = {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": SCHEMAS}}
    jsonschema.Draft202012Validator(document).validate(data)


async def test_the_summary_counts_and_names(web: Any) -> None:
    reply = await web.get("/api/v1/summary")
    fits("Summary", reply.json)
    assert reply.json["status"] == "degraded"
    assert reply.json["health_percentage"] == 75.0
    assert reply.json["breakers"] == {
        "total": 4,
        "closed": 3,
        "open": 1,
        "half_open": 0,
        "forced_open": 0,
        "forced_closed": 0,
        "observe": 0,
        "disabled": 0,
    }
    assert reply.json["open"] == ["flaky"]
    assert reply.json["by_category"]["export"]["healthy"] == 1


async def test_a_breaker_is_shown_as_the_contract_says(web: Any, daemon: Any) -> None:
    daemon.clock.advance(14.8)
    reply = await web.get("/api/v1/breakers/flaky")
    fits("Breaker", reply.json)
    its = reply.json
    assert (its["state"], its["state_value"], its["is_available"]) == ("open", 0, False)
    assert its["failure_count"] == 5
    assert its["last_failure_at"] == "2026-01-01T00:01:00.000Z"
    assert its["last_failure_reason"] == "connect"
    assert its["last_error"] == "connection refused"
    assert its["opened_at"] == "2026-01-01T00:01:00.000Z"
    assert its["retry_after_seconds"] == pytest.approx(45.2)
    assert its["timeout_remaining"] == its["retry_after_seconds"]
    assert its["metrics"] == {
        "total_calls": 5,
        "successful_calls": 0,
        "failed_calls": 5,
        "rejected_calls": 0,
        "slow_calls": 0,
        "trips": 1,
        "success_ratio": 0.0,
        "consecutive_failures": 5,
    }
    assert its["auto_disable"] == {
        "enabled": False,
        "auto_disabled_at": None,
        "auto_disabled_reason": None,
        "can_auto_enable": True,
    }
    assert its["policy"]["recovery_timeout"] == 60.0
    assert its["labels"] == {"team": "shop"}


async def test_a_breaker_that_used_up_its_cycles_says_when_and_why(web: Any, daemon: Any) -> None:
    daemon.add("gone", policy={"auto_disable_enabled": True, "max_failure_cycles": 1})
    daemon.fail("gone")
    daemon.clock.advance(61)
    daemon.fail("gone", 1, "still refused")
    its = (await web.get("/api/v1/breakers/gone")).json
    fits("Breaker", its)
    assert its["state"] == "disabled"
    assert its["auto_disable"]["auto_disabled_at"] == "2026-01-01T00:02:01.000Z"
    assert its["auto_disable"]["auto_disabled_reason"]
    assert its["auto_disable"]["can_auto_enable"] is True


async def test_one_that_an_operator_disabled_is_not_called_auto_disabled(
    web: Any, daemon: Any
) -> None:
    daemon.component("api").breaker.disable(actor="ada", reason="retired")
    its = (await web.get("/api/v1/breakers/api")).json
    assert its["auto_disable"]["auto_disabled_at"] is None
    assert its["auto_disable"]["can_auto_enable"] is False


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["api", "db", "flaky", "gateway"]),
        ("?state=open", ["flaky"]),
        ("?category=export", ["gateway"]),
        ("?tag=critical", ["api"]),
        ("?q=EXAMPLE.net", ["api", "db"]),
        ("?q=shop", ["api"]),
        ("?state=closed&category=check", ["api", "db"]),
        ("?q=nothing", []),
    ],
)
async def test_breakers_are_filtered(web: Any, query: str, names: list[str]) -> None:
    reply = await web.get(f"/api/v1/breakers{query}")
    fits("Breakers", reply.json)
    assert [its["name"] for its in reply.json["breakers"]] == names
    assert reply.json["total"] == len(names)


async def test_pages_follow_each_other_without_gap_or_repeat(web: Any, daemon: Any) -> None:
    for number in range(23):
        daemon.add(f"extra-{number:02}")
    found, cursor = [], ""
    for _ in range(10):
        reply = await web.get(f"/api/v1/breakers?limit=5{cursor}")
        found += [its["name"] for its in reply.json["breakers"]]
        if reply.json["next_cursor"] is None:
            break
        cursor = f"&cursor={reply.json['next_cursor']}"
    assert found == sorted(view.info.name for view in daemon.components())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/v1/breakers?limit=0", "limit: expected a whole number from 1 to 1000, got '0'"),
        ("/api/v1/breakers?limit=1e3", "limit: expected a whole number"),
        ("/api/v1/breakers?limit=%D9%A3", "limit: expected a whole number"),
        ("/api/v1/breakers?state=ajar", "state: expected one of closed, open, half_open"),
        ("/api/v1/breakers?stat=open", "unknown parameter 'stat'; did you mean 'state'?"),
        ("/api/v1/breakers?q=a&q=b", "parameter 'q' is given more than once"),
        ("/api/v1/breakers?cursor=%21", "cursor: expected the next_cursor of an earlier answer"),
        ("/api/v1/summary?x=1", "unknown parameter 'x'"),
    ],
)
async def test_a_wrong_question_is_told_what_would_do(web: Any, path: str, message: str) -> None:
    reply = await web.get(path)
    fits("Error", reply.json)
    assert (reply.status, reply.code) == (400, "bad_request")
    assert reply.json["error"]["message"].startswith(message)


@pytest.mark.parametrize(
    "path",
    ["/api/v1/breakers/nope", "/api/v1/checks/nope", "/api/v1/nope", "/api/v1/checks/gateway"],
)
async def test_what_is_not_there_is_a_404_in_the_same_shape(web: Any, path: str) -> None:
    reply = await web.get(path)
    fits("Error", reply.json)
    assert (reply.status, reply.code) == (404, "not_found")


async def test_available_is_200_or_503_for_load_balancers(web: Any) -> None:
    good = await web.get("/api/v1/breakers/api/available")
    bad = await web.get("/api/v1/breakers/flaky/available")
    fits("Available", good.json)
    fits("Available", bad.json)
    assert (good.status, bad.status) == (200, 503)
    assert bad.headers["Retry-After"] == "61"


async def test_checks_show_plan_and_last_run(web: Any, daemon: Any) -> None:
    reply = await web.get("/api/v1/checks")
    fits("Checks", reply.json)
    assert [its["name"] for its in reply.json["checks"]] == ["api", "db", "flaky"]
    api, db, flaky = reply.json["checks"]
    assert (api["up"], api["next_run_in_seconds"], api["interval_seconds"]) == (True, 12.0, 30.0)
    assert api["last"]["facts"] == {"status": 200}
    assert (db["up"], db["last"], db["last_run_at"]) == (None, None, None)
    assert (flaky["up"], flaky["last"]["reason"]) == (False, "connect")


async def test_facts_of_any_kind_are_shown(web: Any, daemon: Any) -> None:
    odd: Any = {
        "seen": {"a", "b"},
        "none": None,
        "nan": float("nan"),
        "bytes": b"x",
        3: [Reason.DNS],
    }
    daemon.ran("api", Result(ok=True, duration=1.0, facts=odd, certificate_expiry=1.8e9))
    reply = await web.get("/api/v1/checks/api")
    fits("Check", reply.json)
    facts = reply.json["last"]["facts"]
    assert facts["nan"] is None
    assert facts["3"] == ["dns"]
    assert reply.json["last"]["certificate_expires_at"] == "2027-01-15T08:00:00.000Z"


async def test_events_are_newest_first_and_page_back(web: Any, daemon: Any) -> None:
    daemon.clock.advance(61)
    daemon.ran("flaky", Result(ok=True, duration=0.1))
    first = await web.get("/api/v1/events?limit=2")
    fits("Events", first.json)
    assert [e["to_state"] for e in first.json["events"]] == ["closed", "half_open"]
    assert "snapshot" not in first.json["events"][0]
    assert first.json["events"][0]["incident_started_at"] == "2026-01-01T00:02:01.000Z"
    rest = await web.get(f"/api/v1/events?limit=2&cursor={first.json['next_cursor']}")
    assert [e["to_state"] for e in rest.json["events"]] == ["open"]
    assert rest.json["next_cursor"] is None
    other = await web.get("/api/v1/events?component=api")
    assert other.json["events"] == []


async def test_a_broken_store_takes_only_the_events_down(web: Any, daemon: Any) -> None:
    daemon.store_broken = True
    reply = await web.get("/api/v1/events")
    assert (reply.status, reply.code) == (503, "store_unavailable")
    assert (await web.get("/api/v1/summary")).status == 200


async def test_a_fault_of_ours_is_a_500_without_its_details(
    web: Any, daemon: Any, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.component("api").breaker = None
    reply = await web.get("/api/v1/summary")
    assert (reply.status, reply.code) == (500, "internal")
    assert "NoneType" not in reply.text
    assert "Traceback" in caplog.text


async def test_the_openapi_document_is_served_and_is_one(web: Any) -> None:
    document = (await web.get("/api/v1/openapi.json")).json
    assert document["openapi"] == "3.1.0"
    assert document["info"]["version"] == "9.9.9"
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    operations = [op for path in document["paths"].values() for op in path.values()]
    assert len({op["operationId"] for op in operations}) == len(operations)


async def test_every_address_in_the_document_answers_as_it_says(web: Any, daemon: Any) -> None:
    document = (await web.get("/api/v1/openapi.json")).json
    for path, methods in document["paths"].items():
        if "get" not in methods or path.endswith("/stream"):
            continue
        reply = await web.get(path.replace("{name}", "api"), headers={"Accept": "application/json"})
        content = methods["get"]["responses"][str(reply.status)]["content"]
        media = reply.headers["Content-Type"].partition(";")[0]
        assert media in content, path
        if media == "application/json":
            fits(content[media]["schema"]["$ref"].rpartition("/")[2], reply.json)


async def test_head_gives_the_header_only(web: Any) -> None:
    reply = await web.ask("HEAD", "/api/v1/summary")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("what", ["breakers", "checks"])
async def test_what_gave_up_leaves_the_list_of_what_is_in_service(
    web: Any, daemon: Any, what: str
) -> None:
    daemon.component("db").breaker.disable(actor="ada", reason="retired")
    active = (await web.get(f"/api/v1/{what}?active=true")).json[what]
    assert "db" not in [its["name"] for its in active]
    gone = (await web.get(f"/api/v1/{what}?active=false")).json[what]
    assert [its["name"] for its in gone] == ["db"]
    assert (await web.get(f"/api/v1/{what}?active=perhaps")).status == 400
