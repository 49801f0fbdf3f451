"""What checks watch leaves in the form of Prometheus' service discovery, as meta labels only."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cbmon.cli.root import cli
from cbmon.discovery import target_groups
from cbmon.model import BreakerInfo, Category


def info(name: str, category: Category = Category.CHECK, **more: Any) -> BreakerInfo:
    given = {"target": "https://shop/", "kind": "http", **more}
    return BreakerInfo(name=name, category=category, **given)


def test_a_check_tells_what_relabelling_may_want_to_know() -> None:
    check = info(
        "shop", group="web", tags=("critical", "eu"), depends_on=("db",), labels={"team": "a"}
    )
    assert target_groups([check]) == [
        {
            "targets": ["https://shop/"],
            "labels": {
                "__meta_cbmon_check": "shop",
                "__meta_cbmon_depends_on": ",db,",
                "__meta_cbmon_group": "web",
                "__meta_cbmon_label_team": "a",
                "__meta_cbmon_tags": ",critical,eu,",
                "__meta_cbmon_type": "http",
            },
        }
    ]


def test_what_a_check_does_not_have_is_left_out() -> None:
    (group,) = target_groups([info("bare")])
    assert set(group["labels"]) == {"__meta_cbmon_check", "__meta_cbmon_type"}


def test_checks_come_by_name_and_nothing_else_comes() -> None:
    others = [info("z", Category.EXPORT), info("y", Category.RECEIVER), info("none", target="")]
    found = target_groups([info("b"), *others, info("a")])
    assert [group["labels"]["__meta_cbmon_check"] for group in found] == ["a", "b"]


def test_no_label_of_a_target_reaches_a_series_by_itself() -> None:
    check = info("x", labels={"job": "evil", "ünsafe-name": "v", "__address__": "h"})
    (group,) = target_groups([check])
    for name in group["labels"]:
        assert re.fullmatch(r"__meta_cbmon_[a-zA-Z0-9_]+", name)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cbmon.yml"
    path.write_text(
        "checks:\n"
        "  - {name: db, tcp: {address: 'db.example.net:5432'}, tags: [eu]}\n"
        "  - {name: resting, tcp: {address: 'off.example.net:1'}, enabled: false}\n"
        "  - {name: web, http: {url: 'https://www.example.net/?token=hunter2'}}\n"
    )
    return path


def sd(config: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["sd", "--config.file", str(config), *map(str, arguments)])


def test_the_command_prints_what_would_be_watched(config: Path) -> None:
    groups = json.loads(sd(config).stdout)
    assert [group["labels"]["__meta_cbmon_check"] for group in groups] == ["db", "web"]
    assert groups[0]["targets"] == ["db.example.net:5432"]


def test_no_password_leaves(config: Path) -> None:
    assert "hunter2" not in sd(config).stdout
    assert "www.example.net" in sd(config).stdout


def test_the_command_writes_a_file_and_knows_when_it_is_out_of_date(
    config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sd" / "cbmon.json"
    assert sd(config, "--out", out).exit_code == 0
    assert sd(config, "--out", out, "--check").exit_code == 0
    assert json.loads(out.read_text())[0]["targets"] == ["db.example.net:5432"]
    config.write_text(config.read_text().replace("5432", "5433"))
    assert sd(config, "--out", out, "--check").exit_code == 1
    assert sd(config, "--check").exit_code == 2
