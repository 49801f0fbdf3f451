"""The commands that talk to a daemon, against a served one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cbmon.cli.root import cli


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CBMON_URL", "CBMON_SOCKET", "CBMON_TOKEN"):
        monkeypatch.delenv(name, raising=False)


async def cbmon(*arguments: str, **environment: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, cli, list(arguments), env=environment)


async def test_status_is_bad_news_while_something_is_not_well(web: Any, daemon: Any) -> None:
    bad = await cbmon("status", "--url", web.url)
    assert bad.exit_code == 1
    assert "degraded" in bad.stdout
    assert "flaky" in bad.stdout
    daemon.component("flaky").breaker.reset()
    good = await cbmon("status", CBMON_URL=web.url)
    assert (good.exit_code, good.stdout.split()[:2]) == (0, ["status", "ok"])


async def test_status_as_json_is_the_summary(web: Any) -> None:
    found = json.loads((await cbmon("status", "--json", "--url", web.url)).stdout)
    assert found["breakers"]["total"] == 4


async def test_breakers_are_listed_plain_in_a_pipe(web: Any) -> None:
    result = await cbmon("breakers", "--url", web.url)
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[:4] for row in rows] == [
        ["api", "closed", "check", "0"],
        ["db", "closed", "check", "0"],
        ["flaky", "open", "check", "5"],
        ["gateway", "closed", "export", "0"],
    ]
    assert rows[2][6] == "connection refused"


async def test_a_list_of_many_pages_is_whole(web: Any, daemon: Any) -> None:
    for number in range(600):
        daemon.add(f"extra-{number:03}")
    result = await cbmon("breakers", "list", "--json", "--url", web.url)
    assert len(json.loads(result.stdout)) == 604


async def test_the_list_is_filtered(web: Any) -> None:
    result = await cbmon("breakers", "list", "--state", "open", "--url", web.url)
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["flaky"]


async def test_show_explains(web: Any) -> None:
    result = await cbmon("breakers", "show", "flaky", "--url", web.url)
    assert "flaky is open" in result.stdout
    assert "connection refused" in result.stdout


async def test_an_unknown_name_is_bad_news(web: Any) -> None:
    result = await cbmon("breakers", "show", "a b/c", "--url", web.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "cbmon: no check or export is named 'a b/c'\n"


async def test_a_token_from_the_environment_or_a_file_permits_a_move(
    guarded: Any, daemon: Any, tmp_path: Path
) -> None:
    result = await cbmon(
        "breakers", "open", "api", "--for", "9", "--reason", "deploy", "--url", guarded.url,
        CBMON_TOKEN="operator-token",
    )  # fmt: skip
    assert (result.exit_code, result.stdout) == (0, "api is open\n")
    file = tmp_path / "token"
    file.write_text("operator-token\n")
    result = await cbmon(
        "breakers", "reset", "api", "--url", guarded.url, "--token-file", str(file)
    )
    assert (result.exit_code, result.stdout) == (0, "api is closed\n")
    order = daemon.orders[0][1]
    assert (order.actor, order.for_seconds, order.reason) == ("otto", 9.0, "deploy")


HOSTILE = "\x1b]0;owned\x07 \x9b31m \u202etxt.exe \ud800 \x00 \r"


@pytest.mark.parametrize(
    "arguments",
    [
        ["breakers", "list"],
        ["breakers", "list", "--json"],
        ["breakers", "show", "flaky"],
        ["breakers", "show", "flaky", "--json"],
        ["breakers", "show", HOSTILE.replace("\ud800", "").replace("\x00", "")],
    ],
)
async def test_no_error_or_name_moves_the_terminal(
    web: Any, daemon: Any, arguments: list[str]
) -> None:
    daemon.component("flaky").breaker.reset()
    daemon.fail("flaky", error=HOSTILE)
    result = await cbmon(*arguments, "--url", web.url)
    assert "owned" in result.output
    assert [char for char in result.output if char != "\n" and not char.isprintable()] in (
        [],
        ["\t"] * result.output.count("\t"),
    )
    assert "\u202e" not in result.output


@pytest.mark.parametrize("duration", ["9", "9s", "9000ms"])
async def test_a_wait_is_written_with_its_unit(guarded: Any, daemon: Any, duration: str) -> None:
    open_it = ("breakers", "open", "api", "--for", duration)
    result = await cbmon(*open_it, "--url", guarded.url, CBMON_TOKEN="operator-token")
    assert (result.exit_code, daemon.orders[0][1].for_seconds) == (0, 9.0)


async def test_a_wait_that_is_none_is_told_with_its_option(guarded: Any) -> None:
    result = await cbmon("breakers", "open", "api", "--for", "soon", "--url", guarded.url)
    assert result.exit_code == 2
    assert result.stderr.startswith("cbmon: --for: expected a duration such as 500ms, 30s")


@pytest.mark.parametrize(
    ("arguments", "state"),
    [
        (["open", "api", "--hold"], "forced_open"),
        (["close", "api", "--hold"], "forced_closed"),
        (["observe", "api"], "observe"),
        (["disable", "api", "--reason", "retired"], "disabled"),
        (["enable", "api", "--keep-counters"], "closed"),
    ],
)
async def test_each_move_has_its_options(
    guarded: Any, daemon: Any, arguments: list[str], state: str
) -> None:
    result = await cbmon("breakers", *arguments, "--url", guarded.url, CBMON_TOKEN="operator-token")
    assert (result.exit_code, result.stdout) == (0, f"api is {state}\n")
    assert daemon.orders[0][1].reset_counters == ("--keep-counters" not in arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["open"], "breakers open needs the name of a breaker"),
        (["list", "api"], "breakers list takes no name"),
        (["reset", "api", "--for", "3"], "breakers reset knows no --for"),
        (["close", "api", "--for", "3"], "breakers close knows no --for"),
        (["observe", "api", "--hold"], "breakers observe knows no --hold"),
        (["show", "api", "--reason", "x"], "breakers show knows no --reason"),
        (["show", "api", "--state", "open"], "breakers show knows no --state"),
    ],
)
async def test_an_option_that_means_nothing_is_refused(
    web: Any, daemon: Any, arguments: list[str], message: str
) -> None:
    result = await cbmon("breakers", *arguments, "--url", web.url)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"cbmon: {message}")
    assert daemon.orders == []


async def test_a_wrong_token_is_a_usage_error(guarded: Any) -> None:
    result = await cbmon("status", "--url", guarded.url, CBMON_TOKEN="wrong")
    assert (result.exit_code, result.stderr) == (
        2,
        "cbmon: the token is not one of web.tokens\n",
    )


async def test_the_socket_needs_no_token(daemon: Any, serve: Any, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serve(daemon, control=path):
        result = await cbmon("breakers", "open", "api", "--socket", str(path))
        assert (result.exit_code, result.stdout) == (0, "api is open\n")
        result = await cbmon("reload", "--wait", CBMON_SOCKET=str(path))
        assert result.stdout == "configuration reloaded: 1 added, 0 removed, 2 changed\n"


async def test_the_socket_that_a_refusal_names_is_used(
    daemon: Any, serve: Any, tmp_path: Path
) -> None:
    async with serve(daemon, control=tmp_path / "control.sock") as web:
        result = await cbmon("breakers", "open", "api", "--url", web.url)
    assert (result.exit_code, result.stdout) == (0, "api is open\n")


async def test_without_socket_and_token_the_refusal_says_what_to_configure(web: Any) -> None:
    result = await cbmon("breakers", "open", "api", "--url", web.url)
    assert result.exit_code == 2
    assert "configure web.tokens" in result.stderr


async def test_an_impossible_move_is_bad_news(daemon: Any, guarded: Any) -> None:
    daemon.component("api").breaker.disable()
    result = await cbmon(
        "breakers", "close", "api", "--url", guarded.url, CBMON_TOKEN="operator-token"
    )
    assert result.exit_code == 1
    assert "enable or reset it first" in result.stderr


async def test_a_refused_reload_shows_every_problem_and_is_bad_news(web: Any, daemon: Any) -> None:
    daemon.problems = ("cbmon.yml:1:2: checks: wrong", "cbmon.yml:7:1: exports: wrong too")
    result = await cbmon("reload", "--url", web.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "cbmon: cbmon.yml:1:2: checks: wrong",
        "cbmon.yml:7:1: exports: wrong too",
        "2 problems; still running the previous configuration",
    ]


async def test_reload_waits_until_the_daemon_is_ready(web: Any, daemon: Any) -> None:
    asked: asyncio.Queue[None] = asyncio.Queue()

    def ready() -> list[str]:
        asked.put_nowait(None)
        return list(daemon.reasons)

    daemon.reasons, daemon.ready = ["starting"], ready
    waiting = asyncio.create_task(cbmon("reload", "--wait", "--url", web.url))
    for _ in range(2):
        await asyncio.wait_for(asked.get(), 10)
    assert len(daemon.reloads) == 1
    assert not waiting.done()
    daemon.reasons = []
    assert (await waiting).exit_code == 0


async def test_reload_finds_the_socket_in_the_configuration(
    daemon: Any, serve: Any, tmp_path: Path
) -> None:
    config = tmp_path / "cbmon.yml"
    config.write_text(f'storage: {{url: "sqlite://{tmp_path}/cbmon.db"}}\n')
    async with serve(daemon, control=tmp_path / "control.sock"):
        result = await cbmon("reload", "--wait", "--config.file", str(config))
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(daemon.reloads) == 1


async def test_something_that_is_no_daemon_is_said_to_be_none(tmp_path: Path) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await cbmon("status", "--url", f"http://127.0.0.1:{port}")
    assert result.exit_code == 3
    assert f"cannot reach the daemon at http://127.0.0.1:{port}" in result.stderr


async def test_a_probe_looks_at_a_type_and_a_target(web: Any) -> None:
    good = await cbmon("probe", "http", f"{web.url}/-/healthy")
    assert good.exit_code == 0
    assert good.stdout.startswith("passed in ")
    assert "processing" in good.stdout
    bad = await cbmon("probe", "http", f"{web.url}/nowhere", "--json")
    assert bad.exit_code == 1
    assert json.loads(bad.stdout)["reason"] == "status"


async def test_a_probe_looks_at_a_configured_check(web: Any, tmp_path: Path) -> None:
    config = tmp_path / "cbmon.yml"
    config.write_text(f"checks:\n  - {{name: me, http: {{url: '{web.url}/-/ready'}}}}\n")
    good = await cbmon("probe", "me", "--config.file", str(config))
    assert good.exit_code == 0
    unknown = await cbmon("probe", "you", "--config.file", str(config))
    assert unknown.exit_code == 2
    assert "has no check 'you' (it has: me)" in unknown.stderr


async def test_a_configured_check_confirms_its_failure(web: Any, tmp_path: Path) -> None:
    config = tmp_path / "cbmon.yml"
    config.write_text(
        f"checks:\n  - {{name: me, confirm: {{attempts: 2}}, http: {{url: '{web.url}/nothing'}}}}\n"
    )
    bad = await cbmon("probe", "me", "--config.file", str(config), "--json")
    assert bad.exit_code == 1
    facts = json.loads(bad.stdout)["facts"]
    assert facts["attempts"] == 3
    assert facts["first_failure"].startswith("status: ")
