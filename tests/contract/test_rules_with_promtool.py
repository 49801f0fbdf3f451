"""Debian's promtool and amtool read what is rendered, and the rendered tests hold the rules.

Rule: the tests are those that a user gets. That they are good for something is shown by mutants:
each rule with one slip must fail them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cbmon.rules import render
from tests.integration.harness.processes import absent, finished, program
from tests.unit.rules.configurations import (
    BRISK,
    MANY,
    ODD,
    ONE,
    OVERLAPPING,
    PATIENT,
    SHOP,
    configured,
)
from tests.unit.rules.mutants import mutants

PAGE = Path(__file__).parents[2] / "docs" / "alerting.md"
CONFIGURATIONS: Final[dict[str, dict[str, Any]]] = {
    "none": {},
    "one": ONE,
    "shop": SHOP,
    "odd": ODD,
    "many": MANY,
}
EQUIVALENT: Final = (
    (r"", r"^>= 0 for > 0$", "a ratio to no calls is NaN and compares with nothing"),
    (r"ratio|Stale", r"^rate\( for increase\($", "a ratio of rates; or only looked at for being 0"),
    (r"^CircuitBreaker(Open|GroupOpen)", r"^no bridge", "the for bridges a failed scrape"),
    (r"^CircuitBreakerHalfOpen", r"^<= 0.5 for == 0.5$", "the smallest is 0.5 too"),
    (r"^Cbmon(ReloadFailed|ApplicationSilent)", r"^< 1 for == 0$", "it is 0 or 1"),
)
"""Mutants that mean the same: rule, slip, and why nothing can tell."""


def written(directory: Path, content: dict[str, Any]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in render(configured(directory, content)).items():
        (directory / name).write_text(text)
    return directory


def promtool(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    tool = program("promtool", package="prometheus")
    return finished([tool, *map(str, arguments)], cwd=cwd, timeout=110.0)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_promtool_and_amtool_find_nothing_to_mend(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path, CONFIGURATIONS[name])
    found = sorted(path.name for path in folder.glob("*.rules.yml"))
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *found, cwd=folder)
    assert done.returncode == 0, done.stderr
    amtool = program("amtool", package="prometheus-alertmanager")
    checked = finished([amtool, "check-config", folder / "cbmon-alertmanager.yml"])
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    "name",
    [
        "none",
        "one",
        "odd",
        *(
            pytest.param(name, marks=[pytest.mark.long, pytest.mark.timeout(900)])
            for name in ("shop", "many")
        ),
    ],
)
def test_the_rendered_tests_pass(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path, CONFIGURATIONS[name])
    found = sorted(path.name for path in folder.glob("*.test.*.yml"))
    assert found
    for test in found:
        done = promtool("test", "rules", test, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_tests_pass_for_a_prometheus_that_scrapes_often(tmp_path: Path) -> None:
    folder = written(tmp_path, BRISK)
    for group in ("notifications", "traffic"):
        for test in sorted(path.name for path in folder.glob(f"cbmon-{group}.test.*.yml")):
            done = promtool("test", "rules", test, cwd=folder)
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("group", ["breakers", "presence", "checks", "traffic", "daemon"])
def test_the_tests_pass_for_alerts_that_wait_for_long(tmp_path: Path, group: str) -> None:
    folder = written(tmp_path, PATIENT)
    for test in sorted(path.name for path in folder.glob(f"cbmon-{group}.test.*.yml")):
        done = promtool("test", "rules", test, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr


def test_objectives_that_share_a_check_are_told_together(tmp_path: Path) -> None:
    folder = written(tmp_path, OVERLAPPING)
    done = promtool("test", "rules", "cbmon-slos.test.18s900ms.yml", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_in_a_test_and_is_silent_before_and_after(tmp_path: Path) -> None:
    folder = written(tmp_path, SHOP)
    told: set[str] = set()
    for path in folder.glob("*.test.*.yml"):
        for case in yaml.safe_load(path.read_text())["tests"]:
            shots = case.get("alert_rule_test", ())
            counts = [len(shot["exp_alerts"]) for shot in shots]
            if counts and counts[0] < max(counts) > counts[-1]:
                told.add(shots[0]["alertname"])
    alerts = {
        rule["alert"]
        for path in folder.glob("*.rules.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert told == alerts


def test_no_text_in_a_test_holds_what_a_template_could_not_fill_in(tmp_path: Path) -> None:
    folder = written(tmp_path, ODD)
    for path in folder.glob("*.test.*.yml"):
        assert "<no value>" not in path.read_text()


# --- mutants -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alert", "right", "slip"),
    [
        ("CircuitBreakerOpen", "< 1", "== 0"),
        ("CircuitBreakerOpen", "max_over_time", "min_over_time"),
        ("CircuitBreakerOpen", "unless ignoring (state)", "or on ()"),
        ("CircuitBreakerHalfOpen", "[1m]", "[2m]"),
        ("CircuitBreakerAutoDisabled", "last_over_time", ""),
        ("CircuitBreakerDependencyDown", "< 1", "== 0"),
    ],
)
def test_the_slips_that_everybody_makes_are_noticed(
    tmp_path: Path, alert: str, right: str, slip: str
) -> None:
    folder = written(tmp_path, ONE if alert != "CircuitBreakerDependencyDown" else SHOP)
    path = folder / "cbmon-breakers.rules.yml"
    before, name, after = path.read_text().partition(f"alert: {alert}\n")
    changed = (
        after.replace(right, slip, 1)
        if slip
        else re.sub(rf"{right}\((.*?)\[\w+\]\)", r"\1", after, count=1)
    )
    assert changed != after
    path.write_text(before + name + changed)
    assert promtool("check", "rules", path.name, cwd=folder).returncode == 0
    assert any(_noticed(folder, file) for file in _by_alert(folder, "breakers")[alert])


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "group", ["breakers", "presence", "checks", "notifications", "traffic", "daemon", "slos"]
)
def test_a_rule_with_one_slip_fails_its_tests(tmp_path: Path, group: str) -> None:
    assert survivors(written(tmp_path, SHOP), group) == []


def survivors(folder: Path, group: str) -> list[str]:
    """The slips that no test notices, without those that make no difference."""
    path = folder / f"cbmon-{group}.rules.yml"
    tests = _by_alert(folder, group)
    left, tried = [], 0
    for what, mutant in mutants(yaml.safe_load(path.read_text())):
        name, slip = what.split(": ", 1)
        if any(re.search(rule, name) and re.search(how, slip) for rule, how, _ in EQUIVALENT):
            continue
        tried += 1
        path.write_text(yaml.safe_dump(mutant, allow_unicode=True, width=1_000_000))
        if not any(_noticed(folder, file) for file in _concerned(tests, mutant, name)):
            left.append(what)
    assert tried > 5
    return left


def _concerned(tests: dict[str, list[str]], rules: dict[str, Any], name: str) -> list[str]:
    """The tests of an alert, or of what is made of a recorded series."""
    if name in tests:
        return tests[name]
    names = {name}
    for _ in range(3):
        names |= {
            rule.get("alert") or rule["record"]
            for group in rules["groups"]
            for rule in group["rules"]
            if any(known in rule["expr"] for known in names)
        }
    return [file for user in sorted(names) for file in tests.get(user, ())] + tests["queries"]


def _noticed(folder: Path, file: str) -> bool:
    return promtool("test", "rules", file, cwd=folder).returncode != 0


def _by_alert(folder: Path, group: str) -> dict[str, list[str]]:
    """The tests anew, a file for each alert and interval: a mutant needs only those of its rule."""
    found: dict[str, list[str]] = defaultdict(list, queries=[])
    for name, step, content in _split(folder, group):
        file = f"{group}.{name}.{step}.yml"
        (folder / file).write_text(yaml.safe_dump(content, allow_unicode=True, width=1_000_000))
        found[name].append(file)
    return found


def _split(folder: Path, group: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path in sorted(folder.glob(f"cbmon-{group}.test.*.yml")):
        content = yaml.safe_load(path.read_text())
        cases: dict[str, list[Any]] = defaultdict(list)
        for case in content["tests"]:
            shots = case.get("alert_rule_test")
            cases[shots[0]["alertname"] if shots else "queries"].append(case)
        for name, those in cases.items():
            yield name, path.name.split(".")[2], {**content, "tests": those}


# --- the page ----------------------------------------------------------------------------------


DEBIANS: Final = Path("/etc/prometheus")
"""Where Debian's packages put their configurations, which people have before they have cbmon."""


