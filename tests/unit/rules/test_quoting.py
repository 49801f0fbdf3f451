"""Text from the configuration means itself in every language it passes through."""

from __future__ import annotations

import re2
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from cbmon.config.units import parse_duration
from cbmon.rules import quoting

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PRINTABLE = TEXT.filter(str.isprintable)


@given(TEXT)
def test_a_yaml_scalar_is_read_back_as_it_was(text: str) -> None:
    line = quoting.yaml(text)
    assert "\n" not in line
    assert pyyaml.safe_load(f"[{line}]") == [text]


@given(TEXT)
def test_a_promql_string_ends_where_it_should(text: str) -> None:
    quoted = quoting.promql(text)
    inner, position, read = quoted[1:-1], 0, ""
    while position < len(inner):
        assert inner[position] != '"'
        if inner[position] == "\\":
            read += {"n": "\n"}.get(inner[position + 1], inner[position + 1])
            position += 2
        else:
            read += inner[position]
            position += 1
    assert read == text


@given(PRINTABLE, PRINTABLE)
def test_a_pattern_matches_its_text_and_no_other(text: str, other: str) -> None:
    pattern = re2.compile(quoting.regex(text))
    assert pattern.fullmatch(text)
    assert bool(pattern.fullmatch(other)) == (other == text)


@given(PRINTABLE)
def test_a_go_template_has_no_action_but_the_one_that_writes_braces(text: str) -> None:
    assert quoting.go_template(text).replace('{{ "{{" }}', "") == text.replace("{{", "")
    assert "{{" not in quoting.go_template(text).replace('{{ "{{" }}', "")


def test_names_are_sorted_and_joined_to_one_matcher() -> None:
    assert quoting.among("check", ["b", "a.b"]) == 'check=~"a\\\\.b|b"'
    assert quoting.among("check", ["b"], but=True) == 'check!~"b"'
    assert quoting.equal("check", 'a"b') == 'check="a\\"b"'


@given(st.floats(0.0001, 1e7))
def test_a_duration_is_never_shorter_than_asked_for(seconds: float) -> None:
    spelled = parse_duration(quoting.duration(seconds))
    assert seconds - 1e-6 <= spelled <= max(0.001, seconds + 0.001)


def test_numbers_are_short_and_exact() -> None:
    assert [quoting.number(value) for value in (2.0, 0.5, 0.1 + 0.2)] == [
        "2",
        "0.5",
        "0.30000000000000004",
    ]
