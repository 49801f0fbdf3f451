"""Label values as the Prometheus text format has them, line breaks included."""

from __future__ import annotations

from cbmon.metrics.text import escape


def test_line_breaks_quotes_and_backslashes_are_escaped() -> None:
    assert escape('zwei\nZeilen "x" \\') == 'zwei\\nZeilen \\"x\\" \\\\'
