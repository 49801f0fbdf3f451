"""What docs/api.md says of errors is so: every code of the source is in its table, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "api.md").read_text()
TABLE = TEXT.partition("<!-- codes -->")[2].partition("<!-- end of codes -->")[0]
CODE = re.compile(r"[a-z]+(_[a-z]+)*")
MAKERS = {"ApiError": 1, "CredentialError": 1, "_wrong": 2, "ReportError": 2, "refuse": 2}
"""Functions that make an error, and the place of the code among their arguments."""


def codes_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        if name in MAKERS and len(node.args) > MAKERS[name]:
            code = node.args[MAKERS[name]]
            if isinstance(code, ast.Constant) and CODE.fullmatch(str(code.value)):
                yield str(code.value)


def test_every_code_is_in_the_table_and_every_row_is_a_code() -> None:
    rooms = [*(ROOT / "cbmon" / "web").rglob("*.py"), *(ROOT / "cbmon" / "apps").glob("*.py")]
    made = {code for path in rooms for code in codes_in(path)}
    told = {
        code
        for row in re.findall(r"^\| [\d, ]+ \| ([^|]+) \|", TABLE, re.MULTILINE)
        for code in re.findall(r"`([a-z_]+)`", row)
    }
    assert told == made


def test_the_size_of_a_body_is_told() -> None:
    from cbmon.web.connections import Limits

    assert Limits().body_bytes == 64 * 1024
    assert "A body has at most 64 KiB" in TEXT
