"""From the configuration's words to the rules of the notifier.

Rule: translation only; what an option means is said where it is used.
"""

from __future__ import annotations

from cbmon.config import NotificationsConfig
from cbmon.config.times import TimeIntervalSpec
from cbmon.notify.calendar import Calendar, TimeInterval
from cbmon.notify.damping import Flapping
from cbmon.notify.notifier import Rules
from cbmon.notify.routing import line_name
from cbmon.notify.silences import Window
from cbmon.notify.storms import Storm


def rules_of(config: NotificationsConfig) -> Rules:
    """The rules that a configuration describes."""
    rules = config.rules
    return Rules(
        calendar=calendar_of(config),
        windows=windows_of(config),
        flapping=Flapping(
            changes=rules.flapping.changes,
            within=rules.flapping.within,
            settle=rules.flapping.settle,
        ),
        storm=Storm(messages=rules.storm.messages, within=rules.storm.within),
        no_resolved=frozenset(
            line_name(receiver.name, kind)
            for receiver in config.receivers
            for kind, _ in receiver.integrations
            if not receiver.send_resolved
        ),
    )


def calendar_of(config: NotificationsConfig) -> Calendar:
    """The named time intervals."""
    return Calendar(
        {
            interval.name: tuple(map(_interval, interval.time_intervals))
            for interval in config.rules.time_intervals
        }
    )


def windows_of(config: NotificationsConfig) -> tuple[Window, ...]:
    """The maintenance windows."""
    return tuple(
        Window(
            name=entry.name,
            matchers=entry.matchers,
            during=entry.during,
            skip_runs=entry.skip_runs,
        )
        for entry in config.rules.maintenance
    )


def _interval(spec: TimeIntervalSpec) -> TimeInterval:
    return TimeInterval(
        times=tuple((part.start_time, part.end_time) for part in spec.times),
        weekdays=spec.weekdays,
        days_of_month=spec.days_of_month,
        months=spec.months,
        years=spec.years,
        location=spec.location,
    )
