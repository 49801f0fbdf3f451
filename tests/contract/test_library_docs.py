"""The pages for library users: every example runs, every name in a table exists."""

import doctest
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import cbmon
from cbmon import BreakerPolicy, CircuitBreaker
from cbmon.resilience import Backoff, Bulkhead, Retry, RetryBudget

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["library.md", "choosing-a-breaker.md", "coming-from-other-libraries.md"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[int, str, str]]:
    """(line, language, text) of every fenced block."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start()) + 2, match[1], match[2])
        for match in BLOCK.finditer(text)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_example_of_a_page_runs_from_top_to_bottom(page: str) -> None:
    names: dict[str, Any] = {"__name__": page}
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    report: list[str] = []
    for line, language, text in blocks(page):
        if language == "pycon":
            test = parser.get_doctest(text, names, page, page, line - 1)
            runner.run(test, out=report.append, clear_globs=False)
            names.update(test.globs)
        else:
            assert language == "python", f"{page}:{line}: a block of {language} cannot be tested"
            exec(compile("\n" * (line - 1) + text, page, "exec"), names)
    assert report == [], "".join(report)


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_that_a_page_names_exists(page: str) -> None:
    known = set(BreakerPolicy.__dataclass_fields__)
    for owner in (CircuitBreaker, Retry, Bulkhead, RetryBudget, Backoff, cbmon.BreakerRegistry):
        known |= set(inspect.signature(owner).parameters)
    ours = re.compile(
        r"`((?:recovery|half_open|failure|success|window|minimum|slow|max|adaptive|auto)_\w+)(?:=|`)"
    )
    named = set(ours.findall((DOCS / page).read_text(encoding="utf-8")))
    assert named - known - {"failure_count"} == set()


def test_the_examples_of_the_docstrings_run() -> None:
    from cbmon import testing
    from cbmon.breaker import registry
    from cbmon.resilience import budget, bulkhead, fallback, retrying

    for module in (testing, registry, budget, bulkhead, fallback, retrying):
        failed, attempted = doctest.testmod(module)
        assert (failed, attempted > 0) == (0, True), module.__name__


def test_the_guide_shows_an_example_within_its_first_thirty_lines() -> None:
    assert blocks("library.md")[0][0] <= 30
