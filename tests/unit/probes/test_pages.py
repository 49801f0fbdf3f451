"""Rule: a kind's page lists just the options that there are, and its example is a good one."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import pytest
import yaml

from cbmon.config.fields import Options
from cbmon.model import Reason
from cbmon.probes import PROBES, probe_type
from cbmon.probes.http.jsonpath import JsonConditions

PAGES = Path(__file__).parents[3] / "docs" / "checks"


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text()


def options_of(model: type[Options], prefix: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        found.add(key)
        for inner in models_in(field.annotation):
            found |= options_of(inner, f"{key}.")
    return found


def models_in(kind: object) -> list[type[Options]]:
    if isinstance(kind, type) and issubclass(kind, Options):
        return [] if kind is JsonConditions else [kind]
    return [model for part in typing.get_args(kind) for model in models_in(part)]


@pytest.mark.parametrize("name", PROBES)
def test_the_page_lists_every_option_and_no_other(name: str) -> None:
    table = page(name).partition("## Options")[2].partition("\n\n**")[0].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `([a-z0-9_.]+)` \|", table, re.MULTILINE))

    assert options_of(probe_type(name).options) == listed


@pytest.mark.parametrize("name", PROBES)
def test_the_example_on_the_page_is_understood(name: str) -> None:
    example = re.search(r"```yaml\n(.*?)```", page(name), re.DOTALL)
    assert example
    checks = yaml.safe_load(example[1])["checks"]

    assert [probe_type(name).options.model_validate(check[name]) for check in checks]


@pytest.mark.parametrize("name", PROBES)
def test_the_reasons_on_the_page_exist(name: str) -> None:
    table = page(name).partition("## Reasons")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    named = {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}

    assert named
    assert named <= {reason.value for reason in Reason}


def test_the_conditions_of_a_json_path_are_all_on_the_page() -> None:
    for field, info in JsonConditions.model_fields.items():
        assert f"`{info.alias or field}`" in page("http")
