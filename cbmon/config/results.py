"""How long results of runs are kept, as a person configures it."""

from __future__ import annotations

import itertools
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from cbmon.config.fields import Duration, Options, fault
from cbmon.config.units import format_duration

HOUR: Final = 3600.0
DAY: Final = 86_400.0
SHORTEST: Final = 900.0
LONGEST: Final = 3660 * DAY


def _kept(value: float) -> float:
    if not SHORTEST <= value <= LONGEST:
        raise ValueError(f"expected a time from 15m to 3660d, got {format_duration(value)}")
    return value


Kept = Annotated[Duration, AfterValidator(_kept)]


class ResultsSection(Options):
    """What runs found, over time: for charts, uptime and simulation."""

    enabled: bool = Field(
        True, description="Keep results; false keeps none, and charts and uptime know nothing."
    )
    raw: Kept = Field(DAY, description="How long every single result is kept; from 15m to 3660d.")
    minutes: Kept = Field(
        2 * DAY, description="How long the sums of five minutes are kept; not shorter than raw."
    )
    hours: Kept = Field(
        30 * DAY, description="How long the sums of hours are kept; not shorter than minutes."
    )
    days: Kept = Field(
        400 * DAY,
        description="How long the sums of days (in UTC) are kept; not shorter than hours.",
    )

    @property
    def levels(self) -> dict[int, float]:
        """Seconds that each level is kept, by the seconds of its buckets; 0 are single results."""
        return {0: self.raw, 300: self.minutes, 3600: self.hours, 86_400: self.days}

    @model_validator(mode="after")
    def _check_order(self) -> ResultsSection:
        names = ("raw", "minutes", "hours", "days")
        for fine, coarse in itertools.pairwise(names):
            if getattr(self, fine) > getattr(self, coarse):
                raise fault(f"{coarse} is shorter than {fine}; sums are kept at least as long")
        return self
