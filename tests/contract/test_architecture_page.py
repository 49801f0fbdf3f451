"""docs/architecture.md names every room that there is, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PLAIN = {"__init__.py", "__main__.py", "py.typed"}


def test_every_room_has_its_place_on_the_page() -> None:
    named = set(re.findall(r"`([a-z_]+(?:/|\.py))`", PAGE[PAGE.index("## Rooms") :]))
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "cbmon").iterdir()
        if path.name not in PLAIN and (path.suffix == ".py" or (path / "__init__.py").is_file())
    }
    assert there - named == set(), "rooms that the page does not name"
    assert named - there == set(), "rooms that are not there any more"
