"""The page on service discovery says what its code does: options, examples, names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import yaml

from cbmon.build import config_types
from cbmon.config import load_config
from cbmon.config.fields import Options
from cbmon.config.placeholders import has_placeholder
from cbmon.config.reference import refreshed
from cbmon.metrics import families
from cbmon.sources import SOURCES, source_type
from cbmon.sources.base import targets_of

PAGE: Final = Path(__file__).parents[2] / "docs" / "service-discovery.md"
MODELS: Final[dict[str, type[Options]]] = {name: source_type(name).options for name in SOURCES}


def test_the_tables_are_those_of_the_code() -> None:
    """Renew them: pathlib.Path("docs/service-discovery.md").write_text(refreshed(page, MODELS))."""
    assert refreshed(PAGE.read_text(), MODELS) == PAGE.read_text()


def test_the_example_makes_checks_of_its_list(tmp_path: Path) -> None:
    page = PAGE.read_text().partition("## Targets become checks")[2]
    example, listed = (
        re.search(r"```yaml\n(.*?)```", page, re.DOTALL),
        re.search(r"```json\n(.*?)```", page, re.DOTALL),
    )
    assert example
    assert listed
    path = tmp_path / "cbmon.yml"
    path.write_text(example[1])
    config = load_config(path, types=config_types())
    assert config.expander is not None
    targets = targets_of(json.loads(listed[1]), "page")
    made = config.expander.expand(config, {"fleet": targets})
    assert not made.rejected
    assert [check.name for check in made.config.checks[1:]] == [
        "web-1.example.net",
        "web-2.example.net:8443",
    ]
    assert set(yaml.safe_load(example[1])["discovery"][0]) & set(SOURCES)


def test_every_placeholder_of_the_table_is_one() -> None:
    told = re.findall(r"`(\{\{[^`]*\}\})`", PAGE.read_text())
    assert len(told) >= 6
    for placeholder in told:
        assert has_placeholder(placeholder.replace("\\|", "|")), placeholder


def test_every_metric_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(cbmon_discovery_\w+)`", PAGE.read_text()))
    known = {family.name for family in families.DISCOVERY}
    assert named
    assert named <= known
