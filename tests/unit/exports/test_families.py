"""Families are left out whole, and nothing else changes by a byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cbmon.exports.families import without

PROCESS = b"# HELP process_open_fds Fds.\n# TYPE process_open_fds gauge\nprocess_open_fds 9\n"
PYTHON = b'# HELP python_info Python.\n# TYPE python_info gauge\npython_info{v="3"} 1\n'
CHECK = b'# HELP cbmon_check_up Up.\n# TYPE cbmon_check_up gauge\ncbmon_check_up{check="a"} 1\n'
TRAP = b'# HELP trap Not # HELP process_x.\n# TYPE trap gauge\ntrap{x="# HELP python_info"} 1\n'


def test_named_families_go_wherever_they_stand() -> None:
    for text in (PROCESS + CHECK + PYTHON, CHECK + PROCESS + PYTHON, PROCESS + PYTHON + CHECK):
        assert without(text, ("process_", "python_")) == CHECK


def test_without_prefixes_it_is_the_same_object() -> None:
    text = PROCESS + CHECK
    assert without(text, ()) is text


def test_a_whole_name_goes_with_what_begins_like_it_and_no_more() -> None:
    assert without(CHECK + PYTHON, ("cbmon_check_up",)) == PYTHON
    assert without(CHECK + PYTHON, ("check_up",)) == CHECK + PYTHON


def test_a_help_in_the_middle_of_a_line_is_text() -> None:
    assert without(TRAP + PROCESS, ("process_", "python_")) == TRAP


def test_overlapping_prefixes_cut_once() -> None:
    assert without(CHECK + PROCESS, ("process_", "process_open")) == CHECK


def test_everything_may_go() -> None:
    assert without(PROCESS + PROCESS, ("process_",)) == b""


NAMES = st.sampled_from(["a", "ab", "abc", "b", "b_total", "process_x"])


@given(
    families=st.lists(st.tuples(NAMES, st.integers(0, 3)), max_size=8),
    prefixes=st.lists(st.sampled_from(["a", "ab", "b", "b_", "process_", "zzz"]), max_size=3),
)
def test_it_agrees_with_a_walk_over_the_families(
    families: list[tuple[str, int]], prefixes: list[str]
) -> None:
    def rendered(name: str, samples: int) -> bytes:
        lines = [f"# HELP {name} Text.", f"# TYPE {name} gauge", *[f"{name} 1"] * samples]
        return "".join(f"{line}\n" for line in lines).encode()

    text = b"".join(rendered(*family) for family in families)
    expected = b"".join(
        rendered(*family) for family in families if not family[0].startswith(tuple(prefixes))
    )
    assert without(text, prefixes) == expected
