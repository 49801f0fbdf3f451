"""Rule: a program is judged by its exit code and its first line, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from cbmon.model import Phase, Reason
from cbmon.probes import ProbeEnvironment, probe_type
from cbmon.probes.exec.process import Running
from cbmon.probes.run import run_once


def shell(text: str, *arguments: str) -> list[str]:
    return ["/bin/sh", "-c", text, "sh", *arguments]


async def gone(pid: int) -> bool:
    """Whether it ends; a killed process needs a moment for it."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        await asyncio.sleep(0.005)
    return False


@pytest.mark.parametrize(
    ("state", "code"), [("ok", 0), ("warning", 1), ("critical", 2), ("unknown", 3)]
)
async def test_exit_codes_have_the_meaning_that_plug_ins_give_them(
    state: str, code: int, bench: Any
) -> None:
    result = await bench.look("exec", command=shell(f"echo it is so; exit {code}"))

    assert result.facts["state"] == state
    assert result.ok is (code == 0)
    if code:
        assert result.reason is Reason.STATUS
        assert result.error == f"{state}: it is so"


async def test_a_warning_may_be_good_enough(bench: Any) -> None:
    expect = {"states": ["ok", "warning"]}

    assert (await bench.look("exec", command=shell("exit 1"), expect=expect)).ok
    assert not (await bench.look("exec", command=shell("exit 2"), expect=expect)).ok


@pytest.mark.parametrize(
    ("error", "script"),
    [
        ("it ended with 4, expected 0 to 3: hm", "echo hm; exit 4"),
        ("it ended with 127, expected 0 to 3: hm", "echo hm >&2; exit 127"),
        ("it was ended by signal 11, expected 0 to 3", "kill -SEGV $$"),
    ],
)
async def test_other_ends_are_no_answer(error: str, script: str, bench: Any) -> None:
    result = await bench.look("exec", command=shell(script))

    assert result.reason is Reason.PROTOCOL
    assert result.error == error


async def test_performance_data_are_facts(bench: Any) -> None:
    script = "echo 'OK - fine | rta=2ms;10;20'; echo 'all is well | pl=0%'"

    result = await bench.look("exec", command=shell(script))

    assert result.facts["output"] == "OK - fine"
    assert result.facts["more_output"] == "all is well"
    assert [(one["label"], one["value"], one["unit"]) for one in result.facts["perfdata"]] == [
        ("rta", 0.002, "seconds"),
        ("pl", 0.0, "percent"),
    ]


async def test_the_first_line_is_held_against_a_pattern(bench: Any) -> None:
    command = shell("echo 3 mails")

    assert (await bench.look("exec", command=command, expect={"matches": "^[0-9] mails$"})).ok
    result = await bench.look("exec", command=command, expect={"matches": "^0"})
    assert result.reason is Reason.BODY


async def test_arguments_reach_the_program_as_they_are(bench: Any) -> None:
    odd = '$(reboot) ; "a b" | c'

    result = await bench.look("exec", command=["/bin/echo", odd])

    assert result.facts["output"] == '$(reboot) ; "a b"'


