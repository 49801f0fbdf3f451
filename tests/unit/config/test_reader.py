"""YAML as the configuration reads it.

Rule: any bytes give a configuration or a list of problems, never another error.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cbmon.config.nodes import Block, Items, follow, joined
from cbmon.config.problems import ConfigError, Problems
from cbmon.config.reader import MAX_DEPTH, read_yaml, require_libyaml
from cbmon.errors import ConfigurationError


def read(text: str | bytes, **environ: str) -> Block | None:
    problems = Problems()
    data = text.encode() if isinstance(text, str) else text
    root = read_yaml(data, "cbmon.yml", environ=environ, problems=problems)
    problems.check()
    return root


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (None, "~"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (10, "10"),
        (-5, "-5"),
        (0, "0"),
        (1.5, "1.5"),
        (1000.0, "1e3"),
        (0.5, ".5"),
        ("y", "y"),
        ("n", "n"),
        ("2024-01-01", "2024-01-01"),
        ("1.2.3", "1.2.3"),
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("no", '"no"'),
        ("010", "'010'"),
        ("1:30", '"1:30"'),
        ("a\nb\n", "|\n  a\n  b"),
        ("a b", ">-\n  a\n  b"),
        (["a", 1], "[a, 1]"),
        ({"b": {}}, "{b: {}}"),
    ],
)
def test_scalars_have_the_types_of_yaml_1_2(value: object, text: str) -> None:
    assert read(f"a: {text}\n") == {"a": value}


@pytest.mark.parametrize("text", ["no", "Yes", "ON", "off", "True", "NULL", "010", "-07", "1:30"])
@pytest.mark.parametrize("form", ["a: {}", "a: [{}]"])
def test_scalars_that_readers_disagree_about_are_refused(text: str, form: str) -> None:
    with pytest.raises(ConfigError, match="write"):
        read(form.replace("{}", text))


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read("on: 1\n1:30: 2\n010: 3\ntrue: 4\n") == {"on": 1, "1:30": 2, "010": 3, "true": 4}


def test_an_alias_repeats_its_anchor_and_a_merge_fills_in_what_is_not_said() -> None:
    root = read(
        "x-a: &a {one: 1, two: 2}\nx-b: &b {two: 3, three: 3}\n"
        "c: {<<: *a, one: 0}\nd: {<<: [*b, *a]}\ne: [*a, *a]\n"
    )

    assert root is not None
    assert root["c"] == {"one": 0, "two": 2}
    assert root["d"] == {"one": 1, "two": 3, "three": 3}
    assert root["e"][0] is root["e"][1] is root["x-a"]


def test_a_value_keeps_its_place_through_alias_and_merge() -> None:
    root = read("x: &x\n  deep: [1, {a: 2}]\ny: {<<: *x}\nz: [0, *x]\n")

    assert root is not None
    steps, place, value = follow(root, ["y", "deep", 1, "a"])
    assert (joined("", steps), str(place), value) == ("y.deep[1].a", "cbmon.yml:2:17", 2)
    assert str(follow(root, ["z", 1])[1]) == "cbmon.yml:4:8"


def test_columns_count_characters_and_a_byte_order_mark_does_not_count() -> None:
    root = read("\ufeffä: {ö: 1}\n")

    assert root is not None
    assert str(follow(root, ["ä", "ö"])[1]) == "cbmon.yml:1:8"


def test_variables_are_put_in_after_parsing_so_that_they_cannot_change_the_structure() -> None:
    root = read("a: ${X}\nb: '${X}'\nc: p${N}q${N}\nd: $${X}\ne: $X $$ $1\n", X="}: [", N="0")

    assert root == {"a": "}: [", "b": "}: [", "c": "p0q0", "d": "${X}", "e": "$X $$ $1"}


def test_defaults_of_variables_stand_in_for_unset_and_empty() -> None:
    root = read("a: ${A:-x}\nb: ${B:-x y}\nc: ${C:-}\nd: ${D}\n", B="", D="")

    assert root == {"a": "x", "b": "x y", "c": "", "d": ""}


def test_depth_is_bounded_through_aliases_too() -> None:
    half = MAX_DEPTH // 2
    deep = "[" * half + "]" * half

    assert read(f"a: {deep}\n")
    with pytest.raises(ConfigError, match="nested deeper than 40 levels by aliases"):
        read(f"a: &a {deep}\nb: {'[' * half}*a{']' * half}\n")
    with pytest.raises(ConfigError, match="nested deeper than 40 levels"):
        read("a: " + "[" * 100_000)


def test_an_alias_bomb_is_refused_before_it_explodes() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]

    with pytest.raises(ConfigError, match="more than 2000000 values"):
        read("\n".join(lines))


def test_without_libyaml_the_next_step_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", False)

    with pytest.raises(ConfigurationError, match="libyaml"):
        require_libyaml()


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcxyz", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(PLAIN)
def test_what_is_written_as_json_is_read_back(value: Any) -> None:
    text = json.dumps({"a": value}, ensure_ascii=False).replace("${", "$${")

    assert read(text) == {"a": value}


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200) | st.text("{}[]:-, \n\t#&*!|>'\"%@`$a1<~?", max_size=60))
@example(b"\xff\xfe")
@example(b"%YAML 9.9\n---\na")
@example(b"? ? ? ?\n")
@example("a: &a *a")
@example("<<: <<")
@example("a: !<tag:x> 1")
@example("\ud800".encode("utf-8", "surrogatepass"))
def test_any_bytes_are_read_or_refused(data: bytes | str) -> None:
    raw = data.encode() if isinstance(data, str) else data
    try:
        root = read(raw)
    except ConfigError as error:
        problems = error.problems
    else:
        assert root is None or isinstance(root, Block)
        return
    assert problems
    assert all(problem.line > 0 and problem.column > 0 for problem in problems)


def test_a_list_and_a_mapping_are_what_everybody_expects() -> None:
    root = read("a: [1, {b: 2}]\n")

    assert root is not None
    assert isinstance(root["a"], Items)
    assert sys.getrecursionlimit() > MAX_DEPTH * 10
    assert root == {"a": [1, {"b": 2}]}
