"""A tag changes with what is on a sheet; changes have a limit for each person."""

from __future__ import annotations

from cbmon.breaker import BreakerPolicy
from cbmon.settings import Base, Book, Problem
from cbmon.settings.sheet import Allowance, Sheet


def sheet(book: Book) -> Sheet:
    effective = book.of("api")
    return Sheet(name="api", fields=effective.override, effective=effective)


def test_the_tag_changes_with_the_settings_and_with_the_layers_below() -> None:
    book = Book()
    book.rebase({"api": Base(policy=BreakerPolicy(), interval=30.0)})
    tags = [sheet(book).tag]
    book.set_override("api", {"failure_threshold": 3})
    tags.append(sheet(book).tag)
    book.set_defaults({"recovery_timeout": 9.0})
    tags.append(sheet(book).tag)
    book.set_defaults({})
    assert len(set(tags)) == 3
    assert sheet(book).tag == tags[1]
    assert tags[0][0] == tags[0][-1] == '"'


def test_a_burst_is_allowed_and_then_so_many_a_second() -> None:
    allowance = Allowance(burst=3, rate=0.5)
    assert [allowance.take("ada", 100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]
    assert allowance.take("otto", 100.0) == 0.0
    assert allowance.take("ada", 101.0) == 1.0
    assert allowance.take("ada", 102.0) == 0.0


def test_a_value_that_json_cannot_hold_or_that_is_long_is_told_as_text() -> None:
    def told(value: object) -> object:
        return Problem(field="kind", value=value, expected="x").as_json()["value"]

    assert told(3) == 3
    assert told(float("inf")) == "inf"
    assert told("x" * 300) == '"' + "x" * 59 + '…"'
    assert told({"a": object()}) == "a mapping"
