"""The page on applications: every block of Python runs, every YAML is read, every name exists."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from cbmon.appconfig import parse_breakers
from cbmon.apps.hub import Bounds
from cbmon.apps.report import MOST_BREAKERS, parse_report
from cbmon.integrations.replies import HEADER
from tests.integration.test_server_frameworks import needed

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "applications.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_block_of_python_runs_from_top_to_bottom() -> None:
    needed("fastapi")
    names: dict[str, Any] = {"__name__": "applications.md"}
    for match in BLOCK.finditer(TEXT):
        if match[1] == "python":
            line = TEXT.count("\n", 0, match.start()) + 1
            exec(compile("\n" * line + match[2], "applications.md", "exec"), names)
    assert names["monitor"].dashboard()["overview"]["total"] == 0


def test_the_yaml_of_the_page_is_read() -> None:
    found = [match[2] for match in BLOCK.finditer(TEXT) if match[1] == "yaml"]
    assert len(found) == 1
    assert [config.name for config in parse_breakers(found[0])] == ["claude"]
    assert yaml.safe_load(found[0])["breakers"][0]["template"] == "ai_provider"


def test_every_field_of_the_protocol_that_the_page_names_is_read() -> None:
    body = {
        "application": "a",
        "process": "b",
        "run": "r",
        "started_at": 1,
        "interval_seconds": 2,
        "ttl_seconds": 3,
        "final": True,
        "labels": {"a": "b"},
        "tags": ["c"],
        "takes_orders": True,
        "done": ["d"],
    }
    told = parse_report(body)
    for name in body:
        assert f"`{name}`" in TEXT
    plain = {name.removesuffix("_seconds"): value for name, value in body.items()}
    seen = {each.name: getattr(told, each.name) for each in fields(told)}
    for name, value in plain.items():
        assert seen[name] == (tuple(value) if isinstance(value, list) else value)


def test_the_figures_and_headers_of_the_page_are_the_codes() -> None:
    bounds = Bounds()
    assert f"{MOST_BREAKERS} breakers (send several)" in TEXT
    assert f"{bounds.breakers:,} breakers and {bounds.processes} processes" in TEXT
    assert f"`{HEADER}`" in TEXT


def test_every_file_that_the_page_points_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