def said(heading: str) -> str:
    """The commands below a heading of the page, as a script that stops at the first failure."""
    text = PAGE.read_text().partition(f"## {heading}\n")[2]
    [block] = re.findall(r"```console\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)
    return "set -e\n" + re.sub(r"^[$>] ", "", block, flags=re.MULTILINE)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A machine with Debian's Prometheus and Alertmanager as they come, and a cbmon.yml."""
    etc = tmp_path / "etc"
    for name, package in (
        ("prometheus", "prometheus"),
        ("alertmanager", "prometheus-alertmanager"),
    ):
        source = DEBIANS / f"{name}.yml"
        if not source.is_file():
            absent(f"{source} is not there (Debian: apt-get install {package})")
        (etc / "prometheus").mkdir(parents=True, exist_ok=True)
        shutil.copy(source, etc / "prometheus")
    (etc / "cbmon").mkdir()
    configured(etc / "cbmon", SHOP)
    return tmp_path


def done_on(host: Path, heading: str) -> str:
    """What the page's commands print, on that machine."""
    programs = host / "bin"
    programs.mkdir(exist_ok=True)
    scripts = {
        "sudo": 'exec "$@"',
        "systemctl": 'echo "did $*"',
        "cbmon": f'exec {sys.executable} -m cbmon "$@"',
    }
    for name, body in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    tools = [
        str(Path(program(name, package="prometheus")).parent) for name in ("promtool", "amtool")
    ]
    path = ":".join([str(programs), *tools, os.environ["PATH"]])
    done = subprocess.run(
        ["/bin/sh", "-c", said(heading).replace("/etc/", f"{host}/etc/")],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(PAGE.parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_the_page_says_works_on_debians_prometheus(host: Path) -> None:
    assert "did reload prometheus" in done_on(host, "Prometheus in ten lines")
    made = yaml.safe_load((host / "etc/prometheus/prometheus.yml").read_text())
    assert [one["job_name"] for one in made["scrape_configs"]] == ["cbmon", "prometheus", "node"]
    done = promtool("check", "config", "prometheus.yml", cwd=host / "etc/prometheus")
    assert "cbmon-breakers.rules.yml" in done.stdout
    assert len(said("Prometheus in ten lines").splitlines()) <= 11


def test_what_the_page_says_works_on_debians_alertmanager_also_again(host: Path) -> None:
    done_on(host, "Prometheus in ten lines")
    assert "did reload prometheus-alertmanager" in done_on(host, "Alertmanager in ten lines")
    path = host / "etc/prometheus/alertmanager.yml"
    once = yaml.safe_load(path.read_text())
    ours = yaml.safe_load((path.parent / "cbmon" / "cbmon-alertmanager.yml").read_text())
    assert once["inhibit_rules"][:-1] == ours["inhibit_rules"]
    assert once["route"]["routes"][0]["receiver"] == "cbmon-nobody"
    assert len(once["route"]["routes"]) > 1
    again = "\n".join(said("Alertmanager in ten lines").splitlines()[-4:])
    script = f"cd {path.parent}\n{again}"
    assert len(said("Alertmanager in ten lines").splitlines()) <= 11
    programs = {**os.environ, "PATH": f"{host / 'bin'}:{os.environ['PATH']}"}
    subprocess.run(["/bin/sh", "-ec", script], env=programs, check=True, capture_output=True)
    assert yaml.safe_load(path.read_text()) == once
