"""One configuration from several files.

Rule: a fixed order, each file once, each place with its own file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbmon.config import includes

CHECK = "checks: [{name: %s, tcp: {address: 'a:1'}}]\n"


def names(config: Any) -> list[str]:
    return [check.name for check in config.checks]


def test_a_file_comes_first_then_what_it_includes_by_pattern_and_name(load: Any) -> None:
    config = load(
        "include: [z.yml, 'conf.d/*.yml']\n" + CHECK % "own",
        files={
            "z.yml": "include: [deep/*.yml]\n" + CHECK % "z",
            "deep/inner.yml": CHECK % "inner",
            "conf.d/b.yml": CHECK % "b",
            "conf.d/a.yml": CHECK % "a",
        },
    )

    assert names(config) == ["own", "z", "inner", "a", "b"]
    assert [str(path.relative_to(Path.cwd())) for path in config.files] == [
        "cbmon.yml",
        "z.yml",
        "deep/inner.yml",
        "conf.d/a.yml",
        "conf.d/b.yml",
    ]


def test_hidden_files_and_a_pattern_without_files_are_nothing(load: Any) -> None:
    config = load(
        "include: ['conf.d/*.yml', 'none/*.yml']\n",
        files={"conf.d/.a.yml.swp": "{", "conf.d/.b.yml": "{"},
    )

    assert names(config) == []


def test_two_stars_reach_into_directories(load: Any) -> None:
    config = load(
        "include: ['d/**/*.yml']\n", files={"d/a.yml": CHECK % "a", "d/e/b.yml": CHECK % "b"}
    )

    assert names(config) == ["a", "b"]


def test_paths_and_variables_work_in_included_files(load: Any, tmp_path: Path) -> None:
    config = load(
        f"include: [{tmp_path}/sub/x.yml]\n",
        files={"sub/x.yml": "exports: [{name: '${NAME}', textfile: {path: a.prom}}]\n"},
        NAME="x",
    )

    assert config.exports[0].name == "x"
    assert config.exports[0].options.path == tmp_path / "sub/a.prom"


def test_templates_and_names_are_known_over_files(load: Any) -> None:
    config = load(
        "include: [x.yml]\n"
        "checks: [{name: a, tcp: {address: 'a:1'}, breaker: soft, depends_on: [x]}]\n",
        files={"x.yml": "templates: {soft: {failure_threshold: 8}}\n" + CHECK % "x"},
    )

    assert config.checks[0].policy.failure_threshold == 8


def test_a_problem_names_the_included_file_and_files_come_in_order(refuse: Any) -> None:
    said = refuse(
        "include: [b.yml, a.yml]\nzzz: 1\n", files={"a.yml": "zzz: 1\n", "b.yml": "\nzzz: 1\n"}
    )

    assert said.splitlines() == [
        'cbmon.yml:2:1: unknown key "zzz"',
        'b.yml:2:1: unknown key "zzz"',
        'a.yml:1:1: unknown key "zzz"',
    ]


def test_the_same_file_by_another_way_is_the_same_file(refuse: Any, tmp_path: Path) -> None:
    (tmp_path / "link.yml").symlink_to("a.yml")

    assert '"link.yml" is included already' in refuse(
        "include: [a.yml, link.yml]\n", files={"a.yml": ""}
    )


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("MAX_FILES", 1, "more than 1 files"),
        ("MAX_NESTING", 1, "more than 1 levels deep"),
        ("MAX_TOTAL_BYTES", 40, "larger than 0 MiB together"),
        ("MAX_BYTES", 5, "Any"),
    ],
)
def test_files_are_bounded(
    refuse: Any, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, message: str
) -> None:
    monkeypatch.setattr(includes, limit, value)
    said = refuse(
        "include: [a.yml]\n", files={"a.yml": "include: [b.yml]\n", "b.yml": "x-b: 123456789\n"}
    )

    assert message in said or message == "Any"


def test_a_file_that_is_too_large_is_refused_before_it_is_parsed(
    refuse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cbmon.config.reader.MAX_BYTES", 10)

    assert "the file is larger than 0 MiB" in refuse("checks: []\n# long enough")
