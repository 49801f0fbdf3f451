"""Rule: a check starts no program that is not allowed, and all looks fit into the interval."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbmon.build import config_types, plan_of
from cbmon.config import Config, ConfigError, load_config
from cbmon.config.programs import checked_pattern
from cbmon.probes.run import ONCE, Plan


def loaded(directory: Path, text: str) -> Config:
    path = directory / "cbmon.yml"
    path.write_text(text)
    return load_config(path, types=config_types(), environ={})


def refused(directory: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(directory, text)
    (problem,) = caught.value.problems
    return f"{problem.line}:{problem.column}: {problem.path}: {problem.message}"


def test_nothing_may_be_started_by_default(tmp_path: Path) -> None:
    text = "checks:\n  - name: a\n    exec: {command: [/bin/true]}\n"

    assert refused(tmp_path, text) == (
        "3:11: checks[0].exec: starting /bin/true is not allowed; name it in global.exec_allow"
    )


def test_what_is_named_may_be_started(tmp_path: Path) -> None:
    head = 'global: {exec_allow: ["/usr/lib/nagios/plugins/*"]}\nchecks:\n  - name: a\n    exec:\n'
    command = "      command: [/usr/lib/nagios/plugins/{}]\n"

    config = loaded(tmp_path, head + command.format("check_http"))

    assert config.exec_allow == ("/usr/lib/nagios/plugins/*",)
    assert "is not allowed" in refused(tmp_path, head + command.format("deeper/check_http"))


def test_what_may_be_started_is_part_of_the_hash(tmp_path: Path) -> None:
    one = loaded(tmp_path, 'global: {exec_allow: ["/bin/true"]}\n')
    other = loaded(tmp_path, 'global: {exec_allow: ["/bin/false"]}\n')

    assert one.hash != other.hash


@pytest.mark.parametrize("pattern", ["bin/true", "*", "/usr/../bin/*", "/usr/**/x", ""])
def test_a_pattern_that_would_mean_too_much_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="expected an absolute path"):
        checked_pattern(pattern)


def test_a_check_looks_once_by_default(tmp_path: Path) -> None:
    config = loaded(tmp_path, "checks:\n  - {name: a, tcp: {address: 'a.test:1'}}\n")

    assert plan_of(config.checks[0]) == ONCE


def test_a_failed_look_may_be_confirmed(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "checks:\n  - name: a\n    tcp: {address: 'a.test:1'}\n    addresses: all\n"
        "    confirm: {attempts: 2, delay: 500ms, other_address: true}\n",
    )

    assert plan_of(config.checks[0]) == Plan(
        confirmations=2, delay=0.5, other_address=True, every_address=True
    )


def test_checks_that_look_alike_have_one_plan(tmp_path: Path) -> None:
    entry = "  - {{name: {0}, tcp: {{address: 'a.test:1'}}, confirm: {{attempts: {1}}}}}\n"
    checks = [entry.format(name, attempts) for name, attempts in [("a", 1), ("b", 1), ("c", 2)]]
    config = loaded(tmp_path, "defaults: {timeout: 1s}\nchecks:\n" + "".join(checks))

    one, like, other = map(plan_of, config.checks)

    assert one is like
    assert (one.confirmations, other.confirmations) == (1, 2)


def test_all_looks_must_fit_into_the_interval(tmp_path: Path) -> None:
    text = (
        "checks:\n  - name: a\n    tcp: {address: 'a.test:1'}\n    interval: 10s\n"
        "    timeout: 4s\n    confirm: {attempts: 2}\n"
    )

    assert refused(tmp_path, text) == (
        "6:14: checks[0].confirm: 3 looks may take 12s, longer than the interval 10s; "
        "shorten the timeout or the delay"
    )
