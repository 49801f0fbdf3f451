"""The commands that need no daemon, and what is said when there is none."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import bcrypt
import pytest
from click.testing import CliRunner, Result

from cbmon.cli import client, output
from cbmon.cli.probe import REASONS
from cbmon.cli.problem import BAD_NEWS, UNREACHABLE, CommandError
from cbmon.cli.root import COMMANDS, cli
from cbmon.model import Reason

HEAVY = {"aiohttp", "pydantic", "sqlalchemy", "yaml", "rich", "jinja2", "apscheduler", "asyncio"}
DOCUMENT = Path(__file__).parents[3] / "docs" / "cli.md"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CBMON_URL", "CBMON_SOCKET", "CBMON_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(client, "SOCKETS", ())


def cbmon(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(cli, list(arguments), input=typed)


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "cbmon", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.monotonic() - begun < 1.0  # 0.08 s on an idle machine
    imported = set(re.findall(r"\| +([\w]+)", done.stderr))
    assert not imported & HEAVY
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help(name: str) -> None:
    result = cbmon(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: cbmon {name}") or "Usage:" in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_with_all_its_options(name: str) -> None:
    text = DOCUMENT.read_text()
    assert f"## `cbmon {name}`" in text
    section = text.partition(f"## `cbmon {name}`")[2].partition("\n## ")[0]
    for option in re.findall(
        r"(--[a-z.-]+)", cbmon(name, "--help").stdout.partition("Options:")[2]
    ):
        assert (
            option in section
            or option in text.partition("## Talking to a daemon")[2]
            or (option == "--help")
        ), option


def test_an_unknown_command_is_a_usage_error() -> None:
    assert cbmon("statsu").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--url", "http://127.0.0.1:1"], "cannot reach the daemon at http://127.0.0.1:1: "),
        (["--socket", "/nonexistent.sock"], "cannot reach the daemon at /nonexistent.sock: "),
    ],
)
def test_a_daemon_that_is_not_there_is_exit_3(arguments: list[str], message: str) -> None:
    result = cbmon("status", *arguments)
    assert result.exit_code == 3
    assert result.stderr.startswith(f"cbmon: {message}")
    assert "--url or --socket" in result.stderr


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:9813", "http://", "http://x:99999"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    result = cbmon("status", "--url", url)
    assert result.exit_code == 2
    assert "--url: expected an address such as http://127.0.0.1:9813" in result.stderr


def test_a_missing_token_file_is_named() -> None:
    result = cbmon("status", "--token-file", "/nonexistent")
    assert (result.exit_code, "cannot read /nonexistent" in result.stderr) == (2, True)


def test_init_writes_a_file_that_check_config_likes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cbmon.yml"
    first = cbmon("init", str(path.parent))
    assert first.exit_code == 0
    checked = cbmon("check-config", str(path))
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert f"{path}: fine" in checked.stdout
    path.write_text("mine")
    assert cbmon("init", str(path.parent)).exit_code == 2
    assert path.read_text() == "mine"
    assert cbmon("init", "--force", str(path.parent)).exit_code == 0
    assert path.read_text() != "mine"


def test_check_config_lists_every_problem_of_every_file(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text("checks: []\n")
    bad.write_text("chekcs: []\nweb: {listen: [nowhere]}\n")
    result = cbmon("check-config", str(good), str(bad))
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"{bad}:1:1: ")
    assert lines[1].startswith(f"{bad}:2:")
    assert lines[2] == f"2 problems in {bad}"
    assert result.stdout == f"{good}: fine, 0 checks, 0 exports\n"


def test_check_config_as_json(tmp_path: Path) -> None:
    result = cbmon("check-config", "--json", str(tmp_path / "missing.yml"))
    assert result.exit_code == 1
    [report] = json.loads(result.stdout)
    assert report["ok"] is False
    assert len(report["problems"]) == 1


def test_the_schema_is_one() -> None:
    schema = json.loads(cbmon("schema").stdout)
    assert {"checks", "exports", "web"} <= set(schema["properties"])


def test_run_without_a_configuration_says_how_to_make_one(tmp_path: Path) -> None:
    result = cbmon("run", "--config.file", str(tmp_path / "cbmon.yml"))
    assert result.exit_code == 2
    assert "make one with `cbmon init`" in result.stderr


def test_a_password_is_hashed_and_never_an_argument() -> None:
    result = cbmon("hash-password", "--cost", "4", typed="wait a minute\n")
    assert result.exit_code == 0
    hashed = result.stdout.strip()
    assert bcrypt.checkpw(b"wait a minute", hashed.encode())
    assert hashed.startswith("$2b$04$")
    assert cbmon("hash-password", "wait a minute").exit_code == 2


@pytest.mark.parametrize(
    ("password", "message"), [("", "is empty"), ("ä" * 37, "at most 72 bytes")]
)
def test_a_password_that_bcrypt_would_cut_is_refused(password: str, message: str) -> None:
    result = cbmon("hash-password", typed=f"{password}\n")
    assert (result.exit_code, message in result.stderr) == (2, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_completion(shell: str) -> None:
    result = cbmon("completion", shell)
    assert result.exit_code == 0
    assert "_CBMON_COMPLETE" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["foo", "bar"], 'unknown kind of check "foo"'),
        (["http", "not a url"], "http.url: expected a URL such as"),
        (["tcp", "localhost"], "tcp.address: "),
        (["http", "{url: [}"], "the target is not readable as YAML"),
        (["http", "{uri: 'http://x/'}"], "http.u"),
    ],
)
def test_a_probe_of_nonsense_is_a_usage_error(arguments: list[str], message: str) -> None:
    result = cbmon("probe", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_every_reason_has_words() -> None:
    assert set(REASONS) == {reason.value for reason in Reason}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, ""), (0.0234, "23.4 ms"), (45, "45 s"), (200, "3 min 20 s"), (7260, "2 h 1 min")],
)
def test_seconds_are_said_in_fitting_units(value: float | None, expected: str) -> None:
    assert output.seconds(value) == expected


def test_a_cell_never_breaks_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table(["A", "B"], [["one\ttwo", "three\nfour"]])
    assert capsys.readouterr().out == "one two\tthree four\n"


CONFIGURATION = """\
checks:
  - {name: shop, tcp: {address: "127.0.0.1:9"}, interval: 10s}
