"""Where the templates and runbooks are: in the installed package, or beside it in a checkout.

Rule: a runbook is named as its alert, and there is one for each.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from cbmon.config.alerting import ALERTS

RUNBOOKS: Final[tuple[str, ...]] = tuple(ALERTS)
"""The names of the runbooks, in the order of the documentation."""


@cache
def templates() -> Path:
    """The folder of the templates, with ``runbooks`` in it."""
    package = Path(__file__).parents[1]
    installed = package / "data" / "rules"
    return installed if installed.is_dir() else package.parent / "rules"


@cache
def runbook(name: str) -> str:
    """A runbook in Markdown; KeyError if no alert is named so."""
    if name not in ALERTS:
        raise KeyError(name)
    return (templates() / "runbooks" / f"{name}.md").read_text(encoding="utf-8")
