"""Each export's page says what its code does: the options, an example that works, the reasons."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
import yaml

from cbmon.config.fields import Options
from cbmon.config.reference import refreshed
from cbmon.exports import EXPORTS, export_type
from cbmon.exports.credentials import BasicAuthOptions
from cbmon.exports.spooling import SpoolOptions
from cbmon.exports.tls import TlsOptions
from cbmon.model import Reason

PAGES: Final = Path(__file__).parents[2] / "docs" / "exports"
MODELS: Final[dict[str, type[Options]]] = {
    **{name: export_type(name).options for name in EXPORTS},
    "basic_auth": BasicAuthOptions,
    "spool": SpoolOptions,
    "tls": TlsOptions,
}


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text()


def test_every_export_has_its_page_and_no_other_has_one() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == set(EXPORTS)


@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_the_tables_are_those_of_the_code(name: str) -> None:
    """Renew them with the line below; a table's place is between its two comments."""
    assert refreshed(page(name), MODELS) == page(name), (
        f"pathlib.Path('docs/exports/{name}.md').write_text(refreshed(page, MODELS))"
    )


@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_the_example_works(name: str) -> None:
    example = re.search(r"```yaml\n(.*?)```", page(name), re.DOTALL)
    assert example
    for export in yaml.safe_load(example[1])["exports"]:
        export_type(name).options.model_validate(export[name])


@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_the_reasons_exist_and_none_is_told_twice(name: str) -> None:
    told = re.findall(r"^\| `(\w+)` \| ", page(name).partition("## Reasons")[2], re.MULTILINE)
    assert len(told) == len(set(told)) > 0
    assert set(told) <= {str(reason) for reason in Reason}
