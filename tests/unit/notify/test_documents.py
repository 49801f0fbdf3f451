"""docs/notifications.md against the code: every reason to be silent, every option of a route."""

from __future__ import annotations

import re
from pathlib import Path

from cbmon.config.routes import RouteSection
from cbmon.notify.policy import Why

PAGE = (Path(__file__).parents[3] / "docs" / "notifications.md").read_text()
ROWS = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))))


def test_every_reason_to_be_silent_is_explained() -> None:
    assert {why.value for why in Why} - {"send"} <= ROWS


def test_every_option_of_a_route_is_explained() -> None:
    names = {field.alias or name for name, field in RouteSection.model_fields.items()}
    assert names - {"receiver", "routes", "matchers", "continue"} <= ROWS


def test_links_lead_somewhere() -> None:
    docs = Path(__file__).parents[3] / "docs"
    pages = [docs / "notifications.md", *(docs / "receivers").glob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), (page.name, link)
