"""When to be silent: the part of ``notifications`` besides routes and receivers.

Rule: one model is validator, example and reference at once, as in :mod:`cbmon.config.sections`.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import ClassVar, Final

from pydantic import Field, field_validator, model_validator

from cbmon.config.addresses import HostPort, SecretUrl, Url
from cbmon.config.options import Options, fault
from cbmon.config.quantities import Duration
from cbmon.config.routes import Matcher, Route
from cbmon.config.secrets import SecretFile
from cbmon.config.times import TimeIntervalEntry
from cbmon.config.words import shown


class FlappingSection(Options):
    """When a check that goes up and down is told as flapping instead of each time."""

    changes: int = Field(
        5, ge=0, le=100, description="Beginnings and ends of outages; 0 switches it off."
    )
    within: Duration = Field(600.0, description="The time in which so many are flapping.")
    settle: Duration = Field(300.0, description="It has settled after so long without a change.")


class StormSection(Options):
    """When the messages of a route become one digest."""

    messages: int = Field(
        10, ge=0, le=1000, description="More than so many are a storm; 0 switches it off."
    )
    within: Duration = Field(60.0, description="The time in which so many are a storm.")


class MaintenanceEntry(Options):
    """Messages about what all matchers cover are held while one of the intervals lasts."""

    name: str = Field(min_length=1, description="What it is called.")
    matchers: tuple[Matcher, ...] = Field((), description="What it covers; none is everything.")
    during: tuple[str, ...] = Field(min_length=1, description="Names of time_intervals.")
    skip_runs: bool = Field(False, description="Do not run those checks meanwhile either.")


class IsolationSection(Options):
    """Notices when it is cbmon itself that is cut off."""

    targets: tuple[HostPort, ...] = Field(
        min_length=1,
        description="TCP addresses (no names) that always answer, such as your gateway and a "
        "resolver; cbmon is cut off when none of them does.",
    )
    interval: Duration = Field(10.0, description="Time between two looks.")
    timeout: Duration = Field(2.0, description="How long one look may take.")

    @field_validator("targets")
    @classmethod
    def _need_no_resolver(cls, targets: tuple[HostPort, ...]) -> tuple[HostPort, ...]:
        for target in targets:
            try:
                ip_address(target.host)
            except ValueError:
                # Who is cut off cannot resolve a name, and a lookup would outlast the deadline.
                raise ValueError(f"expected an IP address, got {shown(target.host)}") from None
        return targets


class HeartbeatSection(Options):
    """Tells a dead man's switch again and again that cbmon lives."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("url",),)

    url: SecretUrl | None = Field(None, description="The address to ask with GET; a secret.")
    url_file: SecretFile | None = Field(None, description="A file that holds the url.")
    interval: Duration = Field(60.0, description="Time between two beats.")
    timeout: Duration = Field(10.0, description="How long one beat may take.")


class NotificationRules(Options):
    """When to be silent, and how to notice that nobody would hear."""

    time_intervals: tuple[TimeIntervalEntry, ...] = Field(
        (), description="Named times, for routes and maintenance."
    )
    maintenance: tuple[MaintenanceEntry, ...] = Field((), description="Expected outages.")
    flapping: FlappingSection = Field(
        default_factory=lambda: FlappingSection.model_validate({}),
        description="Checks that go up and down.",
    )
    storm: StormSection = Field(
        default_factory=lambda: StormSection.model_validate({}), description="Many at once."
    )
    isolation: IsolationSection | None = Field(None, description="cbmon itself cut off.")
    heartbeat: HeartbeatSection | None = Field(None, description="A dead man's switch.")
    dashboard_url: Url | None = Field(
        None,
        description="A dashboard that messages link to; {component} in it is replaced.",
    )

    @model_validator(mode="after")
    def _names_are_known(self) -> NotificationRules:
        names = [interval.name for interval in self.time_intervals]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise fault(f"the time interval {shown(twice)} is defined twice")
        for entry in self.maintenance:
            for name in entry.during:
                if name not in names:
                    raise fault(f"maintenance {shown(entry.name)}: {unknown(name, names)}")
        return self

    def unknown_intervals(self, route: Route) -> list[str]:
        """What is wrong with the names of intervals in a route and those below it."""
        names = [interval.name for interval in self.time_intervals]
        used = (*route.mute_time_intervals, *route.active_time_intervals)
        found = [unknown(name, names) for name in used if name not in names]
        return found + [text for child in route.routes for text in self.unknown_intervals(child)]


def unknown(name: str, names: list[str]) -> str:
    """What to say of a time interval that nobody defined."""
    known = f"; known are {', '.join(names)}" if names else "; time_intervals is empty"
    return f"unknown time interval {shown(name)}{known}"


RULE_KEYS: Final = tuple(NotificationRules.model_fields)
