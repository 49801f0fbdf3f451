"""Named time intervals, written as Alertmanager writes them.

Rule: https://prometheus.io/docs/alerting/latest/configuration/#time_interval. Text becomes ranges
of numbers here; what they mean is the notify room's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, WithJsonSchema

from cbmon.config.options import Options, fault
from cbmon.config.words import shown

WEEKDAYS: Final = (
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
)
MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_TIME: Final = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")


def _range(
    lowest: int, highest: int, names: Mapping[str, int], what: str
) -> Callable[[object], tuple[int, int]]:
    def number(text: str) -> int:
        value = names.get(text.strip().lower())
        if value is None and re.fullmatch(r"-?\d{1,4}", text.strip()):
            value = int(text)
        if value is None or not lowest <= value <= highest or (lowest < 0 and value == 0):
            raise ValueError(f"expected {what}, got {shown(text)}")
        return value

    def parse(value: object) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        first, colon, last = str(value).partition(":")
        start = number(first)
        end = number(last) if colon else start
        if end < start and (start < 0) is (end < 0):
            raise ValueError(f"expected a range that does not begin after its end, got {value}")
        return start, end

    return parse


def _minutes(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1440:
        return value
    match = _TIME.fullmatch(str(value))
    minutes = -1 if match is None else int(match[1]) * 60 + int(match[2])
    if not 0 <= minutes <= 1440:
        raise ValueError(f'expected a time from "00:00" to "24:00", got {shown(value)}')
    return minutes


def _location(value: object) -> str:
    text = str(value)
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f'expected a time zone such as "Europe/Berlin", got {shown(text)}'
        ) from None
    return text


_DAYS: Final = "monday or monday:friday"
_DATES: Final = "a day such as 1, 1:5 or -3:-1"
_MONTHS: Final = "may, 5 or march:may"
_YEARS: Final = "a year such as 2026 or 2026:2027"
_weekday = _range(0, 6, {day: number for number, day in enumerate(WEEKDAYS)}, _DAYS)
_month = _range(1, 12, {month: number for number, month in enumerate(MONTHS, 1)}, _MONTHS)
_TEXT: Final = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]})
Weekday = Annotated[tuple[int, int], BeforeValidator(_weekday), _TEXT]
DayOfMonth = Annotated[tuple[int, int], BeforeValidator(_range(-31, 31, {}, _DATES)), _TEXT]
Month = Annotated[tuple[int, int], BeforeValidator(_month), _TEXT]
Year = Annotated[tuple[int, int], BeforeValidator(_range(1970, 9999, {}, _YEARS)), _TEXT]
TimeOfDay = Annotated[
    int, BeforeValidator(_minutes), WithJsonSchema({"type": "string", "pattern": _TIME.pattern})
]
Location = Annotated[str, BeforeValidator(_location)]


class TimeRange(Options):
    """A part of the day."""

    start_time: TimeOfDay = Field(description='When it begins, such as "09:00".')
    end_time: TimeOfDay = Field(description='When it is over, such as "17:00" or "24:00".')

    def model_post_init(self, _: Any) -> None:
        """A range ends after it begins; over midnight it takes two."""
        if self.end_time <= self.start_time:
            raise fault("end_time is not after start_time; over midnight write two ranges")


class TimeIntervalSpec(Options):
    """When: all fields that are given must match."""

    times: tuple[TimeRange, ...] = Field((), description="Parts of the day.")
    weekdays: tuple[Weekday, ...] = Field((), description="Such as monday:friday, saturday.")
    days_of_month: tuple[DayOfMonth, ...] = Field((), description="Such as 1:5; -1 is the last.")
    months: tuple[Month, ...] = Field((), description="Such as march:may, 12.")
    years: tuple[Year, ...] = Field((), description="Such as 2026:2027.")
    location: Location = Field("UTC", description="The time zone in which this is meant.")


class TimeIntervalEntry(Options):
    """A time interval with a name; it lasts while one of its entries matches."""

    name: str = Field(min_length=1, description="What routes and maintenance call it.")
    time_intervals: tuple[TimeIntervalSpec, ...] = Field(description="When it lasts.")
