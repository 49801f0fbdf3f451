"""How Prometheus alerts on what is watched: the alerts by name, and what may be set about them.

Rule: an alert's name, severity, delay and threshold stand in ALERTS; its expression and its words
stand in the templates of ``rules/``. A test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from cbmon.config.fields import Duration, Options, Ratio, Url, ZeroOrMore, fault
from cbmon.config.nodes import Block, Items, value_place
from cbmon.config.sections import Name, Tags
from cbmon.config.words import shown, suggestion

if TYPE_CHECKING:
    from cbmon.config.model import CheckConfig
    from cbmon.config.problems import Problems

MIN_OBJECTIVE: Final = 0.9
"""Below it the fast burn rates could not be reached even with everything down."""
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}")
_TAKEN: Final = frozenset({"alertname", "severity", "component", "category", "check", "export"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What an alert has if the configuration says nothing. Durations in seconds.

    ``threshold`` is in ``unit``; None for an alert that compares with nothing to choose.
    """

    severity: str
    hold: float = 0.0
    keep: float = 0.0
    threshold: float | None = None
    unit: str = ""


_M: Final = 60.0
_H: Final = 3600.0

ALERTS: Final[Mapping[str, Alert]] = {
    "CircuitBreakerOpen": Alert(severity="critical", hold=_M),
    "CircuitBreakerGroupOpen": Alert(severity="critical", hold=_M, threshold=2, unit="breakers"),
    "CircuitBreakerHalfOpen": Alert(severity="info", hold=_M),
    "CircuitBreakerFailing": Alert(
        severity="warning", hold=_M, threshold=0.5, unit="failures per second"
    ),
    "CircuitBreakerSlow": Alert(
        severity="warning", hold=5 * _M, threshold=0.5, unit="of the ratio that opens"
    ),
    "CircuitBreakerFlapping": Alert(severity="warning", threshold=3, unit="openings"),
    "CircuitBreakerAutoDisabled": Alert(severity="critical"),
    "CircuitBreakerOverridden": Alert(severity="info", hold=24 * _H),
    "CircuitBreakerDependencyDown": Alert(severity="none"),
    "CircuitBreakerAbsent": Alert(severity="warning", hold=10 * _M),
    "CbmonRunsFailing": Alert(
        severity="warning", hold=5 * _M, threshold=0.25, unit="ratio of failed runs"
    ),
    "CbmonCheckStale": Alert(severity="warning", hold=_M, threshold=3, unit="intervals"),
    "CbmonExportStale": Alert(severity="warning", hold=_M, threshold=3, unit="intervals"),
    "CbmonCertificateExpiring": Alert(severity="warning", hold=_H, threshold=21, unit="days"),
    "CbmonCertificateAlmostExpired": Alert(
        severity="critical", hold=5 * _M, threshold=3, unit="days"
    ),
    "CbmonDomainExpiring": Alert(severity="warning", hold=_H, threshold=45, unit="days"),
    "CbmonSloBurnFast": Alert(severity="critical"),
    "CbmonSloBurnSlow": Alert(severity="warning"),
    "CbmonNotificationsFailing": Alert(
        severity="warning", hold=5 * _M, threshold=0.5, unit="ratio of failed attempts"
    ),
    "CbmonDeadLetters": Alert(severity="warning", threshold=0, unit="messages"),
    "CbmonOutboxOld": Alert(severity="warning", hold=_M, threshold=600, unit="seconds"),
    "CbmonSamplesDropped": Alert(severity="warning", threshold=0, unit="samples in 15 minutes"),
    "CbmonDiscoveryStale": Alert(severity="warning", hold=_M, threshold=900, unit="seconds"),
    "CbmonDaemonAbsent": Alert(severity="critical", hold=5 * _M),
    "CbmonReloadFailed": Alert(severity="warning", hold=_M),
    "CbmonStoreErrors": Alert(severity="warning", threshold=0, unit="errors in 15 minutes"),
    "CbmonSchedulerLate": Alert(severity="warning", hold=5 * _M, threshold=1, unit="seconds"),
    "CbmonEventLoopLag": Alert(severity="warning", hold=5 * _M, threshold=0.5, unit="seconds"),
    "CbmonWorkersDying": Alert(severity="warning", threshold=2, unit="deaths in 15 minutes"),
    "CbmonApplicationSilent": Alert(severity="warning", hold=5 * _M),
    "CbmonRulesOutdated": Alert(severity="info", hold=_H),
}
"""Every alert by name, in the order of the documentation."""


def _alert_name(value: str) -> str:
    if value not in ALERTS:
        raise ValueError(f"unknown alert {shown(value)}{suggestion(value, ALERTS)}")
    return value


def _label_name(value: str) -> str:
    if not _LABEL.fullmatch(value) or value.startswith("__") or value in _TAKEN:
        raise ValueError(
            f"expected a label name of letters, digits and _ that the alerts do not have "
            f"themselves, got {shown(value)}"
        )
    return value


def _text(value: str) -> str:
    if not value or len(value) > 200 or not value.isprintable():
        raise ValueError(f"expected printable text of 1 to 200 characters, got {shown(value)}")
    return value


