"""Every figure of the rules, computed from a configuration.

Rule: pure. Durations are seconds; the same configuration gives the same plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from cbmon.breaker import BreakerPolicy
from cbmon.config import CheckConfig, Config, ExportConfig
from cbmon.config.alerting import ALERTS, AlertingSection, AlertSettings, SloEntry
from cbmon.model import Category
from cbmon.notify.routing import line_name
from cbmon.rules.classes import DAY, HOUR, MINUTE, Class, classes, rounded
from cbmon.rules.graph import Graph, graph_of

MISSED: Final = 4
"""Scrapes in a row that may fail without interrupting an alert."""
RECENT: Final = 15 * MINUTE
LATELY: Final = 6 * HOUR
RUNS: Final = 20
"""Runs that make up the ratio of failed ones, at least."""
TRIAL: Final = 15 * MINUTE
"""How long a half-open breaker of which nothing else is known counts as one that was open."""
CERTIFICATE_MARGIN: Final = 7
"""Days by which a warning comes before the check itself fails for a certificate, or a domain."""
HASH_DIGITS: Final = 12
"""As many as the metric has."""
SLO_WINDOWS: Final = ("30m", "1h", "2h", "6h", "1d", "3d")
BURNS: Final[Mapping[str, tuple[tuple[str, str, float], ...]]] = {
    "CbmonSloBurnFast": (("1h", "5m", 14.4), ("6h", "30m", 6.0)),
    "CbmonSloBurnSlow": (("1d", "2h", 3.0), ("3d", "6h", 1.0)),
}
"""Long window, short window, and how many times the sustainable pace is too fast."""

_SETTINGS: Final = AlertSettings()


@dataclass(frozen=True, slots=True)
class Slo:
    """An objective with the names of its checks. ``budget`` is the share of time it may fail."""

    name: str
    objective: str
    budget: float
    checks: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What the templates are filled in from."""

    config: Config

    @property
    def alerting(self) -> AlertingSection:
        """The section of the configuration."""
        return self.config.alerting

    @property
    def hash_number(self) -> int:
        """The configuration's hash as ``cbmon_config_hash`` shows it."""
        return int(self.config.hash[:HASH_DIGITS], 16)

    # --- one alert -----------------------------------------------------------------------

    def settings(self, alert: str) -> AlertSettings:
        """What the configuration says of an alert."""
        return self.alerting.alerts.get(alert, _SETTINGS)

    def hold(self, alert: str) -> float:
        """How long its condition must hold."""
        chosen = self.settings(alert).for_
        return ALERTS[alert].hold if chosen is None else chosen

    def keep_firing(self, alert: str) -> float:
        """How long it goes on when its condition is gone."""
        chosen = self.settings(alert).keep_firing_for
        if chosen is not None:
            return chosen
        lag = self.graph.lag if alert == "CircuitBreakerDependencyDown" else 0.0
        return ALERTS[alert].keep or lag

    def bridge(self, alert: str) -> float:
        """How far back it looks for the last sample, so that failed scrapes do not reset it."""
        return max(MISSED * self.alerting.scrape_interval, self.hold(alert) / 6)

    @property
    def lately(self) -> float:
        """For how long an instance that is gone is known by name: three times the delay or more."""
        return max(LATELY, 3 * self.hold("CbmonDaemonAbsent"))

    def threshold(self, alert: str) -> float:
        """What it compares with; ValueError for an alert without threshold."""
        chosen, default = self.settings(alert).threshold, ALERTS[alert].threshold
        if default is None:
            raise ValueError(f"{alert} has no threshold")
        return default if chosen is None else chosen

    def severity(self, alert: str) -> str:
        """Its label."""
        return self.settings(alert).severity or ALERTS[alert].severity

    # --- what is watched -----------------------------------------------------------------

    @cached_property
    def checks(self) -> tuple[CheckConfig, ...]:
        """The checks that run."""
        return tuple(check for check in self.config.checks if check.enabled)

    @cached_property
    def scheduled(self) -> tuple[ExportConfig, ...]:
        """The checks and exports that run."""
        return (*self.checks, *self.config.exports)

    @cached_property
    def policies(self) -> dict[str, BreakerPolicy]:
        """Every breaker's policy by component."""
        found = {one.name: one.policy for one in self.scheduled}
        return {**found, **self.lines}

    @cached_property
    def breakers(self) -> tuple[tuple[str, str], ...]:
        """Category and component of every breaker, sorted."""
        named = [(Category.CHECK.value, check.name) for check in self.checks]
        named += [(Category.EXPORT.value, export.name) for export in self.config.exports]
        return tuple(sorted(named + [(Category.RECEIVER.value, line) for line in self.lines]))

    @cached_property
    def lines(self) -> dict[str, BreakerPolicy]:
        """The policy of every line to a receiver, such as ``oncall/slack``."""
        return {
            line_name(receiver.name, kind): receiver.policy
            for receiver in self.config.notifications.receivers
            for kind, _ in receiver.integrations
        }

    @cached_property
    def graph(self) -> Graph:
        """Who depends on whom."""
        return graph_of(self.checks, self.alerting, self.hold("CircuitBreakerOpen"))

    @cached_property
    def slos(self) -> tuple[Slo, ...]:
        """The objectives that cover a check that runs."""
        found = (self._slo(entry) for entry in self.alerting.slos)
        return tuple(slo for slo in found if slo.checks)

    def _slo(self, entry: SloEntry) -> Slo:
        return Slo(
            name=entry.name,
            objective=f"{entry.objective * 100:.10g}%",
            budget=round(1 - entry.objective, 10),
            checks=tuple(sorted(check.name for check in self.checks if entry.covers(check))),
        )

    # --- classes -------------------------------------------------------------------------

    @cached_property
    def recent(self) -> tuple[Class, ...]:
        """Windows that hold enough runs for a ratio."""
        windows = {one.name: _recent(one.interval) for one in self.scheduled}
        return classes(windows, RECENT)

    @cached_property
    def flapping(self) -> tuple[Class, ...]:
        """Windows in which a breaker can open as often as the alert on flapping counts."""
        times = max(1.0, self.threshold("CircuitBreakerFlapping"))
        windows = {one.name: rounded(2 * times * _round_trip(one)) for one in self.scheduled}
        return classes({name: max(HOUR, window) for name, window in windows.items()}, HOUR)

    @cached_property
    def cycles(self) -> tuple[Class, ...]:
        """Failed trials in a row after which a breaker disables itself."""
        limits = {
            name: float(policy.max_failure_cycles)
            for name, policy in self.policies.items()
            if policy.auto_disable_enabled
        }
        return classes(limits, float(BreakerPolicy().max_failure_cycles))

    @cached_property
    def slow(self) -> tuple[Class, ...]:
        """Ratios of slow calls to warn of, before they open the breaker."""
        share = self.threshold("CircuitBreakerSlow")
        limits = {
            name: round(share * policy.slow_call_rate_threshold, 10)
            for name, policy in self.policies.items()
            if policy.slow_call_seconds is not None
        }
        return classes(limits, share)

    @cached_property
    def stale(self) -> dict[str, tuple[Class, ...]]:
        """Seconds after the last run from which a check or export is overdue, by the word."""
        return {
            "check": self._stale("CbmonCheckStale", self.checks),
            "export": self._stale("CbmonExportStale", self.config.exports),
        }

    def _stale(self, alert: str, items: Iterable[ExportConfig]) -> tuple[Class, ...]:
        slack = 2 * self.alerting.scrape_interval
        times = max(1.0, self.threshold(alert))
        limits = {one.name: round(times * one.interval + one.timeout + slack, 3) for one in items}
        if alert == "CbmonCheckStale" and (found := self.config.discovery):
            # Their names are not known here: they are among the others.
            longest = max(HOUR if one.interval is None else one.interval for one in found)
            return classes(limits, (times + 1) * longest + slack)
        return classes(limits, None if limits else MINUTE * times + slack)

    @cached_property
    def certificates(self) -> dict[str, tuple[Class, ...]]:
        """Days left of a certificate to warn of, by alert."""
        expiring = self.threshold("CbmonCertificateExpiring")
        days = {
            check.name: max(expiring, needed + CERTIFICATE_MARGIN)
            for check in self.checks
            if (needed := _certificate_days(check)) is not None
        }
        last = self.threshold("CbmonCertificateAlmostExpired")
        return {
            "CbmonCertificateExpiring": classes(days, expiring),
            "CbmonCertificateAlmostExpired": classes({}, last),
        }

    @cached_property
    def domains(self) -> tuple[Class, ...]:
        """Days left of a domain's registration to warn of."""
        expiring = self.threshold("CbmonDomainExpiring")
        days = {
            check.name: max(expiring, needed + CERTIFICATE_MARGIN)
            for check in self.checks
            if (needed := _domain_days(check)) is not None
        }
        return classes(days, expiring)

    @cached_property
    def trial(self) -> float:
        """How far back a half-open breaker counts as one that was open: at most a day."""
        periods = (one.policy.trial_calls * one.interval + one.timeout for one in self.scheduled)
        return min(DAY, rounded(max([TRIAL, *periods])))


def _recent(interval: float) -> float:
    return max(RECENT, rounded(RUNS * interval))


def _round_trip(item: ExportConfig) -> float:
    """Seconds from closed through open to closed again, if it fails and recovers at once."""
    policy = item.policy
    runs = policy.failure_threshold if policy.kind == "count" else policy.required_calls
    return (runs + policy.trial_calls) * item.interval + policy.recovery_timeout


def _certificate_days(check: CheckConfig) -> float | None:
    """The days that a check itself demands, whichever type it has."""
    expect = getattr(check.options, "expect", check.options)
    days = getattr(expect, "certificate_days", None)
    return float(days) if isinstance(days, (int, float)) else None


def _domain_days(check: CheckConfig) -> float | None:
    """The days for which a check demands that its domain stays registered."""
    domain = getattr(getattr(check.options, "expect", None), "domain", None)
    return None if domain is None else float(domain.days)
