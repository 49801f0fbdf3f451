"""What databases' answers have in common: a first value, a number of rows, and what they must be.

Rule: no more of an answer is kept than is judged, and what comes is counted while it comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from cbmon.config.fields import Duration, Options, Regex
from cbmon.model import Reason
from cbmon.probes.comparison import Comparison, Comparisons, parse_comparison, unmet
from cbmon.probes.failure import ProbeError, shown

LARGEST_ANSWER: Final = 4 * 1024 * 1024
"""Bytes that all rows together may have."""


def _wanted(value: object) -> Comparison | str:
    if isinstance(value, str) and not value.lstrip().startswith((">", "<", "=", "!=")):
        return value
    return parse_comparison(value)


Wanted = Annotated[
    Any,
    BeforeValidator(_wanted),
    PlainSerializer(lambda wanted: wanted and str(wanted), when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]}),
]
"""A number, a comparison such as ``"> 5"``, or a text to be equal to."""


class QueryExpect(Options):
    """What makes the answer to a query a good one."""

    rows: Comparisons | None = Field(
        None, description="number of rows, exactly or compared", examples=[1, "> 0"]
    )
    value: Wanted | None = Field(
        None,
        description="first value of the first row: a number, a comparison, or a text",
        examples=[1, "< 30", "primary"],
    )
    matches: Regex | None = Field(
        None, description="pattern that must match the first value of the first row"
    )
    max_duration: Duration | None = Field(None, description="longest the whole run may take")


@dataclass(slots=True)
class Answer:
    """What came back so far: how many rows, and the first value as text (None for NULL)."""

    rows: int = 0
    value: str | None = None
    size: int = field(default=0, repr=False)

    def take(self, size: int, value: str | None) -> None:
        """Count a row; ProbeError (``size``) when they are too large together."""
        self.size += size
        if self.size > LARGEST_ANSWER:
            text = f"the rows are larger than {LARGEST_ANSWER // 1024 // 1024} MiB"
            raise ProbeError(Reason.SIZE, text)
        if self.rows == 0:
            self.value = value
        self.rows += 1


def judge(expect: QueryExpect, answer: Answer) -> None:
    """ProbeError (``body``) unless rows and value are as expected."""
    if expect.rows is not None and (wanted := unmet(answer.rows, expect.rows)):
        text = f"got {answer.rows} row{'s' * (answer.rows != 1)}, expected {_bare(wanted)}"
        raise ProbeError(Reason.BODY, text)
    if expect.value is None and expect.matches is None:
        return
    if answer.rows == 0:
        raise ProbeError(Reason.BODY, "got no row, expected a value")
    got = "NULL" if answer.value is None else shown(answer.value)
    if expect.value is not None and not _is(answer.value, expect.value):
        wanted = expect.value if isinstance(expect.value, str) else _bare(str(expect.value))
        raise ProbeError(Reason.BODY, f"got {got}, expected {wanted}")
    if expect.matches is not None and not expect.matches.search(answer.value or ""):
        text = f"got {got}, expected a match for {expect.matches.pattern!r}"
        raise ProbeError(Reason.BODY, text)


def _is(value: str | None, wanted: Comparison | str) -> bool:
    if value is None or isinstance(wanted, str):
        return value == wanted
    try:
        return wanted.holds(float(value))
    except ValueError:
        return False


def _bare(wanted: str) -> str:
    return wanted.removeprefix("== ")