def _objective(value: float) -> float:
    if not MIN_OBJECTIVE <= value < 1:
        raise ValueError(f"expected an objective from 90% to below 100%, got {value * 100:g}%")
    return value


AlertLabels = dict[
    Annotated[str, AfterValidator(_label_name)], Annotated[str, AfterValidator(_text)]
]


class AlertSettings(Options):
    """What is different about one alert; what is left out stays as it is."""

    enabled: bool = Field(True, description="false leaves the alert out.")
    for_: ZeroOrMore | None = Field(
        None, alias="for", description="How long its condition must hold before it fires."
    )
    keep_firing_for: ZeroOrMore | None = Field(
        None, description="How long it goes on firing after its condition is gone."
    )
    severity: Annotated[str, AfterValidator(_text)] | None = Field(
        None, description="The label severity."
    )
    threshold: float | None = Field(
        None, ge=0, description="What it compares with, in the unit that docs/alerting.md names."
    )
    labels: AlertLabels = Field(default_factory=dict, description="More labels of this alert.")


class SloEntry(Options):
    """An objective for the availability of some checks together, over 30 days."""

    name: Name = Field(description="Unique among the objectives; the label slo.")
    objective: Annotated[Ratio, AfterValidator(_objective)] = Field(
        description="The share of time the checks are to be up: 99.9% or 0.999."
    )
    checks: tuple[str, ...] = Field((), description="The checks it is about.")
    tags: Tags = Field((), description="Checks with any of these tags belong to it too.")

    @model_validator(mode="after")
    def _check_subject(self) -> SloEntry:
        if not self.checks and not self.tags:
            raise fault("expected checks or tags, or it is about nothing")
        return self

    def covers(self, check: CheckConfig) -> bool:
        """Whether a check belongs to it."""
        return check.name in self.checks or not set(self.tags).isdisjoint(check.tags)


class AlertingSection(Options):
    """What `cbmon rules` has to know of the Prometheus that evaluates them."""

    scrape_interval: Duration = Field(15.0, description="How often Prometheus scrapes this daemon.")
    evaluation_interval: Duration = Field(
        15.0, description="How often Prometheus evaluates the rules."
    )
    selector: AlertLabels = Field(
        default_factory=dict,
        description="Labels that Prometheus gives to this daemon's series, such as job: for rules "
        "of several daemons in one Prometheus. Breakers of applications need them too.",
    )
    labels: AlertLabels = Field(
        default_factory=dict, description="Labels of every alert, besides global.labels."
    )
    grafana_url: Url | None = Field(
        None, description="Grafana with cbmon's dashboards; without it alerts link to the page."
    )
    slos: tuple[SloEntry, ...] = Field((), description="Objectives for availability.")
    alerts: dict[Annotated[str, AfterValidator(_alert_name)], AlertSettings] = Field(
        default_factory=dict, description="What is different about an alert, by its name."
    )

    @model_validator(mode="after")
    def _check_names(self) -> AlertingSection:
        names: set[str] = set()
        for index, slo in enumerate(self.slos):
            if slo.name in names:
                raise fault(f"duplicate name {shown(slo.name)}", "slos", index, "name")
            names.add(slo.name)
        for name, settings in self.alerts.items():
            if settings.threshold is not None:
                _check_threshold(name, settings.threshold)
        return self


def _check_threshold(name: str, value: float) -> None:
    """An alert that could never fire, or always would, is a mistake."""
    default, ratio = ALERTS[name].threshold, "ratio" in ALERTS[name].unit
    message = None
    if default is None:
        message = f"{name} has no threshold"
    elif value == 0 and default > 0:
        message = "expected more than 0"
    elif ratio and value >= 1:
        message = f"expected a ratio below 1, got {value:g}"
    if message:
        raise fault(message, "alerts", name, "threshold")


def check_slos(
    block: Block,
    path: str,
    roots: Iterable[Block],
    problems: Problems,
    others: Sequence[CheckConfig] = (),
) -> None:
    """Tell every check and tag that an objective names and that no check has.

    ``block`` is the section as it was read and ``path`` its path; ``roots`` are whole files, but
    for ``others``, which are known.
    """
    checks = [check for root in roots for check in _blocks(root, "checks")]
    known = {
        "checks": {check.get("name") for check in checks} | {check.name for check in others},
        "tags": {tag for check in checks for tag in _items(check, "tags")}
        | {tag for check in others for tag in check.tags},
    }
    for index, entry in enumerate(_blocks(block, "slos")):
        for key, words in known.items():
            for place, name in enumerate(named := _items(entry, key)):
                if isinstance(name, str) and name not in words:
                    says = "has the tag" if key == "tags" else "is named"
                    hint = problems.suggest(name, (one for one in words if isinstance(one, str)))
                    problems.add(
                        value_place(named, place),
                        f"{path}.slos[{index}].{key}[{place}]",
                        f"no check {says} {shown(name)}{hint}",
                    )


def _items(block: Block, key: str) -> Items:
    found = block.get(key)
    return found if isinstance(found, Items) else Items(block.file, block.mark)


def _blocks(block: Block, key: str) -> list[Block]:
    return [item for item in _items(block, key) if isinstance(item, Block)]
