"""Every kind of receiver: found by name, built from its options, described on its own page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cbmon.config.fields import Options
from cbmon.errors import ConfigurationError
from cbmon.notify.receivers import RECEIVERS, receiver_type

DOCS = Path(__file__).parents[3] / "docs" / "receivers"


@pytest.mark.parametrize("name", RECEIVERS)
def test_a_kind_is_found_by_its_name(name: str) -> None:
    found = receiver_type(name)
    assert found.name == name
    assert issubclass(found.options, Options)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"known are .*webhook"):
        receiver_type("pigeon")


@pytest.mark.parametrize("name", RECEIVERS)
def test_every_option_is_described_on_the_page_of_its_kind(name: str) -> None:
    rows = re.findall(r"^\| (`.*?) \|", (DOCS / f"{name}.md").read_text(), re.MULTILINE)
    described = set(re.findall(r"`([\w.]+)`", " ".join(rows)))
    assert _options(receiver_type(name).options) <= described


def _options(model: type[Options], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        shown = prefix + (field.alias or name)
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Options):
            found |= _options(inner, f"{shown}.")
        else:
            found.add(shown)
    return found