async def test_nothing_of_the_daemons_environment_is_passed_on(
    bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CBMON_TOKEN", "hunter2")
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")

    options = {
        "command": shell("env | grep -v ^_ | sort | tr '\\n' ' '; pwd"),
        "environment": {"COLOUR": "blue"},
        "environment_files": {"PASSWORD": str(secret)},
    }
    found = probe_type("exec")
    probe = found.build(found.options.model_validate(options), bench.environment)
    result = await run_once(probe, 5, bench.clock)

    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert result.facts["output"] == (
        f"COLOUR=blue HOME=/ LC_ALL=C PASSWORD=s3cret PATH={path} PWD=/ /"
    )


async def test_no_descriptor_and_no_input_is_passed_on(bench: Any, tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        result = await bench.look("exec", command=shell("ls /proc/self/fd | wc -l; cat"))

    assert result.ok, result.error
    assert int(result.facts["output"]) == 4  # three, and the one that ls reads from


async def test_it_is_over_when_the_program_ends_whoever_holds_its_output(bench: Any) -> None:
    result = await bench.look("exec", command=shell("sleep 60 & echo $!"))

    assert result.ok, result.error
    assert result.duration < 4
    assert await gone(int(result.facts["output"]))


async def test_a_run_that_is_cut_off_leaves_no_grandchild(bench: Any, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = 'trap "" TERM; sleep 60 & echo $$ $! > "$1"; wait'
    found = probe_type("exec")
    options = found.options.model_validate({"command": shell(script, str(pids))})

    result = await run_once(found.build(options, bench.environment), 0.5, bench.clock)

    assert result.reason is Reason.TIMEOUT
    assert result.error == "no answer within 500ms, waiting for the first byte from /bin/sh"
    assert result.phases.processing > 0.3
    for pid in map(int, pids.read_text().split()):
        assert await gone(pid)


async def test_descriptors_are_given_back(bench: Any) -> None:
    async def each() -> None:
        for script in ("exit 0", "yes", "kill -9 $$"):
            await bench.look("exec", command=shell(script))

    await each()
    before = len(list(Path("/proc/self/fd").iterdir()))
    await each()

    assert before >= len(list(Path("/proc/self/fd").iterdir()))


async def test_limits_are_in_force_before_it_begins(bench: Any) -> None:
    result = await bench.look(
        "exec", command=shell("ulimit -d; ulimit -c; ulimit -t"), max_memory="64MiB"
    )

    assert result.facts["output"] == str(64 * 1024)
    assert result.facts["more_output"] == "0\n10"


async def test_a_program_that_is_not_there_is_a_fault_of_the_configuration(bench: Any) -> None:
    result = await bench.look("exec", command=["/usr/bin/no-such-program"])

    assert result.reason is Reason.CONFIG
    assert result.error == "/usr/bin/no-such-program is not there"


async def test_nothing_is_started_unless_it_is_allowed(bench: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    environment = ProbeEnvironment(clock=bench.clock)

    result = await bench.look("exec", environment, command=["/bin/touch", str(mark)])

    assert result.reason is Reason.POLICY
    assert result.error == "starting /bin/touch is not allowed: it is not in global.exec_allow"
    assert not mark.exists()


async def test_none_is_started_beside_one_that_cannot_be_killed(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = probe_type("exec")
    probe = found.build(
        found.options.model_validate({"command": shell("sleep 60")}), bench.environment
    )
    ends: list[int | None] = [None]
    end = Running.end

    async def hanging(self: Running) -> int | None:
        await end(self)
        self._process.wait()
        return ends[0]

    monkeypatch.setattr(Running, "end", hanging)
    monkeypatch.setattr(Running, "exit_code", lambda self: ends[0])
    await run_once(probe, 0.2, bench.clock)
    before = time.monotonic()
    refused = await run_once(probe, 5, bench.clock)
    ends[0] = -9
    again = await run_once(probe, 0.2, bench.clock)

    assert refused.reason is Reason.TIMEOUT
    assert "of an earlier run cannot be killed; none is started" in str(refused.error)
    assert time.monotonic() - before < 3
    assert "first byte" in str(again.error)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_it_may_run_as_somebody_else(bench: Any) -> None:
    result = await bench.look("exec", command=shell("id -un; id -G"), user="nobody")

    assert result.facts["output"] == "nobody"
    assert "0" not in result.facts["more_output"].split()


async def test_nobody_runs_it_whom_there_is_not(bench: Any) -> None:
    result = await bench.look("exec", command=["/bin/true"], user="no-such-user")

    assert result.reason is Reason.CONFIG


async def test_the_phase_is_processing(bench: Any) -> None:
    result = await bench.look("exec", command=["/bin/true"])

    assert getattr(result.phases, Phase.PROCESSING.value) > 0
