"""Rule: which performance data become metrics is understood when the configuration is read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cbmon.probes.exec.options import MOST_SERIES, ExecOptions


def options(perfdata: Any) -> ExecOptions:
    return ExecOptions.model_validate({"command": ["/bin/true"], "perfdata": perfdata})


def test_a_list_of_labels_is_short_for_values() -> None:
    assert options(["load1", "/"]).perfdata == {"load1": "value", "/": "value"}
    assert options({"/": "bytes", "it's = odd": "counter"}).perfdata == {
        "/": "bytes", "it's = odd": "counter",
    }  # fmt: skip
    assert options([]).perfdata == {}


@pytest.mark.parametrize(
    ("message", "perfdata"),
    [
        ("'a' stands twice", ["a", "b", "a"]),
        ("expected labels", ["a", 1]),
        ("expected labels", [{"a": "bytes"}]),
        ("'value', 'seconds', 'bytes', 'ratio' or 'counter'", {"a": "ms"}),
        ("printable", [""]),
        ("printable", ["a\nb"]),
        ("printable", ["x" * 201]),
        (f"at most {MOST_SERIES} items", [str(number) for number in range(MOST_SERIES + 1)]),
        ("valid dictionary", "load1"),
    ],
)
def test_what_can_be_no_label_is_refused(message: str, perfdata: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        options(perfdata)

    assert message in str(caught.value)


@given(st.lists(st.text(max_size=5) | st.integers() | st.none()) | st.dictionaries(
    st.text(max_size=5), st.sampled_from(["value", "bytes", "x", None])))  # fmt: skip
def test_anything_is_understood_or_refused(perfdata: Any) -> None:
    try:
        found = options(perfdata).perfdata
    except ValidationError:
        return
    assert [*found] == [*perfdata]
