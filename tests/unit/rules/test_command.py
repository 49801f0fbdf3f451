"""``cbmon rules``: printed, written, compared; what an earlier run left behind goes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from cbmon.cli.root import cli
from cbmon.rules import MARK, render, rule_file
from tests.unit.rules.configurations import SHOP, configured


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return configured(tmp_path, SHOP).source


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def rules(config: Path, *arguments: object) -> Result:
    return CliRunner().invoke(cli, ["rules", "--config.file", str(config), *map(str, arguments)])


def test_without_a_folder_all_rules_are_printed(tmp_path: Path, config: Path) -> None:
    result = rules(config)
    assert result.exit_code == 0
    assert result.stdout == rule_file(configured(tmp_path, SHOP))


def test_with_a_folder_every_file_is_written(tmp_path: Path, config: Path, out: Path) -> None:
    result = rules(config, "--out", out)
    assert result.exit_code == 0
    assert {path.name: path.read_text() for path in out.iterdir()} == render(
        configured(tmp_path, SHOP)
    )


def test_what_is_right_is_not_touched(config: Path, out: Path) -> None:
    rules(config, "--out", out)
    assert rules(config, "--out", out).stdout == ""
    assert rules(config, "--out", out, "--check").exit_code == 0


def test_a_changed_configuration_is_out_of_date(tmp_path: Path, config: Path, out: Path) -> None:
    rules(config, "--out", out)
    configured(tmp_path, {**SHOP, "defaults": {"interval": "45s"}})
    before = {path: path.read_text() for path in out.iterdir()}
    result = rules(config, "--out", out, "--check")
    assert result.exit_code == 1
    assert f"{out / 'cbmon-checks.rules.yml'}: changed" in result.stderr
    assert f"run cbmon rules --out {out}" in result.stderr
    assert {path: path.read_text() for path in out.iterdir()} == before


def test_what_an_earlier_run_left_behind_is_told_and_then_removed(config: Path, out: Path) -> None:
    rules(config, "--out", out)
    left, own = out / "cbmon-breakers.test.7s.yml", out / "cbmon-own.rules.yml"
    left.write_text(f"# cbmon 0.0.1, configuration x\n{MARK}\ntests: []\n")
    own.write_text(f"# ours, {MARK}\n# beside\ngroups: []\n")
    result = rules(config, "--out", out, "--check")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (1, f"{left}: left over")
    assert f"removed {left}" in rules(config, "--out", out).stdout
    assert (left.exists(), own.exists()) == (False, True)


def test_a_bad_configuration_is_told_with_its_place(tmp_path: Path, config: Path) -> None:
    config.write_text(config.read_text().replace("interval: 5m", "intervall: 5m"))
    result = rules(config)
    assert result.exit_code == 2
    assert 'did you mean "interval"' in result.stderr


def test_a_comparison_needs_a_folder(config: Path) -> None:
    result = rules(config, "--check")
    assert (result.exit_code, "--out DIR" in result.stderr) == (2, True)


def test_what_is_printed_is_yaml_with_nothing_left_of_the_templates(config: Path) -> None:
    text = rules(config).stdout
    assert yaml.safe_load(text)["groups"]
    assert not {"<[", "<%", "<#"} & set(text.split())
