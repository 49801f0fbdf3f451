"""``cbmon config`` and ``cbmon audit`` against a served daemon with real settings."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cbmon.cli.root import cli
from cbmon.config.secrets import Secret
from tests.component.tuning.conftest import House
from tests.component.web.conftest import Served, Token, serving
from tests.component.web.test_settings_routes import Real


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
    async with serving(daemon, tokens=[Token("ada", "admin", Secret("plain"))]) as served:
        yield served
    await daemon.journal.stop(2.0)


async def cbmon(web: Any, *arguments: str) -> Result:
    environment = {"CBMON_URL": web.url, "CBMON_TOKEN": "plain"}
    return await asyncio.to_thread(CliRunner().invoke, cli, list(arguments), env=environment)


async def test_settings_are_set_one_by_one_and_the_others_stay(web: Any, house: Any) -> None:
    first = await cbmon(web, "config", "set", "api", "failure_threshold=3", "--reason", "noisy")
    assert first.stdout == "set for api is now: failure_threshold=3\n"
    again = await cbmon(web, "config", "set", "api", "timeout_seconds=1m30s", "kind=count")
    assert "failure_threshold=3, recovery_timeout=90, kind=count" in again.stdout
    assert house.breaker().policy.recovery_timeout == 90.0
    gone = await cbmon(web, "config", "unset", "api", "kind", "recovery_timeout")
    assert gone.stdout == "set for api is now: failure_threshold=3\n"
    assert (await cbmon(web, "config", "unset", "api")).stdout == "set for api is now: nothing\n"


async def test_the_defaults_for_all_are_set_too(web: Any, house: Any) -> None:
    await cbmon(web, "config", "set", "--all", "auto_disable_enabled=true")
    assert house.breaker("db").policy.auto_disable_enabled
    shown = await cbmon(web, "config", "show")
    assert shown.stdout == "auto_disable_enabled\ttrue\n"
    await cbmon(web, "config", "unset", "--all")
    assert not house.breaker("db").policy.auto_disable_enabled


async def test_every_value_is_shown_with_its_source(web: Any) -> None:
    await cbmon(web, "config", "set", "db", "failure_threshold=3")
    rows = (await cbmon(web, "config", "show", "db")).stdout.splitlines()
    assert "failure_threshold\t3\toverride\t5" in rows
    assert "recovery_timeout\t120\tyaml\t120" in rows
    assert "slow_call_seconds\tnull\tyaml\tnull" in rows


async def test_what_differs_is_listed_and_can_be_pasted(web: Any) -> None:
    import yaml

    await cbmon(web, "config", "set", "api", "failure_threshold=3", "slow_call_seconds=2s")
    found = await cbmon(web, "config", "diff")
    assert found.stdout.splitlines() == [
        "api\tfailure_threshold\t5\t3\toverride",
        "api\tslow_call_seconds\tnull\t2\toverride",
    ]
    pasted = yaml.safe_load((await cbmon(web, "config", "diff", "--yaml")).stdout)
    assert pasted == [
        {"name": "api", "breaker": {"failure_threshold": 3, "slow_call_seconds": 2.0}}
    ]


async def test_a_wrong_value_says_every_problem_and_changes_nothing(web: Any, house: Any) -> None:
    wrong = await cbmon(web, "config", "set", "api", "failure_threshold=0", "max_failure_cycles=0")
    assert wrong.exit_code == 1
    assert "failure_threshold: 0 is not allowed; expected a whole number >= 1" in wrong.stderr
    assert wrong.stderr.count("is not allowed") == 2
    dry = await cbmon(web, "config", "set", "api", "failure_threshold=3", "--dry-run")
    assert dry.exit_code == 0
    assert house.breaker().policy.failure_threshold == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("set", "api", "failure_threshold", "kind"), "failure_threshold: has no value; write fai"),
        (("set", "api", "failure_threshold", "kind"), "\nkind: has no value; write kind=VALUE"),
        (("set", "api", "kind=count", "kind=time"), "kind: is given twice"),
        (("set", "api", "timeout_seconds=1", "recovery_timeout=2"), "recovery_timeout: is given"),
        (("set", "api", "reason=x"), "give it as --reason"),
        (("set", "api"), "needs SETTING=VALUE"),
        (("set", "failure_threshold=3"), "name a breaker first, or say --all"),
        (("unset", "api", "kind"), "kind is not set for api"),
        (("unset", "api", "kind", "colour"), "\ncolour is not set for api"),
    ],
)
async def test_a_slip_is_told_before_anything_is_sent(
    web: Any, arguments: tuple[str, ...], message: str
) -> None:
    result = await cbmon(web, "config", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


async def test_the_daemon_judges_all_that_is_typed_and_records_the_refusal(web: Any) -> None:
    typed = ("failure_treshold=3", "window_size=lots", "recovery_timeout=soon", "kind=luck")
    result = await cbmon(web, "config", "set", "api", *typed)
    assert result.exit_code == 1
    assert 'did you mean "failure_threshold"?' in result.stderr
    for word in typed:
        assert f"{word.split('=')[0]}: " in result.stderr
    assert 'window_size: "lots" is not allowed; expected a whole number' in result.stderr
    (row,) = (await cbmon(web, "audit", "list", "--refused")).stdout.splitlines()
    assert all(word.split("=")[0] in row for word in typed)


async def test_rows_that_wait_for_their_breaker_are_shown(web: Any, house: Any) -> None:
    house.edit("INSERT INTO breaker_settings (component, kind) VALUES ('apii', 'count')")
    await house.tuning.look()
    shown = await cbmon(web, "config", "show")
    assert "apii: waits for a breaker of this name" in shown.stderr


async def test_the_record_is_listed_and_verified(web: Any, house: Any) -> None:
    await cbmon(web, "config", "set", "api", "failure_threshold=3", "--reason", "noisy")
    await cbmon(web, "config", "set", "api", "failure_threshold=0")
    rows = [line.split("\t") for line in (await cbmon(web, "audit", "list")).stdout.splitlines()]
    assert [row[2:6] for row in rows] == [
        ["ada", "change_settings", "api", ""],
        ["ada", "change_settings", "api", "noisy"],
    ]
    assert len((await cbmon(web, "audit", "list", "--refused")).stdout.splitlines()) == 1
    whole = await cbmon(web, "audit", "verify")
    assert (whole.exit_code, whole.stdout.startswith("whole: 2 rows, head 2:")) == (0, True)
    offline = await cbmon(web, "audit", "verify", "--json", "--database", str(house.path))
    head = json.loads(offline.stdout)["head"]
    with sqlite3.connect(house.path) as connection:
        connection.execute("UPDATE audit SET actor = 'eve' WHERE seq = 1")
    connection.close()
    broken = await cbmon(web, "audit", "verify")
    assert broken.exit_code == 1
    assert broken.stdout.startswith("broken at row 1 (id ")
    assert (await cbmon(web, "audit", "verify", "--head", head)).exit_code == 2
    nowhere = await cbmon(web, "audit", "verify", "--database", "/nowhere.db")
    assert (nowhere.exit_code, "there is no database" in nowhere.stderr) == (2, True)


async def test_status_and_show_say_what_is_not_from_the_yaml(web: Any) -> None:
    assert "settings" not in (await cbmon(web, "status")).stdout
    await cbmon(web, "config", "set", "api", "failure_threshold=3")
    await cbmon(web, "config", "set", "--all", "max_failure_cycles=2")
    status = (await cbmon(web, "status")).stdout
    assert "3 not from the YAML but from database, override, of 2 breakers" in status
    shown = (await cbmon(web, "breakers", "show", "api")).stdout.splitlines()
    assert "failure_threshold\t3\toverride" in shown
    assert "max_failure_cycles\t2\tdatabase" in shown
    assert "window_size\t100\tyaml" in shown
