"""Settings at run time: durable with their record before they hold; a wrong one changes nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cbmon.breaker import State
from cbmon.settings import SettingsError
from cbmon.settings.sheet import Author, StaleError, TooManyChangesError, UnseenError

ADA = Author(actor="ada", reason="because", request="r1")


async def put(house: Any, name: str | None, tag: str | None = "*", **fields: Any) -> Any:
    return await house.tuning.put(name, fields, ADA, tag=tag)


async def test_a_change_is_in_force_at_once_and_state_and_counts_stay(house: Any) -> None:
    await house.fail(times=3)
    await put(house, "api", failure_threshold=4, recovery_timeout=9)
    breaker = house.breaker()
    assert (breaker.policy.failure_threshold, breaker.policy.recovery_timeout) == (4, 9.0)
    assert breaker.counts.consecutive_failures == 3
    await house.fail(times=1)
    assert breaker.state is State.OPEN


async def test_a_change_is_durable_with_its_record(house: Any) -> None:
    await put(house, "api", failure_threshold=3)
    (row,) = await house.audited()
    assert (row["action"], row["actor"], row["component"]) == ("change_settings", "ada", "api")
    assert (row["text"], row["request"]) == ("because", "r1")
    assert row["details"] == '{"failure_threshold":[null,3]}'
    await house.restart()
    assert house.breaker().policy.failure_threshold == 3
    assert house.monitor.component("api").sources == {"failure_threshold": "override"}
    assert house.tuning.sheet("api").changed_by == "ada"
    assert house.changes == [], "a restart changes nothing"


async def test_defaults_hold_for_every_breaker_below_its_override(house: Any) -> None:
    await put(house, "api", failure_threshold=3)
    await put(house, None, failure_threshold=8, auto_disable_enabled=True)
    assert house.breaker("api").policy.failure_threshold == 3
    assert house.breaker("db").policy.failure_threshold == 8
    assert house.breaker("api").policy.auto_disable_enabled
    assert house.monitor.component("api").sources == {
        "failure_threshold": "override",
        "auto_disable_enabled": "database",
    }
    await house.tuning.remove("api", ADA, tag=None)
    assert house.breaker("api").policy.failure_threshold == 8
    await put(house, None)
    assert house.breaker("db").policy == house.config().checks[1].policy
    assert house.monitor.component("db").sources == {}


async def test_a_shorter_wait_wakes_a_held_component_and_a_past_one_tries_at_once(
    house: Any,
) -> None:
    await house.fail(times=5)
    opened = house.clock.monotonic()
    assert house.timetable.due["api"] == pytest.approx(opened + 60, abs=0.01)
    await put(house, "api", recovery_timeout=20)
    assert house.timetable.due["api"] == pytest.approx(opened + 20, abs=0.01)
    house.clock.advance(10)
    runs = house.targets["api"].runs
    await put(house, "api", recovery_timeout=5)
    task = house.monitor.component("api").task
    if task is not None:
        await task
    assert house.targets["api"].runs == runs + 1


async def test_a_wrong_change_is_told_whole_recorded_and_changes_nothing(house: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        await put(house, "api", failure_threshold=0, recovery_jitter=2, colour="red")
    fields = {problem.field for problem in caught.value.problems}
    assert fields == {"failure_threshold", "recovery_jitter", "colour"}
    assert house.breaker().policy.failure_threshold == 5
    assert house.tuning.sheet("api").fields == {}
    (row,) = await house.audited()
    assert "failure_threshold: 0 is not allowed; expected a whole number >= 1" in row["refused"]


async def test_a_change_from_an_old_sheet_is_refused(house: Any) -> None:
    tag = house.tuning.sheet("api").tag
    await put(house, "api", tag, failure_threshold=3)
    with pytest.raises(StaleError):
        await put(house, "api", tag, failure_threshold=4)
    await put(house, "api", f'"other", {house.tuning.sheet("api").tag}', failure_threshold=4)
    assert len(house.refusals) == 1


async def test_an_unseen_change_may_not_unset_what_it_does_not_name(house: Any) -> None:
    await put(house, "api", None, failure_threshold=3)
    await put(house, "api", None, failure_threshold=3)
    await put(house, "api", None, failure_threshold=4, recovery_timeout=9)
    with pytest.raises(UnseenError) as caught:
        await put(house, "api", None, failure_threshold=5)
    assert caught.value.lost == ("recovery_timeout",)
    await put(house, "api", "*", failure_threshold=5)
    assert house.tuning.sheet("api").fields == {"failure_threshold": 5}


async def test_changes_have_a_limit_and_wrong_ones_do_not_count(house: Any) -> None:
    for _ in range(70):
        with pytest.raises(SettingsError):
            await put(house, "api", failure_threshold=0)
    for number in range(60):
        await put(house, "api", failure_threshold=number + 1)
    with pytest.raises(TooManyChangesError) as caught:
        await put(house, "api", failure_threshold=99)
    assert caught.value.retry_after == pytest.approx(1.0)
    assert house.breaker().policy.failure_threshold == 60
    house.clock.advance(1)
    await put(house, "api", failure_threshold=99)


async def test_checking_tells_what_would_hold_and_changes_nothing(house: Any) -> None:
    found = house.tuning.check("api", {"recovery_timeout": "90s"})
    assert found.policy.recovery_timeout == 90.0
    assert house.tuning.check(None, {"failure_threshold": 4}) is None
    with pytest.raises(SettingsError):
        house.tuning.check(None, {"failure_threshold": "four"})
    assert house.tuning.sheet("api").fields == {}
    assert house.refusals == []


@pytest.mark.parametrize("call", ["sheet", "check", "put", "remove"])
async def test_an_unknown_breaker_is_a_key_error(house: Any, call: str) -> None:
    tuning = house.tuning
    calls: dict[str, Any] = {
        "sheet": lambda: tuning.sheet("nobody"),
        "check": lambda: tuning.check("nobody", {}),
        "put": lambda: put(house, "nobody", failure_threshold=3),
        "remove": lambda: tuning.remove("nobody", ADA, tag=None),
    }

    async def asked() -> None:
        found = calls[call]()
        if asyncio.iscoroutine(found):
            await found

    with pytest.raises(KeyError):
        await asked()


async def test_an_edited_row_is_noticed_recorded_and_in_force(house: Any) -> None:
    house.edit("INSERT INTO breaker_settings (component, failure_threshold) VALUES ('api', 3)")
    await house.tuning.look()
    assert house.breaker().policy.failure_threshold == 3
    (change,) = house.changes
    assert (change.actor, change.component) == ("database", "api")
    assert change.changes == {"failure_threshold": [None, 3]}
    (row,) = await house.audited()
    assert (row["actor"], row["action"]) == ("database", "change_settings")
    house.edit("UPDATE breaker_settings SET recovery_timeout = '45s' WHERE component = '*'")
    await house.tuning.look()
    assert house.breaker("db").policy.recovery_timeout == 45.0
    house.edit("DELETE FROM breaker_settings")
    await house.tuning.look()
    assert house.breaker("db").policy.recovery_timeout == 120.0
    assert house.breaker("api").policy.failure_threshold == 5


async def test_looking_again_finds_nothing_new(house: Any) -> None:
    house.edit("INSERT INTO breaker_settings (component, failure_threshold) VALUES ('api', 3)")
    for _ in range(3):
        await house.tuning.look()
    assert len(house.changes) == 1
    assert len(await house.audited()) == 1


async def test_a_wrong_row_is_refused_once_and_the_old_value_stays_over_a_restart(
    house: Any,
) -> None:
    await put(house, "api", failure_threshold=3)
    house.edit("UPDATE breaker_settings SET failure_threshold = 'lots' WHERE component = 'api'")
    for _ in range(3):
        await house.tuning.look()
        house.edit("UPDATE breaker_settings SET changed_by = 'me' WHERE component = 'api'")
    assert house.breaker().policy.failure_threshold == 3
    (refusal,) = house.refusals
    assert refusal.actor == "database"
    assert refusal.refused == 'failure_threshold: "lots" is not allowed; expected a whole number'
    sheet = house.tuning.sheet("api")
    assert sheet.fields == {"failure_threshold": 3}
    assert [problem.field for problem in sheet.refused] == ["failure_threshold"]
    await house.restart()
    assert house.breaker().policy.failure_threshold == 3
    assert len(house.refusals) == 1, "it is told again at the start"
    house.edit("UPDATE breaker_settings SET failure_threshold = 4 WHERE component = 'api'")
    await house.tuning.look()
    assert house.breaker().policy.failure_threshold == 4
    assert house.tuning.sheet("api").refused == ()


async def test_a_wrong_row_is_told_whole(house: Any) -> None:
    house.edit(
        "INSERT INTO breaker_settings (component, failure_threshold, kind, recovery_jitter,"
        " success_threshold, half_open_max_calls) VALUES ('api', 'lots', 'luck', '7', '3', '2')"
    )
    await house.tuning.look()
    sheet = house.tuning.sheet("api")
    expected = {"failure_threshold", "kind", "recovery_jitter", "success_threshold"}
    assert {problem.field for problem in sheet.refused} == expected
    (refusal,) = house.refusals
    assert all(f"{name}: " in str(refusal.refused) for name in expected)
    assert 'failure_threshold: "lots"' in str(refusal.refused)


async def test_a_wrong_row_is_put_on_record_once_and_not_at_each_start(house: Any) -> None:
    house.edit("INSERT INTO breaker_settings (component, kind) VALUES ('api', 'luck')")
    await house.tuning.look()
    assert len(await house.audited()) == 1
    for _ in range(3):
        await house.restart()
        assert house.refusals == []
        assert house.tuning.sheet("api").refused, "the page still says so"
    await house.stop()
    house.edit("UPDATE breaker_settings SET kind = 'chance' WHERE component = 'api'")
    await house.start()
    assert len(house.refusals) == 1
    assert len(await house.audited()) == 2
    await put(house, "api", None, kind="count")
    await house.stop()
    house.edit("UPDATE breaker_settings SET kind = 'chance' WHERE component = 'api'")
    await house.start()
    assert len(house.refusals) == 1, "it had been right meanwhile"


async def test_a_wrong_row_of_a_breaker_that_is_not_configured_waits_too(house: Any) -> None:
    house.edit("INSERT INTO breaker_settings (component, kind) VALUES ('new', 'luck')")
    await house.tuning.look()
    assert house.refusals == []
    house.yaml = {**house.yaml, "new": {}}
    house.tuning.rebase(house.config())
    await house.tuning.look()
    assert [refusal.component for refusal in house.refusals] == ["new"]
    assert house.tuning.sheet("new").refused


async def test_a_row_that_another_configuration_makes_right_comes_into_force(house: Any) -> None:
    house.edit("INSERT INTO breaker_settings (component, max_recovery_timeout) VALUES ('db', 90)")
    await house.tuning.look()
    assert house.tuning.sheet("db").refused
    house.tuning.rebase(house.config(api={}, db={"recovery_timeout": 30.0}))
    await house.tuning.look()
    assert house.tuning.sheet("db").refused == ()
    assert house.tuning.sheet("db").effective.policy.max_recovery_timeout == 90.0


async def test_a_row_that_was_edited_while_nothing_ran_is_taken_up_and_recorded(
    house: Any,
) -> None:
    await house.stop()
    house.edit("INSERT INTO breaker_settings (component, failure_threshold) VALUES ('api', 3)")
    await house.start()
    assert house.breaker().policy.failure_threshold == 3
    assert [row["actor"] for row in await house.audited()] == ["database"]


async def test_rows_that_only_go_together_are_taken_up_together(house: Any) -> None:
    house.edit(
        "INSERT INTO breaker_settings (component, recovery_timeout) VALUES ('db', 30)",
        "UPDATE breaker_settings SET max_recovery_timeout = 90 WHERE component = '*'",
    )
    await house.tuning.look()
    assert house.refusals == []
    assert house.breaker("db").policy.max_recovery_timeout == 90.0


async def test_a_change_over_a_wrong_row_sets_it_right(house: Any) -> None:
    house.edit("INSERT INTO breaker_settings (component, kind) VALUES ('api', 'luck')")
    await house.tuning.look()
    assert house.tuning.sheet("api").refused
    await put(house, "api", None, kind="count")
    assert house.tuning.sheet("api").refused == ()
    await house.restart()
    assert house.refusals == []


async def test_an_edit_right_before_a_change_is_not_overwritten_unseen(house: Any) -> None:
    tag = house.tuning.sheet("api").tag
    house.edit("INSERT INTO breaker_settings (component, recovery_timeout) VALUES ('api', 9)")
    with pytest.raises(StaleError):
        await put(house, "api", tag, failure_threshold=3)
    with pytest.raises(UnseenError):
        await put(house, "api", None, failure_threshold=3)
    assert house.breaker().policy.recovery_timeout == 9.0


async def test_a_row_of_a_breaker_that_is_not_configured_waits(house: Any) -> None:
    house.edit("INSERT INTO breaker_settings (component, failure_threshold) VALUES ('new', 3)")
    await house.tuning.look()
    assert house.refusals == []
    assert house.changes == []
    assert await house.audited() == [], "nothing has changed yet"
    assert house.tuning.sheet(None).waiting == ("new",)
    config = house.config(api={}, new={})
    house.tuning.rebase(config)
    await house.tuning.look()
    assert house.tuning.sheet("new").effective.policy.failure_threshold == 3
    assert house.tuning.sheet(None).waiting == ()
    assert [change.component for change in house.changes] == ["new"]
    await house.restart()
    assert house.tuning.sheet(None).waiting == ("new",), "in force, and no breaker of that name"


async def test_a_configuration_that_the_settings_do_not_go_with_is_told(house: Any) -> None:
    await put(house, "api", max_recovery_timeout=90)
    fine, wrong = house.config(api={}), house.config(api={"recovery_timeout": 120.0})
    assert await house.tuning.problems_with(fine) == []
    wrong.source.write_text("checks:\n- {name: db}\n- name: api\n  breaker: lenient\n")
    (problem,) = await house.tuning.problems_with(wrong)
    assert problem.startswith(
        f"{wrong.source}:4:12: checks[1].breaker: api: max_recovery_timeout: 90.0 is not allowed; "
        "expected >= recovery_timeout 120.0"
    )
    assert "cbmon config diff" in problem
    wrong.source.unlink()
    (problem,) = await house.tuning.problems_with(wrong)
    assert problem.startswith(f"{wrong.source}:1:1: api: max_recovery_timeout: ")


async def test_at_the_start_the_yaml_holds_where_the_settings_do_not_go_with_it(
    house: Any,
) -> None:
    await put(house, "api", max_recovery_timeout=90)
    await house.stop()
    house.yaml = {"api": {"recovery_timeout": 120.0}}
    await house.start()
    assert house.breaker().policy == house.config().checks[0].policy
    assert any("max_recovery_timeout" in str(refusal.refused) for refusal in house.refusals)
    await house.audited()
    await house.restart()
    assert house.refusals == [], "it is on record already"
    await house.stop()
    house.yaml = {"api": {"recovery_timeout": 60.0}}
    await house.start()
    assert house.breaker().policy.max_recovery_timeout == 90.0, "nothing was lost"


async def test_a_store_that_does_not_answer_changes_nothing(
    house: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await house.store.close()
    await house.tuning.look()
    await house.tuning.look()
    assert caplog.text.count("settings cannot be read") == 1
    with pytest.raises(Exception, match="is not open"):
        await put(house, "api", failure_threshold=3)
    assert house.breaker().policy.failure_threshold == 5