"""


def simulated(tmp_path: Path, *arguments: str) -> Result:
    (tmp_path / "cbmon.yml").write_text(CONFIGURATION)
    lines = [f"{10 * at},{int(not 5 <= at % 100 < 15)}\n" for at in range(300)]
    (tmp_path / "results.csv").write_text("time,ok\n" + "".join(lines))
    place = ["--config.file", str(tmp_path / "cbmon.yml"), "--from", str(tmp_path / "results.csv")]
    return cbmon("simulate", *place, *arguments)


def test_results_are_replayed_through_the_settings_in_force_and_others(tmp_path: Path) -> None:
    done = simulated(tmp_path, "shop", "--with", "aggressive", "--with", "failure_threshold=20")
    assert done.exit_code == 0, done.output
    assert "300 results over 49 min 50 s, 30 of them failures" in done.stdout
    rows = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    assert [row[:5] for row in rows] == [
        ["in force", "3", "0", "0", "40 s"],
        ["aggressive", "3", "0", "0", "20 s"],
        ["failure_threshold=20", "0", "0", "3", ""],
    ]


def test_every_template_is_tried_when_none_is_named(tmp_path: Path) -> None:
    done = simulated(tmp_path, "shop", "--json")
    assert {"in force", "lenient", "database"} <= json.loads(done.stdout)["settings"].keys()


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["shopp"], "has no check 'shopp'; did you mean 'shop'?", 2),
        (["shop", "--with", "eager"], "--with 'eager': expected field=value, or one of", 2),
        (["shop", "--with", "failure_threshold=0"], "failure_threshold: 0", 2),
        (["shop", "--with", "threshold=1"], "threshold", 2),
        (["shop", "--with", "recovery_timeout=soon"], "recovery_timeout", 2),
        (["shop", "--prometheus", "http://127.0.0.1:9"], "--from and --prometheus exclude", 2),
        (["shop", "--since", "yesterday"], "--since", 2),
        (["shop", "--step", "0s"], "expected from 1ms to 36500d", 2),
        (["shop", "--from", "nowhere.csv"], "--from: cannot read nowhere.csv: No such file", 2),
    ],
)
def test_what_cannot_be_simulated_is_said(
    tmp_path: Path, arguments: list[str], message: str, code: int
) -> None:
    done = simulated(tmp_path, *arguments)
    assert done.exit_code == code
    assert message in done.output


def test_a_watch_goes_on_over_a_daemon_that_is_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits: list[float] = []
    answers = [None, CommandError("nobody listens", UNREACHABLE), None]

    def look() -> int:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return len(answers)

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if not answers:
            raise KeyboardInterrupt

    monkeypatch.setattr("cbmon.cli.output.time.sleep", sleep)
    assert output.watched(look, 5.0) == 0
    assert waits == [5.0, 5.0, 5.0]
    assert capsys.readouterr().err == "cbmon: nobody listens\n"


def test_what_is_wrong_for_good_ends_a_watch() -> None:
    def look() -> None:
        raise CommandError("no such breaker", BAD_NEWS)

    with pytest.raises(CommandError):
        output.watched(look, 5.0)
    with pytest.raises(CommandError):
        output.watched(look, None)


def test_only_a_list_can_be_watched() -> None:
    done = cbmon("breakers", "show", "shop", "--watch")
    assert done.exit_code == 2
    assert "breakers show knows no --watch" in done.stderr
