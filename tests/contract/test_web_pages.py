"""What docs/web.md says of the pages is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from cbmon.config.statuspage import StatusPageSection
from cbmon.web.confirm import OFFERED, QUESTIONS
from cbmon.web.overview import PAGE, PARAMETERS
from cbmon.web.page_routes import PAGES

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "web.md").read_text()
MOST = 150_000


def test_every_page_is_in_the_table_and_every_row_is_a_page() -> None:
    told = set(re.findall(r"^\| `(/[^`]*)` \|", TEXT, re.MULTILINE))
    pages = {route.path for route in PAGES if route.method == "GET"}
    asked = {path for path in pages if "/actions/" in path}
    badges = {path for path in pages if path.startswith("/badges/")}
    assert {path for path in told if not path.startswith("/badges/")} == pages - asked - badges


def test_the_filters_of_the_examples_exist() -> None:
    for address in re.findall(r"`/\?([^`]+)`", TEXT):
        assert {pair.partition("=")[0] for pair in address.split("&")} <= set(PARAMETERS)
    assert f"A page has {PAGE} components" in TEXT


def test_the_example_of_a_status_page_can_be_used() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert examples
    for block in examples:
        StatusPageSection.model_validate(yaml.safe_load(block)["web"]["status_page"])


@pytest.mark.parametrize("name", sorted(set(re.findall(r"pictures/([\w-]+\.png)", TEXT))))
def test_every_picture_is_there_and_small(name: str) -> None:
    assert 10_000 < (DOCS / "pictures" / name).stat().st_size <= MOST


def test_every_picture_has_a_description() -> None:
    for tag in re.findall(r"<img[^>]+>", TEXT):
        assert re.search(r'alt="[^"]{20,}"', tag), tag


def test_every_action_that_is_offered_is_asked_back() -> None:
    assert {one for several in OFFERED.values() for one in several} <= set(QUESTIONS)
