"""Rule: what plug-ins print is read as far as it can be, whatever it is."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.probes.exec.perfdata import MOST, Value, parse, split_output


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (4.0, "", "4"),
        (-0.5, "", "-.5"),
        (1.5, "", "1,5"),
        (1200.0, "", "1.2e3"),
        (0.25, "seconds", "250ms"),
        (2.0, "seconds", "2s"),
        (3e-6, "seconds", "3us"),
        (1024.0, "bytes", "1KiB"),
        (1_000_000.0, "bytes", "1MB"),
        (1_000.0, "bytes", "1kB"),
        (99.0, "percent", "99%"),
        (12.0, "counter", "12c"),
        (7.0, "widgets", "7widgets"),
    ],
)
def test_values_come_in_their_base_unit(value: float, unit: str, written: str) -> None:
    (found,) = parse(f"a={written}")

    assert value == pytest.approx(found.value)
    assert unit == found.unit


def test_thresholds_and_limits_are_kept() -> None:
    assert parse("'free space'=10MB;20:30;@5:6;0;100") == [
        Value(
            label="free space",
            value=10e6,
            unit="bytes",
            warn="20:30",
            crit="@5:6",
            minimum=0.0,
            maximum=100e6,
        )
    ]


def test_quoted_labels_may_hold_everything() -> None:
    assert [one.label for one in parse("'a=b'=1 'it''s'=2 '/'=3 /var=4")] == [
        "a=b", "it's", "/", "/var",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "broken", ["a=U", "a=", "=1", "a", "a=1.2.3", "'a=1", "a=ms", "''=1", ";;"]
)
def test_what_cannot_be_read_is_left_out_and_the_rest_is_kept(broken: str) -> None:
    found = {one.label: one.value for one in parse(f"before=1 {broken} after=2")}

    assert found.get("before") == 1.0
    assert broken == "'a=1" or found.get("after") == 2.0
    assert len(found) <= 3


def test_the_last_of_two_values_with_one_label_wins() -> None:
    assert [one.value for one in parse("a=1 a=2")] == [2.0]


def test_the_output_is_parted_at_the_bars() -> None:
    output = "DISK OK - free | /=1MB\nmore of it\nand more | a=1\nb=2\n"

    assert split_output(output) == ("DISK OK - free", "more of it\nand more", "/=1MB  a=1\nb=2")


@pytest.mark.parametrize("output", ["", "\n", "|", "\n|\n|", "|a=1"])
def test_an_output_without_words_is_parted_too(output: str) -> None:
    message, _, _ = split_output(output)

    assert message == ""


@pytest.mark.parametrize("end", ["x9", "e9999", ".9.9", "", ","])
@pytest.mark.parametrize("begin", ["a=", "a=1;;;", "a=1;2;3;4;", "a=."])
def test_numbers_of_thousands_of_digits_take_no_time(begin: str, end: str) -> None:
    begun = time.process_time()

    parse(begin + "9" * 60_000 + end)

    assert time.process_time() - begun < 1.0


@given(st.text(max_size=400))
def test_any_text_is_read_without_a_complaint(text: str) -> None:
    message, _, data = split_output(text)

    assert "|" not in message
    for value in parse(data) + parse(text):
        assert math.isfinite(value.value)
        assert value.label


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=20).filter(lambda text: text.strip() and "\n" not in text),
            st.floats(allow_nan=False, allow_infinity=False, width=32),
        ),
        max_size=MOST,
        unique_by=lambda pair: pair[0],
    )
)
def test_what_is_written_by_the_rules_is_read_back(pairs: list[tuple[str, float]]) -> None:
    written = " ".join(
        f"'{label.replace(chr(39), chr(39) * 2)}'={value!r}" for label, value in pairs
    )

    assert {one.label: one.value for one in parse(written)} == dict(pairs)
