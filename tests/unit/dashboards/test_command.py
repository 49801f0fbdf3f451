"""`cbmon dashboards`: prints, writes, and says whether what was written is still right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cbmon.cli.root import cli
from cbmon.dashboards import DASHBOARDS


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cbmon.yml"
    path.write_text("checks: [{name: a, tcp: {address: '127.0.0.1:1'}}]\n")
    return path


def dashboards(config: Path, *arguments: str | Path) -> Result:
    given = ["dashboards", "--config.file", str(config), *map(str, arguments)]
    return CliRunner().invoke(cli, given)


def test_all_are_printed_as_a_list(config: Path) -> None:
    done = dashboards(config)
    assert done.exit_code == 0
    assert [one["uid"] for one in json.loads(done.stdout)] == list(DASHBOARDS)


def test_one_is_printed_as_an_object(config: Path) -> None:
    assert json.loads(dashboards(config, "cbmon-check").stdout)["uid"] == "cbmon-check"


def test_an_unknown_name_is_answered_with_the_known_ones(config: Path) -> None:
    done = dashboards(config, "cbmon-checks")
    assert done.exit_code == 2
    assert "no dashboard is named 'cbmon-checks'; there are cbmon-overview, " in done.stderr


def test_files_are_written_once(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "grafana"
    first = dashboards(config, "--out", out)
    assert first.exit_code == 0
    assert first.stdout.count("(new)") == len(DASHBOARDS) + 1
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.json")}
    again = dashboards(config, "--out", out)
    assert (again.exit_code, again.stdout) == (0, "")
    assert times == {path: path.stat().st_mtime_ns for path in out.glob("*.json")}


def test_check_is_content_with_what_was_just_written(config: Path, tmp_path: Path) -> None:
    dashboards(config, "--out", tmp_path)
    done = dashboards(config, "--out", tmp_path, "--check")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path}: up to date\n")


def test_check_finds_what_was_changed_and_what_is_missing(config: Path, tmp_path: Path) -> None:
    dashboards(config, "--out", tmp_path)
    (tmp_path / "cbmon-check.json").write_text("{}")
    (tmp_path / "cbmon-itself.json").unlink()
    before = sorted(tmp_path.iterdir())
    done = dashboards(config, "--out", tmp_path, "--check")
    assert done.exit_code == 1
    assert f"{tmp_path}/cbmon-check.json: changed\n" in done.stderr
    assert f"{tmp_path}/cbmon-itself.json: new\n" in done.stderr
    assert "2 files in" in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_check_finds_that_the_configuration_changed(config: Path, tmp_path: Path) -> None:
    dashboards(config, "--out", tmp_path)
    config.write_text(config.read_text() + "defaults: {interval: 20s}\n")
    assert dashboards(config, "--out", tmp_path, "--check").exit_code == 1


def test_check_needs_a_folder(config: Path) -> None:
    done = dashboards(config, "--check")
    assert done.exit_code == 2
    assert "--out DIR" in done.stderr


def test_a_shared_one_says_what_it_requires(config: Path) -> None:
    made = json.loads(dashboards(config, "--share", "cbmon-overview").stdout)
    assert made["__requires"][0]["id"] == "grafana"


def test_a_configuration_that_cannot_be_used_is_explained(config: Path) -> None:
    config.write_text("checks: [{name: a, tpc: {}}]\n")
    done = dashboards(config)
    assert done.exit_code == 2
    assert f"{config}:1:" in done.stderr
    assert done.stdout == ""


def test_a_missing_configuration_is_explained(tmp_path: Path) -> None:
    done = dashboards(tmp_path / "nowhere.yml")
    assert done.exit_code == 2
    assert "cbmon init" in done.stderr


def test_a_folder_that_cannot_be_written_is_explained(config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = dashboards(config, "--out", tmp_path / "file" / "inside")
    assert done.exit_code == 2
    assert "cannot" in done.stderr
