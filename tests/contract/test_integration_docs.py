"""The page on integrations: every quick start runs, every name exists, every extra is declared."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(
    r"^\| \[([\w -]+)\]\S* \| `cbmon(?:\[(\w+)\])?` \| (.*?) \| (.*?) \|$", re.MULTILINE
)
MODULES = {
    "aiohttp": "aiohttp", "asyncpg": "asyncpg", "grpc": "grpc", "httpx": "httpx",
    "httpx2": "httpx2", "mcp": "mcp", "psycopg": "postgres", "redis": "redis",
    "requests": "requests", "sqlalchemy": "sqlalchemy",
}  # fmt: skip
"""Integration and extra."""


def test_every_quick_start_runs_by_itself() -> None:
    blocks = list(BLOCK.finditer(TEXT))
    assert len(blocks) >= 12
    for match in blocks:
        names: dict[str, Any] = {"__name__": "integrations.md"}
        line = TEXT.count("\n", 0, match.start()) + 1
        exec(compile("\n" * line + match[1], "integrations.md", "exec"), names)
        for name in ("channel", "client", "polite", "http", "session"):
            if name in names:
                names[name].close()


def test_the_example_of_the_readme_prints_what_it_says() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = BLOCK.findall(readme)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[-1] in readme


def test_the_first_example_stands_within_the_first_thirty_lines() -> None:
    found = BLOCK.search(TEXT)
    assert found is not None
    assert TEXT.count("\n", 0, found.start()) <= 30


def test_every_extra_of_the_table_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {row[2] for row in ROW.finditer(TEXT) if row[2]}
    assert len(named) == 11
    assert named <= set(project["optional-dependencies"])
    assert set(MODULES.values()) <= named


@pytest.mark.parametrize("name", MODULES)
def test_the_names_of_the_table_are_the_modules(name: str) -> None:
    module = importlib.import_module(f"cbmon.integrations.{name}")
    for public in module.__all__:
        assert hasattr(module, public)
    shown = [public for public in module.__all__ if public in TEXT]
    assert shown, f"nothing of {name} is on the page"


@pytest.mark.parametrize(("name", "extra"), MODULES.items())
def test_a_client_that_is_not_installed_names_its_extra(name: str, extra: str) -> None:
    code = (
        "import sys\n"
        f"sys.modules[{name!r}] = None\n"
        "from cbmon.errors import MissingExtraError\n"
        "try:\n"
        f"    import cbmon.integrations.{name}\n"
        "except MissingExtraError as error:\n"
        "    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert f"pip install 'cbmon[{extra}]'" in ran.stdout


def test_protecting_imports_no_client() -> None:
    code = (
        "import sys, cbmon.integrations\n"
        "print(sorted({'httpx', 'aiohttp', 'redis', 'sqlalchemy', 'asyncio'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["protecting"])
def test_the_examples_of_the_docstrings_run(module: str) -> None:
    import doctest

    found = importlib.import_module(f"cbmon.integrations.{module}")
    failed, attempted = doctest.testmod(found)
    assert (failed, attempted > 0) == (0, True)
