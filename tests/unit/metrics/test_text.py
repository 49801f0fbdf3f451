"""The text formats: escaping, numbers, heads and histograms, byte for byte."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from cbmon.metrics.text import (
    MARK,
    Family,
    escape,
    fill,
    histogram,
    histogram_template,
    labelled,
    number,
    opening,
    optional,
    template,
)


class TestLabels:
    @pytest.mark.parametrize(
        ("value", "escaped"),
        [
            ("plain", "plain"),
            ('say "hi"', r"say \"hi\""),
            ("C:\\x", r"C:\\x"),
            ("a\nb", r"a\nb"),
            ("Größe ☃", "Größe ☃"),
            ("\\n", r"\\n"),
        ],
    )
    def test_quotes_backslashes_and_newlines_are_escaped_and_nothing_else(
        self, value: str, escaped: str
    ) -> None:
        assert escape(value) == escaped

    def test_what_is_no_unicode_does_not_break_the_scrape(self) -> None:
        assert escape("a\udc80b") == "a?b"

    @given(value=st.text(st.characters(exclude_categories=["Cs"])))
    def test_any_text_comes_back_from_the_parser(self, value: str) -> None:
        line = fill(template("up", "check", "reason", ["dns"]), escape(value).encode(), (3,))
        # The parser splits at every line boundary that Python knows; the format has only \n.
        if len(value.splitlines()) > 1 or value != value.strip():
            assert line.decode() == f'up{{check="{escape(value)}",reason="dns"}} 3\n'
            return
        (family,) = text_string_to_metric_families(line.decode())
        assert family.samples[0].labels == {"check": value, "reason": "dns"}

    def test_labels_stand_in_alphabetical_order(self) -> None:
        assert labelled("up", {"b": "2", "a": "1"}) == 'up{a="1",b="2"}'
        assert labelled("up", {}) == "up"

    def test_a_label_may_hold_a_percent_sign_or_the_mark(self) -> None:
        pattern = template("x", "check", "phase", ["tls"])
        assert fill(pattern, b"100 %d", (1,)) == b'x{check="100 %d",phase="tls"} 1\n'
        assert fill(pattern, MARK.encode(), (1,)) == b'x{check="\x00",phase="tls"} 1\n'


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0, "0"),
            (True, "1"),
            (0.5, "0.5"),
            (3.0, "3"),
            (-62_135_596_800.0, "-62135596800"),
            (1e300, "1e+300"),
            (math.nan, "NaN"),
            (math.inf, "+Inf"),
            (-math.inf, "-Inf"),
        ],
    )
    def test_numbers_are_written_as_prometheus_wants_them(self, value: float, text: str) -> None:
        assert number(value) == text

    @given(value=st.floats())
    def test_a_number_is_written_exactly(self, value: float) -> None:
        back = float(number(value))
        assert back == value or (math.isnan(back) and math.isnan(value))

    def test_what_has_no_value_has_no_line(self) -> None:
        start = opening("ratio", "check", category="app")
        assert optional(start, ["a", "b"], [None, 0.25], number) == (
            b'ratio{category="app",check="b"} 0.25\n'
        )


class TestFamilies:
    def test_a_counter_loses_its_suffix_in_openmetrics(self) -> None:
        family = Family(name="x_seconds_total", type="counter", help='Back\\slash\n"quoted".')
        assert family.head == (
            '# HELP x_seconds_total Back\\\\slash\\n"quoted".\n# TYPE x_seconds_total counter\n'
        )
        assert family.openmetrics_head == (
            '# HELP x_seconds Back\\\\slash\\n\\"quoted\\".\n'
            "# TYPE x_seconds counter\n# UNIT x_seconds seconds\n"
        )

    def test_an_info_is_a_gauge_in_the_older_format(self) -> None:
        family = Family(name="x_info", type="info", help="What it is.")
        assert "# TYPE x_info gauge\n" in family.head
        assert "# TYPE x info\n" in family.openmetrics_head

    def test_a_histogram_is_cumulative_and_ends_in_sum_and_count(self) -> None:
        pattern = histogram_template("took_seconds", "check", (0.5, 1))
        assert histogram(pattern, b"api", [1, 0, 2], 7.25).decode() == (
            'took_seconds_bucket{check="api",le="0.5"} 1\n'
            'took_seconds_bucket{check="api",le="1.0"} 1\n'
            'took_seconds_bucket{check="api",le="+Inf"} 3\n'
            'took_seconds_sum{check="api"} 7.250000\n'
            'took_seconds_count{check="api"} 3\n'
        )

    def test_a_histogram_may_have_no_label(self) -> None:
        assert histogram(histogram_template("x", "", (1.0,)), b"", [1, 0], 0.5).decode() == (
            'x_bucket{le="1.0"} 1\nx_bucket{le="+Inf"} 1\nx_sum 0.500000\nx_count 1\n'
        )
