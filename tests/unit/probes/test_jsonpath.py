"""Rule: a path names one place; values are compared as JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cbmon.probes.http.jsonpath import JsonConditions, parse_path, same

DOCUMENT = {
    "db": "up",
    "a b": {"c.d": 1},
    "items": [{"id": 7}, {"id": 8}],
    "none": None,
    "queue": {"length": 3, "ok": True},
}


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        (DOCUMENT, "$"),
        ("up", "$.db"),
        (1, "$['a b']['c.d']"),
        (1, '$["a b"]["c.d"]'),
        (7, "$.items[0].id"),
        (8, "$.items[-1].id"),
        (None, "$.none"),
    ],
)
def test_a_path_leads_to_its_place(expected: Any, path: str) -> None:
    assert expected == parse_path(path).find(DOCUMENT)


@pytest.mark.parametrize(
    "path", ["$.nope", "$.db.x", "$.items[2]", "$.items.id", "$.db[0]", "$.none.x", "$[0]"]
)
def test_a_path_to_nothing_is_said_to_lead_to_nothing(path: str) -> None:
    found = parse_path(path).find(DOCUMENT)

    assert JsonConditions(equals="up").trouble(found) == "got nothing there"
    assert JsonConditions(exists=False).trouble(found) is None


@pytest.mark.parametrize(
    "path", ["", "db", ".db", "$db", "$..db", "$.", "$[", "$[*]", "$['a]", "$.a b", "$[1.5]", 5]
)
def test_what_is_not_a_path_is_refused(path: Any) -> None:
    with pytest.raises(ValueError, match="expected a path such as"):
        parse_path(path)


@pytest.mark.parametrize(
    ("expected", "left", "right"),
    [
        (True, 1, 1.0),
        (False, 1, True),
        (False, 0, False),
        (False, 1, "1"),
        (False, None, False),
        (True, [1, {"a": None}], [1, {"a": None}]),
        (False, [1], [True]),
        (False, {"a": 1}, {"a": 1, "b": 2}),
    ],
)
def test_values_are_compared_as_json(expected: bool, left: Any, right: Any) -> None:
    assert same(left, right) is expected
    assert same(right, left) is expected


@pytest.mark.parametrize(
    ("trouble", "conditions", "found"),
    [
        (None, {"equals": "up"}, "up"),
        ('got "down", expected "up"', {"equals": "up"}, "down"),
        ('got "up", expected anything but "up"', {"not_equals": "up"}, "up"),
        (None, {"matches": "^u"}, "up"),
        ("got \"up\", expected a text that matches '^x'", {"matches": "^x"}, "up"),
        ("got 5, expected a text that matches '5'", {"matches": "5"}, 5),
        ("got \"up\", expected no match for 'u'", {"not_matches": "u"}, "up"),
        (None, {"above": 1, "below": 5}, 3),
        ("got 5, expected less than 5.0", {"below": 5}, 5),
        ("got 5, expected more than 5.0", {"above": 5}, 5),
        ("got true, expected more than 0.0", {"above": 0}, True),
        (None, {"one_of": [1, "up"]}, "up"),
        ('got "x", expected one of [1, "up"]', {"one_of": [1, "up"]}, "x"),
        (None, {"exists": True}, None),
        ("got 1, expected nothing there", {"exists": False}, 1),
        (None, {"equals": None}, None),
        ("got 0, expected null", {"equals": None}, 0),
    ],
)
def test_conditions_say_what_was_found_and_what_was_expected(
    trouble: str | None, conditions: dict[str, Any], found: Any
) -> None:
    assert trouble == JsonConditions.model_validate(conditions).trouble(found)


@pytest.mark.parametrize("conditions", [{}, {"exists": False, "equals": 1}, {"nope": 1}])
def test_conditions_that_make_no_sense_are_refused(conditions: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        JsonConditions.model_validate(conditions)


def test_a_huge_value_is_shown_in_short() -> None:
    trouble = JsonConditions(equals=1).trouble(["x" * 10_000])

    assert trouble is not None
    assert len(trouble) < 200


@given(st.text(max_size=30))
def test_any_text_is_a_path_or_is_refused(text: str) -> None:
    try:
        path = parse_path("$" + text)
    except ValueError:
        return
    path.find(DOCUMENT)
