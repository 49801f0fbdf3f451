"""Panels about what goes to other systems and what comes from them: exports, discovered targets,
applications that report their breakers.

Rule: parts of the dashboard *cbmon itself*.
"""

from __future__ import annotations

from cbmon.dashboards.frame import Line, Section
from cbmon.dashboards.panels import Look, Query, chart, timeline
from cbmon.dashboards.queries import PER_MINUTE, RATE, Scope
from cbmon.dashboards.words import APPLICATION, Json

_PROCESS = "application, process"


def waiting(scope: Scope) -> Line:
    """What exports keep while they cannot hand on."""
    return Line(8, [_taken(scope), _waits(scope), _age(scope), _dropped(scope)])


def discovered(scope: Scope) -> Section:
    """Where targets come from."""
    return Section("Discovered targets", [Line(8, [_targets(scope), _lists(scope)])])


def applications(scope: Scope) -> Section:
    """Who reports breakers to the daemon, and how punctually."""
    return Section(
        "Applications that report breakers",
        [Line(8, [_heard(scope)]), Line(8, [_silence(scope), _reports(scope)])],
    )


def _heard(scope: Scope) -> Json:
    return timeline(
        "Applications",
        "Whether each process of an application reports in time; of several daemons the worst. "
        "One that is gone shows as no data for an hour.",
        Query(
            expr=scope.known(_PROCESS, scope.of("cbmon_app_up")),
            legend="{{application}} ({{process}})",
        ),
        APPLICATION,
        [],
    )


def _silence(scope: Scope) -> Json:
    last = scope.of("cbmon_app_last_report_timestamp_seconds")
    return chart(
        "Age of the last report",
        "How long ago each process of an application was heard of.",
        [
            Query(
                expr=f"time() - max by ({_PROCESS}) ({last} > 0)",
                legend="{{application}} ({{process}})",
            )
        ],
        Look(unit="s"),
    )


def _reports(scope: Scope) -> Json:
    came, refused = scope.of("cbmon_app_reports_total"), scope.of("cbmon_app_reports_refused_total")
    return chart(
        "Reports",
        "Reports of applications per minute, and how many of them were refused for what they say.",
        [
            Query(expr=f"{PER_MINUTE}sum(rate({came}[{RATE}]))", legend="reports"),
            Query(expr=f"{PER_MINUTE}sum(rate({refused}[{RATE}]))", legend="refused"),
        ],
        Look(unit="short"),
    )


def _taken(scope: Scope) -> Json:
    taken = scope.of("cbmon_export_samples_total")
    return chart(
        "Samples taken",
        "Samples that remotes took per minute (remote_write, otlp).",
        [Query(expr=f"{PER_MINUTE}sum by (export) (rate({taken}[{RATE}]))", legend="{{export}}")],
        Look(unit="short", decimals=0),
    )


def _waits(scope: Scope) -> Json:
    size, length = scope.of("cbmon_export_queue_bytes"), scope.of("cbmon_export_queue_length")
    return chart(
        "What waits",
        "The size of the requests that wait to be sent, of exports with any.",
        [
            Query(
                expr=f"sum by (export) ({size}) and sum by (export) ({length}) > 0",
                legend="{{export}}",
            )
        ],
        Look(unit="bytes"),
    )


def _age(scope: Scope) -> Json:
    oldest = f"min by (export) ({scope.of('cbmon_export_oldest_timestamp_seconds')} > 0)"
    return chart(
        "Age of what waits",
        "How old the oldest samples are that wait to be sent.",
        [Query(expr=f"time() - {oldest}", legend="{{export}}")],
        Look(unit="s"),
    )


def _dropped(scope: Scope) -> Json:
    dropped = scope.of("cbmon_export_dropped_samples_total")
    return chart(
        "Dropped samples by cause",
        "Samples per minute that were given up, and why.",
        [
            Query(
                expr=f"{PER_MINUTE}sum by (export, cause) (rate({dropped}[{RATE}])) > 0",
                legend="{{export}}: {{cause}}",
            )
        ],
        Look(unit="short"),
        stacked="bars",
    )


def _targets(scope: Scope) -> Json:
    good = scope.of("cbmon_discovery_targets")
    left_out = scope.of("cbmon_discovery_rejected_targets")
    return chart(
        "Targets",
        "Targets that are checks, and those that cannot be.",
        [
            Query(expr=f"sum by (discovery) ({good})", legend="{{discovery}}: checks"),
            Query(expr=f"sum by (discovery) ({left_out})", legend="{{discovery}}: left out"),
        ],
        Look(unit="short", decimals=0),
    )


def _lists(scope: Scope) -> Json:
    last = scope.of("cbmon_discovery_last_success_timestamp_seconds")
    failed = scope.of("cbmon_discovery_failures_total")
    return chart(
        "Age of the lists",
        "How long ago each source last gave a list, and how often per minute it gave none.",
        [
            Query(
                expr=f"time() - min by (discovery) ({last} > 0)",
                legend="{{discovery}}: seconds old",
            ),
            Query(
                expr=f"{PER_MINUTE}sum by (discovery) (rate({failed}[{RATE}])) > 0",
                legend="{{discovery}}: failures per minute",
            ),
        ],
        Look(unit="short"),
    )
