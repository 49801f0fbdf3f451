"""The dependencies of checks, as Alertmanager needs them.

Rule: transitive, because an outage in the middle may be quiet. An alert of a dependant is held
back from the moment its cause shows until the dependant had time to recover by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cbmon.config import CheckConfig
from cbmon.config.alerting import AlertingSection

LONGEST_LAG: Final = 3600.0
"""Seconds; a dependant that waits longer than this before it tries again is told."""
LONGEST_WAIT: Final = 300.0


@dataclass(frozen=True, slots=True)
class Graph:
    """``dependants`` of each check that has any, and the members of each group, all sorted.

    ``lag`` is how long dependants are held back after their cause is gone, ``wait`` how long a
    first message may have to wait for the cause of its alert to show; both in seconds.
    """

    dependants: Mapping[str, tuple[str, ...]]
    groups: Mapping[str, tuple[str, ...]]
    lag: float
    wait: float

    @property
    def upstream(self) -> tuple[str, ...]:
        """The checks that others depend on."""
        return tuple(self.dependants)

    def groups_below(self, name: str) -> tuple[str, ...]:
        """The groups in which everything is this check or depends on it."""
        below = {name, *self.dependants[name]}
        return tuple(group for group, members in self.groups.items() if below.issuperset(members))

    def told_as_one(self, least: float) -> dict[str, tuple[str, ...]]:
        """The members that the alert of a group of ``least`` or more speaks for.

        Without those that hold the group's alert back themselves, or nobody would be told.
        """
        found = {}
        for group, members in self.groups.items():
            spoken = tuple(m for m in members if group not in self._held_back_by(m))
            if spoken and len(members) >= least:
                found[group] = spoken
        return found

    def _held_back_by(self, name: str) -> tuple[str, ...]:
        return self.groups_below(name) if name in self.dependants else ()


def graph_of(checks: Sequence[CheckConfig], alerting: AlertingSection, hold: float) -> Graph:
    """The graph of the checks that run; ``hold`` is the ``for`` of the alert on open breakers."""
    by_name = {check.name: check for check in checks}
    above = {check.name: _above(check, by_name) for check in checks}
    dependants: dict[str, list[str]] = {}
    for name in sorted(above):
        for cause in above[name]:
            dependants.setdefault(cause, []).append(name)
    groups: dict[str, list[str]] = {}
    for check in sorted(checks, key=lambda check: check.name):
        if check.group:
            groups.setdefault(check.group, []).append(check.name)
    below = [by_name[name] for name in sorted(above) if above[name]]
    look = 2 * (alerting.scrape_interval + alerting.evaluation_interval)
    late = (_seen_after(by_name[up], one, hold) for one in below for up in above[one.name])
    return Graph(
        dependants={name: tuple(dependants[name]) for name in sorted(dependants)},
        groups={name: tuple(groups[name]) for name in sorted(groups)},
        lag=min(LONGEST_LAG, math.ceil(look + max(map(_recovery, below), default=0.0))),
        wait=min(LONGEST_WAIT, look + max(late, default=0.0)),
    )


def _above(check: CheckConfig, by_name: Mapping[str, CheckConfig]) -> set[str]:
    """Everything that a check depends on, directly or not."""
    found: set[str] = set()
    waiting = list(check.depends_on)
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in found:
            found.add(name)
            waiting.extend(by_name[name].depends_on)
    return found


def _recovery(check: CheckConfig) -> float:
    """How long its breaker may take to close after its cause is gone."""
    policy = check.policy
    wait = policy.longest_wait if policy.recovery_backoff > 1 else policy.recovery_timeout
    return wait * (1 + policy.recovery_jitter) + policy.trial_calls * (
        check.interval + check.timeout
    )


def _seen_after(cause: CheckConfig, dependant: CheckConfig, hold: float) -> float:
    """By how much the alert of a dependant may come before its cause shows."""
    return max(0.0, _detection(cause) - _detection(dependant) - hold)


def _detection(check: CheckConfig) -> float:
    policy = check.policy
    runs = policy.failure_threshold if policy.kind == "count" else policy.required_calls
    return runs * check.interval + check.timeout
